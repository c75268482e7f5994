import SwiftGICore

/// What every gateway of this module asks of the variables.
extension RequestVariables {
    /// As ``Transport/withVariable(_:_:)``.
    func withValue(of name: Span<UInt8>, _ body: (Span<UInt8>) -> Void) -> Bool {
        guard let value = find(name) else { return false }
        body(bytes.span.extracting(value))
        return true
    }

    /// What the web server calls the request; `nil` if it has no name for it, or one that is too long for
    /// a line of a log.
    var requestID: Range<Int>? {
        for name: StaticString in ["SWIFTGI_REQUEST_ID", "UNIQUE_ID"] {
            if let value = nonEmpty(name), value.count <= 64 { return value }
        }
        return nil
    }

    /// A value, fit for a line of a log.
    func printable(_ value: Range<Int>) -> String {
        ServerHost.printable(Substring(String(repairing: bytes.span.extracting(value))))
    }

    /// Whether the response's body is to be left out.
    var isHead: Bool { find("REQUEST_METHOD").map { isEqual($0, "HEAD") } ?? false }

    /// How many bytes the body has; `nil` if nobody says so.
    var contentLength: Int64? {
        get throws(WireError) { try length("CONTENT_LENGTH") }
    }

    /// What a filter gets behind the body.
    var dataLength: Int64? {
        get throws(WireError) { try length("FCGI_DATA_LENGTH") }
    }

    private func length(_ name: StaticString) throws(WireError) -> Int64? {
        guard let value = find(name) else { return nil }
        guard let count = bytes.span.extracting(value).decimal else { throw WireError("a \(name) that is no number") }
        return count
    }
}
