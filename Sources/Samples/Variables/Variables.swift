import SwiftGI

/// Answers every path with the variables of the request, a line each.
let variables: Application = { environ, startResponse in
    try startResponse(.ok, [.contentType: "text/plain; charset=utf-8"], nil)
    return .string(environ.snapshot().map { "\($0)=\($1)\n" }.sorted().joined())
}

@c public func swiftgi_application() -> ApplicationTable { export(variables) }
