/// Whether contestants answer alike: nothing is measured that does not.
enum Check {
    /// Values that may differ: when it was, and who says so.
    private static let free: Set = ["date", "server"]

    /// - Parameter reference: What the others' answers have to be; `nil` for the first.
    /// - Returns: The answer.
    static func answer(
        _ server: RunningServer, _ request: Request, expected: [UInt8]?, reference: HTTPProbe.Response?
    ) throws -> HTTPProbe.Response {
        let probe = HTTPProbe(port: server.port, hasTLS: server.setup.hasTLS)
        let response =
            if request.upload > 0 {
                try probe.request("POST", request.path, body: Site.upload)
            } else {
                try probe.get(request.path)
            }
        guard response.status == 200 else { throw Failure("answers with status \(response.status)") }
        if let expected, response.body != expected {
            throw Failure("answers with another body, of \(response.body.count) bytes instead of \(expected.count)")
        }
        guard let reference else { return response }
        if response.body != reference.body {
            throw Failure("answers with another body: \(String(decoding: response.body.prefix(300), as: UTF8.self))")
        }
        let names = Set(response.fields.keys).union(reference.fields.keys)
        for name in names.sorted() {
            let value = response.fields[name]
            let wanted = reference.fields[name]
            // Of the connection, not of the answer: nginx sends it unasked.
            if name == "connection", wanted == nil, value?.lowercased() == "keep-alive" { continue }
            if value == wanted || (value != nil && wanted != nil && free.contains(name)) { continue }
            throw Failure("answers with another field: \(name): \(value ?? "none") instead of \(wanted ?? "none")")
        }
        return response
    }

    /// What is known of the body without asking anybody.
    static func expected(_ path: String) -> [UInt8]? {
        switch path {
        case "/hello", "/app/wait": Site.hello
        case "/app/json": Site.json
        case "/app/down": Site.pattern(1 << 20)
        case "/app/file": Site.pattern(Site.largest)
        case "/app/stream": Site.stream
        case "/app/up": Array((hexadecimal(adler32(Site.upload)) + "\n").utf8)
        default: path.hasPrefix("/app/depth/") ? Site.hello : nil
        }
    }

    /// RFC 1950, section 9.
    private static func adler32(_ bytes: [UInt8]) -> UInt32 {
        var a: UInt32 = 1
        var b: UInt32 = 0
        for byte in bytes {
            a = (a + UInt32(byte)) % 65521
            b = (b + a) % 65521
        }
        return b << 16 | a
    }

    private static func hexadecimal(_ number: UInt32) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}
