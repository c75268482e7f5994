import SwiftGI

let hello: Application = { environ, startResponse in
    try startResponse(.ok, [.contentType: "text/plain"], nil)
    return .string("Hello, world!\n")
}

@c public func swiftgi_application() -> ApplicationTable { export(hello) }
