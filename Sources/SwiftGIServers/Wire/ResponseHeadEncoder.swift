package import HTTPTypes

extension [UInt8] {
    /// Appends the head of a response as CGI has it, and the empty line behind it (RFC 3875, section 6).
    ///
    /// Names and values were checked by whoever made the head.
    ///
    /// - Parameter length: The length of the body, if it is known. It replaces `Content-Length`.
    package mutating func appendHead(_ status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?) {
        append("Status: ")
        append(decimal: Int64(status.code))
        let reason = status.reasonPhrase
        if !reason.isEmpty {
            append(0x20)
            append(contentsOf: reason.utf8)
        }
        append("\r\n")
        for field in fields where field.name != .contentLength { append(field) }
        if let length {
            append("Content-Length: ")
            append(decimal: length)
            append("\r\n")
        }
        append("\r\n")
    }

    /// Appends a field as a line.
    package mutating func append(_ field: HTTPField) {
        append(contentsOf: field.name.rawName.utf8)
        append(": ")
        // The bytes are copied while the field lends them.
        unsafe field.withUnsafeBytesOfValue { unsafe append(contentsOf: $0) }
        append("\r\n")
    }
}
