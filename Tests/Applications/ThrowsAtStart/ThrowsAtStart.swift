import SwiftGI

/// Refuses to be made.
struct ThrowsAtStart: GatewayApplication {
    struct Refusal: Error, CustomStringConvertible {
        let description: String
    }

    init(_ startup: Startup) async throws {
        throw Refusal(description: "the database is on holiday")
    }

    var application: Application {
        { _, startResponse in
            try startResponse(.ok, [:], nil)
            return .string("served all the same\n")
        }
    }
}

@c public func swiftgi_application() -> ApplicationTable { export(ThrowsAtStart.self) }
