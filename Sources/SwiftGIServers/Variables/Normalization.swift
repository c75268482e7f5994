/// How variables come to be the same whichever gateway and web server they passed; see the page
/// "Gateways".
package struct VariableRules: Sendable {
    /// Where the application is mounted, if the server was told: decoded, no slash at its end.
    package var scriptName: [UInt8]?
    /// Whether `CONTENT_LENGTH` is there even if the client sent none, as SCGI has it.
    package var alwaysHasLength = false

    package init() {}
}

extension RequestVariables {
    /// Makes of the variables that came those that the specification describes.
    package mutating func normalize(_ rules: VariableRules) {
        dropUnwanted()
        joinRepeated()
        normalizeLength(rules)
        if find("QUERY_STRING") == nil { set("QUERY_STRING", "") }
        normalizePath(rules)
        normalizeScheme()
        normalizeServer()
        normalizeTarget()
        set("GATEWAY_INTERFACE", "CGI/1.1")
        if nonEmpty("SERVER_PROTOCOL") == nil { set("SERVER_PROTOCOL", "HTTP/1.0") }
        if nonEmpty("REQUEST_METHOD") == nil { set("REQUEST_METHOD", "GET") }
    }

    /// Leaves `CONTENT_LENGTH` where the client has sent one: SCGI always has it, and so has lighttpd.
    package mutating func normalizeLength(_ rules: VariableRules) {
        guard let length = find("CONTENT_LENGTH") else { return }
        if length.isEmpty || (isEqual(length, "0") && (rules.alwaysHasLength || !hasContent)) {
            remove("CONTENT_LENGTH")
        }
    }

    /// Drops variables of fields that have one of another name, or must not have any, names that no
    /// variable has, and those without a value that are absent then.
    private mutating func dropUnwanted() {
        func isUnwanted(_ name: Span<UInt8>, _ value: Range<Int>) -> Bool {
            guard !name.isEmpty else { return true }
            switch name[0] {
            case UInt8(ascii: "A"): return value.isEmpty && name.isEqual(to: "AUTH_TYPE")
            case UInt8(ascii: "C"): return value.isEmpty && name.isEqual(to: "CONTENT_TYPE")
            case UInt8(ascii: "H"): break
            case UInt8(ascii: "R"):
                return value.isEmpty && (name.isEqual(to: "REMOTE_USER") || name.isEqual(to: "REMOTE_IDENT"))
            // What the gateway says of itself nobody else does.
            case UInt8(ascii: "s"): return name.hasPrefix("swiftgi.")
            default: return false
            }
            if name.isEqual(to: "HTTP_PROXY") || name.isEqual(to: "HTTP_CONTENT_TYPE")
                || name.isEqual(to: "HTTP_CONTENT_LENGTH")
            {
                return true
            }
            guard name.hasPrefix("HTTP_") else { return false }
            for index in name.indices {
                let byte = name[index]
                let isPlain = byte >= 0x41 && byte <= 0x5A || byte >= 0x30 && byte <= 0x39 || byte == 0x5F
                if !isPlain { return true }
            }
            return name.count == 5
        }
        removePlaces { isUnwanted($0, $1) }
    }

    /// Whether the request's method is one of those that come with content.
    private var hasContent: Bool {
        guard let method = find("REQUEST_METHOD") else { return false }
        for other: StaticString in ["GET", "HEAD", "OPTIONS", "DELETE", "TRACE"] where isEqual(method, other) {
            return false
        }
        return true
    }

    /// nginx sends a field that came several times as several variables; httpd joins the values.
    private mutating func joinRepeated() {
        var index = 0
        while index < places.count {
            defer { index += 1 }
            guard bytes.span.extracting(places[index].name).hasPrefix("HTTP_"), isHidden(index) else { continue }
            let field = Array(bytes[places[index].name])
            let separator: [UInt8] = field == Array("HTTP_COOKIE".utf8) ? [0x3B, 0x20] : [0x2C, 0x20]
            var value: [UInt8] = []
            for place in places where bytes.span.extracting(place.name).isEqual(to: field.span) {
                if !value.isEmpty { value += separator }
                value += bytes[place.value]
            }
            removePlaces { name, _ in name.isEqual(to: field.span) }
            add(field.span, value.span)
            index -= 1
        }
    }

    // MARK: The path

