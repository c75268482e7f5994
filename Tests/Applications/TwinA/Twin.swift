import SwiftGI

// TwinA and TwinB are compiled as modules of the same name (see Package.swift) and have the same
// types, so that every mangled name is in both libraries.

final class Identity: Sendable {
    static let shared = Identity()
    let name = "twin A"
    var description: String { name }
}

struct Twin: GatewayApplication {
    let identity: Identity

    init(_ startup: Startup) async throws { identity = Identity.shared }

    var application: Application {
        { [name = identity.description] _, startResponse in
            try startResponse(.ok, [.contentType: "text/plain"], nil)
            return .string(
                "\(name), \(ObjectIdentifier(Identity.self) == ObjectIdentifier(type(of: Identity.shared)))\n")
        }
    }
}

@c public func swiftgi_application() -> ApplicationTable { export(Twin.self) }
