package import HTTPTypes

/// What a server makes of a request for its application.
extension MemoryRequest {
    /// How the end of the body is known.
    package enum Framing: Equatable {
        case none
        case length(Int)
        case chunked
        /// `Content-Length` is no number: a server answers 400 and does not call the application.
        case invalid
    }

    package var framing: Framing {
        if headers[.transferEncoding] != nil { return .chunked }
        guard let text = headers[.contentLength] else {
            let count = pieces.reduce(0) { $0 + $1.count }
            return count > 0 ? .length(count) : .none
        }
        guard text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let length = Int(text) else { return .invalid }
        return .length(length)
    }

    /// The variables of RFC 3875, section 4.1, those that are customary, and the configuration's.
    ///
    /// Values are bytes: a decoded path need not be UTF-8.
    package func makeVariables(id: String, software: String) -> [String: [UInt8]] {
        let target = path.utf8.split(separator: 0x3F, maxSplits: 1, omittingEmptySubsequences: false)
        let (host, port) = authority
        var all: [String: String] = [
            "GATEWAY_INTERFACE": "CGI/1.1",
            "QUERY_STRING": target.count > 1 ? String(Substring(target[1])) : "",
            "REMOTE_ADDR": remoteAddress,
            "swiftgi.request_id": id,
            "REQUEST_METHOD": method.rawValue,
            "REQUEST_SCHEME": scheme,
            "REQUEST_URI": scriptName + path,
            "SCRIPT_NAME": scriptName,
            "SERVER_NAME": host,
            "SERVER_PORT": port,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": software,
        ]
        if case .length(let length) = framing { all["CONTENT_LENGTH"] = "\(length)" }
        var bytes = all.mapValues { [UInt8]($0.utf8) }
        bytes["PATH_INFO"] = Self.decode(target.first ?? path.utf8[...])
        for field in headers {
            guard let name = Self.variable(of: field.name) else { continue }
            let separator: [UInt8] = field.name == .cookie ? [0x3B, 0x20] : [0x2C, 0x20]
            let value = Self.bytes(of: field)
            bytes[name] = bytes[name].map { $0 + separator + value } ?? value
        }
        for (name, value) in variables { bytes[name] = [UInt8](value.utf8) }
        return bytes
    }

    /// The variable for a header field, if it becomes one.
    ///
    /// `Proxy` would be `HTTP_PROXY`, which programs believe (CVE-2016-5385), and an underscore
    /// would pass for a hyphen.
    private static func variable(of name: HTTPField.Name) -> String? {
        switch name {
        case .contentType: return "CONTENT_TYPE"
        case .contentLength, proxy: return nil
        default: break
        }
        var variable = "HTTP_"
        for byte in name.canonicalName.utf8 {
            switch byte {
            case 0x61...0x7A: variable.unicodeScalars.append(Unicode.Scalar(byte - 0x20))
            case 0x30...0x39: variable.unicodeScalars.append(Unicode.Scalar(byte))
            case 0x2D: variable += "_"
            default: return nil
            }
        }
        return variable
    }

    private static let proxy = HTTPField.Name("Proxy")
    private static let host = HTTPField.Name("Host")

    package static func bytes(of field: HTTPField) -> [UInt8] {
        // The bytes are copied while the field lends them.
        unsafe field.withUnsafeBytesOfValue { unsafe [UInt8]($0) }
    }

    /// Name and port of the server: the request's `Host`, or what it is without.
    private var authority: (host: String, port: String) {
        let standard = scheme == "https" ? "443" : "80"
        let field = Self.host.flatMap { headers[$0] } ?? ""
        let parts = field.utf8.split(separator: 0x3A, omittingEmptySubsequences: false)
        // An IPv6 address is in brackets and has colons itself.
        if field.hasPrefix("["), let end = field.utf8.firstIndex(of: 0x5D) {
            let rest = field[field.utf8.index(after: end)...]
            return (
                String(field[...end]), rest.hasPrefix(":") && rest.utf8.count > 1 ? String(rest.dropFirst()) : standard
            )
        }
        guard let name = parts.first, !name.isEmpty else { return ("localhost", standard) }
        return (String(Substring(name)), parts.count > 1 && !parts[1].isEmpty ? String(Substring(parts[1])) : standard)
    }

    /// Undoes percent-encoding.
    ///
    /// What is no encoding stays as it is.
    private static func decode(_ path: Substring.UTF8View) -> [UInt8] {
        var result: [UInt8] = []
        var rest = path
        while let byte = rest.popFirst() {
            let digits = rest.prefix(2)
            if byte == 0x25, digits.count == 2, let high = digits.first.flatMap(hexDigit),
                let low = digits.last.flatMap(hexDigit)
            {
                result.append(high << 4 | low)
                rest = rest.dropFirst(2)
            } else {
                result.append(byte)
            }
        }
        return result
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}