    private mutating func normalizePath(_ rules: VariableRules) {
        if find("PATH_INFO") == nil { guessPath() }
        if let mount = find("SWIFTGI_SCRIPT_NAME").map({ [UInt8](bytes[$0]) }) ?? rules.scriptName {
            splitPath(at: mount)
        }
        if find("SCRIPT_NAME") == nil { set("SCRIPT_NAME", "") }
        if find("PATH_INFO") == nil { set("PATH_INFO", "") }
        moveSlashes()
    }

    /// The whole path, and what of it leads to the application.
    private mutating func splitPath(at mount: [UInt8]) {
        var mount = mount
        while mount.last == 0x2F { mount.removeLast() }
        let script = nonEmpty("SCRIPT_NAME")
        let info = nonEmpty("PATH_INFO")
        if let script, let info {
            let path = bytes[script] + bytes[info]
            let start = bytes.count
            append(path.span)
            splitPath(start..<bytes.count, at: mount)
        } else {
            splitPath(script ?? info ?? 0..<0, at: mount)
        }
    }

    private func isPath(_ path: Span<UInt8>, below mount: Span<UInt8>) -> Bool {
        guard path.count == mount.count || (path.count > mount.count && path[mount.count] == 0x2F) else { return false }
        return path.hasPrefix(mount)
    }

    private mutating func splitPath(_ path: Range<Int>, at mount: [UInt8]) {
        guard isPath(bytes.span.extracting(path), below: mount.span) else { return }
        let split = path.lowerBound + mount.count
        set("SCRIPT_NAME", at: path.lowerBound..<split)
        set("PATH_INFO", at: split..<path.upperBound)
    }

    /// Without `PATH_INFO` the whole path is in `SCRIPT_NAME`, which is right only for a request to the
    /// application's own path. Two web servers say where the rest of it begins.
    private mutating func guessPath() {
        guard let script = nonEmpty("SCRIPT_NAME") else {
            // nginx, without a script name at all.
            if let uri = nonEmpty("DOCUMENT_URI") { set("PATH_INFO", at: uri) }
            return
        }
        // nginx's fastcgi_params: SCRIPT_NAME is the path of the request, as DOCUMENT_URI is.
        if let uri = find("DOCUMENT_URI"), bytes.span.extracting(uri).isEqual(to: bytes.span.extracting(script)) {
            set("PATH_INFO", at: script)
            set("SCRIPT_NAME", "")
            return
        }
        // mod_proxy_fcgi and mod_proxy_scgi: the path below the URL that ProxyPass names is in
        // SCRIPT_FILENAME.
        guard let file = find("SCRIPT_FILENAME"), let path = Self.proxiedPath(bytes.span.extracting(file)),
            path.count <= script.count
        else { return }
        let split = script.upperBound - path.count
        guard bytes.span.extracting(split..<script.upperBound).isEqual(to: path.span) else { return }
        let mount = script.lowerBound..<split
        set("PATH_INFO", at: split..<script.upperBound)
        set("SCRIPT_NAME", at: mount)
    }

    /// The decoded path in `proxy:fcgi://host:port/path`.
    private static func proxiedPath(_ file: Span<UInt8>) -> [UInt8]? {
        var rest: Span<UInt8>
        if file.hasPrefix("proxy:fcgi://") || file.hasPrefix("proxy:scgi://") {
            rest = file.extracting(droppingFirst: 13)
        } else if file.hasPrefix("proxy:balancer://") {
            rest = file.extracting(droppingFirst: 17)
        } else {
            return nil
        }
        var start = 0
        while start < rest.count, rest[start] != 0x2F { start += 1 }
        rest = rest.extracting(droppingFirst: start)
        return rest.isEmpty ? nil : percentDecoded(rest)
    }

    /// `SCRIPT_NAME` never ends in a slash, and not both are empty.
    private mutating func moveSlashes() {
        guard var script = find("SCRIPT_NAME"), let info = find("PATH_INFO") else { return }
        var end = script.upperBound
        while end > script.lowerBound, bytes[end - 1] == 0x2F { end -= 1 }
        let moved = end < script.upperBound
        if moved {
            script = script.lowerBound..<end
            set("SCRIPT_NAME", at: script)
        }
        let beginsWithSlash = !info.isEmpty && bytes[info.lowerBound] == 0x2F
        if !beginsWithSlash, moved || !info.isEmpty || script.isEmpty {
            let path = [0x2F] + bytes[info]
            set("PATH_INFO", path.span)
        }
    }

    // MARK: The rest

