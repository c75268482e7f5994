package import HTTPTypes

/// Status and header fields as the application gave them, checked.
///
/// Specification, section "The head"; PEP 3333, "The start_response() Callable".
package struct ResponseHead {
    package let status: HTTPResponse.Status
    package private(set) var fields: HTTPFields

    /// The value of the application's `Content-Length`, which is not repeated on the way out.
    package let contentLength: Int64?

    package init(_ status: HTTPResponse.Status, _ fields: HTTPFields) throws(GatewayError) {
        guard (200...599).contains(status.code) else {
            throw GatewayError(.invalidStatus, "\(status.code)")
        }
        guard status.reasonPhrase.utf8.allSatisfy({ ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x09 }) else {
            throw GatewayError(.invalidStatus, "\(status.code) has a control character in its reason")
        }
        var length: Int64?
        for field in fields {
            try Self.check(field)
            if field.isContentLength {
                guard let value = Self.parseLength(field), length == nil || length == value else {
                    throw GatewayError(.invalidField, "Content-Length: \(field.value)")
                }
                length = value
            }
        }
        self.status = status
        self.fields = fields
        contentLength = length
        // Nothing describes content that is not there (RFC 9110, section 15.4.5).
        if !permitsBody { self.fields[.contentType] = nil }
    }

    /// An informational head: 100 to 199, but for 101, which is no answer to a request.
    package init(informational status: HTTPResponse.Status, _ fields: HTTPFields) throws(GatewayError) {
        guard (100...199).contains(status.code), status.code != 101 else {
            throw GatewayError(.invalidStatus, "\(status.code) is not informational")
        }
        for field in fields { try Self.check(field) }
        self.status = status
        self.fields = fields
        contentLength = nil
    }

    /// Fields behind the body: those that say how to read it come too late there (RFC 9110, section
    /// 6.5.1).
    package static func checkTrailers(_ fields: HTTPFields) throws(GatewayError) -> HTTPFields {
        for field in fields {
            try check(field)
            let name = field.name.canonicalName
            if ["content-length", "content-type", "content-encoding", "host", "set-cookie"].contains(name) {
                throw GatewayError(.invalidField, "\(name) is no trailer")
            }
        }
        return fields
    }

    /// Whether a response of this status has a body at all (RFC 9110, section 6.4.1).
    package var permitsBody: Bool { status.code != 204 && status.code != 304 }

    /// Fields are names of HTTP and values without control characters; those that concern a
    /// connection are the server's (RFC 9110, section 7.6.1).
    private static func check(_ field: HTTPField) throws(GatewayError) {
        let name = field.name.canonicalName
        if isHopByHop(name) { throw GatewayError(.invalidField, "\(name) is hop-by-hop") }
        if name.utf8.count == 6 && name == "status" {
            throw GatewayError(.invalidField, "Status is no header field")
        }
        // The bytes are the field's own and are only looked at.
        let valid = unsafe field.withUnsafeBytesOfValue { bytes in
            unsafe bytes.allSatisfy { ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x09 }
        }
        guard valid else { throw GatewayError(.invalidField, "\(name) has a control character") }
    }

    /// Lengths first: to compare texts costs more, and most fields are none of these.
    private static func isHopByHop(_ name: String) -> Bool {
        switch name.utf8.count {
        case 2: name == "te"
        case 7: name == "trailer" || name == "upgrade"
        case 10: name == "connection" || name == "keep-alive"
        case 16: name == "proxy-connection"
        case 17: name == "transfer-encoding"
        case 18: name == "proxy-authenticate"
        case 19: name == "proxy-authorization"
        default: false
        }
    }

    private static func parseLength(_ field: HTTPField) -> Int64? {
        let digits = field.value
        guard !digits.isEmpty, digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
        return Int64(digits)
    }
}

extension HTTPField {
    /// Whether this is `Content-Length`, which gateways take from the body where they can.
    package var isContentLength: Bool {
        name.canonicalName.utf8.count == 14 && name == .contentLength
    }
}
