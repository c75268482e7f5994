import SwiftGICore

/// What every gateway of this module asks of the variables.
extension RequestVariables {
    /// As ``Transport/withVariable(_:_:)``, the request's id among them.
    func withValue(of name: Span<UInt8>, requestID: String, _ body: (Span<UInt8>) -> Void) -> Bool {
        if name.isEqual(to: "swiftgi.request_id") {
            body(requestID.utf8.span)
            return true
        }
        guard let value = find(name) else { return false }
        body(bytes.span.extracting(value))
        return true
    }

    /// As ``Transport/forEachVariable(_:)``, the request's id among them.
    func forEach(requestID: String, _ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        forEach(body)
        body("swiftgi.request_id".utf8.span, requestID.utf8.span)
    }

    /// What the web server calls the request, fit for a line of a log; `nil` if it has no name for it.
    var requestID: String? {
        for name: StaticString in ["SWIFTGI_REQUEST_ID", "UNIQUE_ID"] {
            if let value = nonEmpty(name), value.count <= 64 {
                return ServerHost.printable(Substring(String(repairing: bytes.span.extracting(value))))
            }
        }
        return nil
    }

    /// Whether the response's body is to be left out.
    var isHead: Bool { find("REQUEST_METHOD").map { isEqual($0, "HEAD") } ?? false }

    /// How many bytes the body has; `nil` if nobody says so.
    var contentLength: Int64? {
        get throws(WireError) {
            guard let value = find("CONTENT_LENGTH") else { return nil }
            guard let count = bytes.span.extracting(value).decimal else {
                throw WireError("a CONTENT_LENGTH that is no number")
            }
            return count
        }
    }
}