    private mutating func normalizeScheme() {
        let https = find("HTTPS")
        let isSecure: Bool
        if let scheme = nonEmpty("REQUEST_SCHEME") {
            isSecure = isEqual(scheme, "https")
        } else if let https {
            isSecure = !https.isEmpty && !isEqual(https, "off") && !isEqual(https, "0")
        } else {
            isSecure = false
        }
        set("REQUEST_SCHEME", isSecure ? "https" : "http")
        if isSecure { set("HTTPS", "on") } else if https != nil { remove("HTTPS") }
    }

    /// nginx sends what its `server_name` says, which may be nothing or a pattern.
    private mutating func normalizeServer() {
        let given = find("SERVER_NAME")
        let host = nonEmpty("HTTP_HOST").map { split(host: $0) }
        if !(given.map { isServerName($0) } ?? false) {
            if let host, !host.name.isEmpty {
                set("SERVER_NAME", at: host.name)
            } else if let address = nonEmpty("SERVER_ADDR") {
                set("SERVER_NAME", at: address)
            } else if given?.isEmpty ?? true {
                set("SERVER_NAME", "localhost")
            }
        }
        if nonEmpty("SERVER_PORT").flatMap({ bytes.span.extracting($0).decimal }) == nil {
            if let port = host?.port, bytes.span.extracting(port).decimal != nil {
                set("SERVER_PORT", at: port)
            } else {
                let isSecure = find("HTTPS") != nil
                set("SERVER_PORT", isSecure ? "443" : "80")
            }
        }
        if nonEmpty("REMOTE_ADDR") == nil { set("REMOTE_ADDR", "0.0.0.0") }
    }

    /// Whether it is neither empty nor a pattern of nginx's.
    private func isServerName(_ range: Range<Int>) -> Bool {
        let name = bytes.span.extracting(range)
        if name.isEmpty || name.isEqual(to: "_") || name[0] == 0x7E { return false }
        for index in name.indices where name[index] == 0x2A { return false }
        return true
    }

    /// The parts of `HTTP_HOST`, where they are.
    private func split(host range: Range<Int>) -> (name: Range<Int>, port: Range<Int>) {
        let host = bytes.span.extracting(range)
        var position = 0
        // An IPv6 address is in brackets and has colons itself.
        if host[0] == 0x5B {
            while position < host.count, host[position] != 0x5D { position += 1 }
            if position == host.count { position = 0 }
        }
        while position < host.count, host[position] != 0x3A { position += 1 }
        let colon = range.lowerBound + position
        return (range.lowerBound..<colon, min(colon + 1, range.upperBound)..<range.upperBound)
    }

    /// `REQUEST_URI` is the path and the query of the target as they came.
    private mutating func normalizeTarget() {
        if let uri = nonEmpty("REQUEST_URI") {
            guard let path = Self.path(of: bytes.span.extracting(uri)) else { return }
            if path < uri.count {
                set("REQUEST_URI", at: uri.lowerBound + path..<uri.upperBound)
            } else {
                set("REQUEST_URI", "/")
            }
            return
        }
        var target: [UInt8] = []
        for name: StaticString in ["SCRIPT_NAME", "PATH_INFO"] {
            if let part = find(name) { Self.appendEncoded(bytes.span.extracting(part), to: &target) }
        }
        if let query = nonEmpty("QUERY_STRING") {
            target.append(0x3F)
            target += bytes[query]
        }
        set("REQUEST_URI", target.span)
    }

    /// Where the path of a target in absolute form begins.
    private static func path(of text: Span<UInt8>) -> Int? {
        if text[0] == 0x2F { return nil }
        var position = 0
        while position + 2 < text.count, !(text[position] == 0x3A && text[position + 1] == 0x2F) { position += 1 }
        guard position + 2 < text.count, text[position + 2] == 0x2F else { return nil }
        position += 3
        while position < text.count, text[position] != 0x2F { position += 1 }
        return position
    }

    private static func appendEncoded(_ path: Span<UInt8>, to target: inout [UInt8]) {
        let digits = Array("0123456789ABCDEF".utf8)
        for index in path.indices {
            let byte = path[index]
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E, 0x21, 0x24, 0x26...0x2F, 0x3A...0x3B,
                0x3D, 0x40:
                target.append(byte)
            default:
                target += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
    }

    private static func percentDecoded(_ text: Span<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var index = 0
        while index < text.count {
            if text[index] == 0x25, index + 2 < text.count, let high = hexDigit(text[index + 1]),
                let low = hexDigit(text[index + 2])
            {
                result.append(high << 4 | low)
                index += 3
            } else {
                result.append(text[index])
                index += 1
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
