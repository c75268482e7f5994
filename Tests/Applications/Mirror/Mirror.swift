import SwiftGI

/// Answers every path with its variables, a line each.
let mirror: Application = { environ, startResponse in
    try startResponse(.ok, [.contentType: "text/plain"], nil)
    return .string(environ.snapshot().map { "\($0)=\($1)\n" }.sorted().joined())
}

@c public func swiftgi_application() -> ApplicationTable { export(mirror) }
