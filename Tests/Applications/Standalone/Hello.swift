import SwiftGI

/// What the program of two lines serves.
let hello: Application = { environ, startResponse in
    try startResponse(.ok, [.contentType: "text/plain"], nil)
    return .string("Hello from \(environ.server)!\n")
}
