import SwiftGI

/// Sends the body of a request back while it comes in, so that its size does not matter:
///
///     curl --upload-file picture.jpeg http://127.0.0.1:8080/echo > copy.jpeg
let echo: Application = { environ, startResponse in
    guard ["POST", "PUT"].contains(environ.method) else {
        try startResponse(.ok, [.contentType: "text/plain; charset=utf-8"], nil)
        return .string("POST or PUT something, and it comes back.\n")
    }
    // Known unless the request is chunked; the client then sees how much is to come.
    var headers: HTTPFields = [.contentType: environ.contentType ?? "application/octet-stream"]
    headers[.contentLength] = environ.contentLength.map { String($0) }
    // Nothing of the client's making becomes a page of ours.
    headers[.contentDisposition] = "attachment"
    headers[.xContentTypeOptions] = "nosniff"
    try startResponse(.ok, headers, nil)
    let input = environ.input
    return .push { body in
        while let piece = try input.next() { try body.write(piece) }
    }
}

@c public func swiftgi_application() -> ApplicationTable { export(echo) }
