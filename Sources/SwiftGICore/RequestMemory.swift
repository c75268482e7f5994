package import HTTPTypes

/// What a request begins with.
package struct RequestLine: Sendable {
    package private(set) var method = HTTPRequest.Method.get
    package private(set) var scheme = "http"
    /// The path with the query, as it came.
    package private(set) var target: String?
    /// Whether any of them is another one than before.
    fileprivate var isChanged = true

    package init() {}

    /// Takes the method; the usual ones are not made anew.
    package mutating func setMethod(_ name: Span<UInt8>) {
        if name.isEqual(to: method.rawValue.utf8.span) { return }
        isChanged = true
        method =
            if name.isEqual(to: "GET".utf8.span) {
                .get
            } else if name.isEqual(to: "POST".utf8.span) {
                .post
            } else {
                HTTPRequest.Method(String(repairing: name)) ?? .get
            }
    }

    /// Takes the scheme.
    package mutating func setScheme(_ bytes: Span<UInt8>) {
        if bytes.isEqual(to: scheme.utf8.span) { return }
        isChanged = true
        scheme = String(repairing: bytes)
    }

    /// Takes the target.
    package mutating func setTarget(_ bytes: Span<UInt8>) {
        if let target, bytes.isEqual(to: target.utf8.span) { return }
        isChanged = true
        target = String(repairing: bytes)
    }

    /// Takes all from the variables.
    package mutating func update(from transport: some Transport) {
        if !transport.withVariable("REQUEST_METHOD".utf8.span, { setMethod($0) }) { setMethod("GET".utf8.span) }
        if !transport.withVariable("REQUEST_SCHEME".utf8.span, { setScheme($0) }) { setScheme("http".utf8.span) }
        if !transport.withVariable("REQUEST_URI".utf8.span, { setTarget($0) }), target != nil {
            isChanged = true
            target = nil
        }
    }
}

/// The head of a request, for the next one in the same task: what both have in common is not made anew.
///
/// Equal bytes are what makes it common, so that nothing of one request reaches another that has not
/// sent the same.
package struct RequestMemory: Sendable {
    private let isUsed: Bool
    private var fields: FieldMemory
    private var line = RequestLine()
    /// The last request without its fields.
    private var head: HTTPRequest?
    /// All of the last request, if all of its fields are in the memory.
    private var whole: HTTPRequest?

    /// - Parameter isUsed: Whether there will be a next request; if not, nothing is kept.
    package init(isUsed: Bool) {
        self.isUsed = isUsed
        fields = FieldMemory(limit: isUsed ? 2048 : 0)
    }

    /// Makes the head of a request (RFC 9110, section 7.1).
    package mutating func makeRequest(_ transport: some Transport) -> HTTPRequest {
        // Its place is the authority.
        var known = FieldMemory(limit: 0)
        swap(&known, &self.fields)
        var collector = FieldCollector(takesHost: true, memory: known)
        transport.collectFields(&collector)
        line.isChanged = false
        transport.update(&line)
        if let whole, collector.isRepetition, !line.isChanged {
            self.fields = collector.takeMemory()
            return whole
        }
        let isWhole = isUsed && collector.isWhole
        let (fields, host, memory) = collector.finish()
        self.fields = memory
        let request = makeRequest(fields, host ?? transport.text(of: "HTTP_HOST"))
        whole = isWhole && host != nil ? request : nil
        return request
    }

    private mutating func makeRequest(_ fields: HTTPFields, _ authority: String?) -> HTTPRequest {
        if var request = head, !line.isChanged, request.authority == authority {
            request.headerFields = fields
            return request
        }
        var request = HTTPRequest(
            method: line.method, scheme: line.scheme, authority: authority, path: line.target)
        if isUsed { head = request }
        request.headerFields = fields
        return request
    }
}
