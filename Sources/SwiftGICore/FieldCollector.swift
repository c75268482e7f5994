package import HTTPTypes

/// Makes the header fields of a request from what a gateway has of them.
package struct FieldCollector: ~Copyable {
    private let takesHost: Bool

    /// What was collected.
    package private(set) var fields = HTTPFields()

    /// The value of `Host`, if that is taken.
    package private(set) var host: String?

    /// - Parameter takesHost: Whether `Host` is no field but the request's authority.
    package init(takesHost: Bool) {
        self.takesHost = takesHost
        fields.reserveCapacity(16)
    }

    /// Adds a field, but for one whose name is not HTTP's.
    package mutating func append(_ name: Span<UInt8>, _ value: Span<UInt8>) {
        if takesHost && name.isHost {
            host = String(repairing: value)
            return
        }
        // HTTPFields traps on more.
        guard fields.count < UInt16.max - 1, let name = HTTPField.Name(interning: name) else { return }
        // What is text already costs a fraction of what has to be looked at byte by byte.
        if value.isASCII {
            fields.append(HTTPField(name: name, value: String(repairing: value)))
        } else {
            fields.append(HTTPField(name: name, value: [UInt8](copying: value)))
        }
    }
}

extension Span where Element == UInt8 {
    fileprivate var isASCII: Bool {
        var all: UInt8 = 0
        for index in indices { all |= self[index] }
        return all < 0x80
    }
}

/// What a request begins with.
package struct RequestLine {
    package private(set) var method = HTTPRequest.Method.get
    package var scheme = "http"
    /// The path with the query, as it came.
    package var target: String?

    package init() {}

    /// Takes the method; the usual ones are not made anew.
    package mutating func setMethod(_ name: Span<UInt8>) {
        if name.isEqual(to: "GET".utf8.span) { return }
        method =
            if name.isEqual(to: "POST".utf8.span) { .post } else { HTTPRequest.Method(String(repairing: name)) ?? .get }
    }
}
