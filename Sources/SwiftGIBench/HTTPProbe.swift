import Foundation
import Glibc

/// A client that looks closely: for checks, and for the first answer.
struct HTTPProbe {
    let port: Int
    let hasTLS: Bool

    /// What every client of the benchmark sends.
    static let fields = [
        ("Host", "bench.test"), ("User-Agent", "bench"), ("Accept", "*/*"), ("Cookie", "session=0123456789abcdef"),
    ]

    struct Response {
        let status: Int
        /// Names in lower case; values of the same name joined.
        let fields: [String: String]
        let body: [UInt8]
        /// How many pieces a chunked body came in; 0 if it is not chunked.
        let pieces: Int
    }

    var canConnect: Bool {
        guard let descriptor = Connection.open(port, timeout: 1) else { return false }
        close(descriptor)
        return true
    }

    func get(_ path: String, timeout: Int = 30) throws -> Response {
        try request("GET", path, body: nil, timeout: timeout)
    }

    func request(_ method: String, _ path: String, body: [UInt8]?, timeout: Int = 30) throws -> Response {
        if hasTLS { return try requestWithCurl(path) }
        guard let descriptor = Connection.open(port, timeout: timeout) else { throw Failure("can't connect") }
        defer { close(descriptor) }
        var head = "\(method) \(path) HTTP/1.1\r\n"
        for (name, value) in Self.fields { head += "\(name): \(value)\r\n" }
        if let body { head += "Content-Length: \(body.count)\r\n" }
        try Connection.send(descriptor, Array((head + "\r\n").utf8) + (body ?? []))
        var reader = Reader(descriptor)
        return try reader.response()
    }

    /// Reads a response off a connection.
    private struct Reader {
        let descriptor: Int32
        var buffer: [UInt8] = []
        var position = 0

        init(_ descriptor: Int32) { self.descriptor = descriptor }

        mutating func fill() throws {
            var piece = [UInt8](repeating: 0, count: 1 << 18)
            let count = recv(descriptor, &piece, piece.count, 0)
            guard count > 0 else { throw Failure(count == 0 ? "closed too early" : String(cString: strerror(errno))) }
            if position > 1 << 20 {
                buffer.removeFirst(position)
                position = 0
            }
            buffer += piece[..<count]
        }

        mutating func line() throws -> String {
            var searched = position
            while true {
                if let end = buffer[searched...].firstIndex(of: 10) {
                    defer { position = end + 1 }
                    return String(decoding: buffer[position..<end], as: UTF8.self).trimmingCharacters(
                        in: .whitespacesAndNewlines)
                }
                let offset = buffer.count - position
                try fill()
                searched = position + offset
            }
        }

        mutating func bytes(_ count: Int) throws -> [UInt8] {
            while buffer.count - position < count { try fill() }
            defer { position += count }
            return Array(buffer[position..<position + count])
        }

        mutating func response() throws -> Response {
            let words = try line().split(separator: " ")
            guard words.count > 1, let status = Int(words[1]) else { throw Failure("no status line") }
            var fields: [String: String] = [:]
            while case let line = try line(), !line.isEmpty { HTTPProbe.add(line, to: &fields) }
            if fields["transfer-encoding"] == "chunked" {
                var body: [UInt8] = []
                var pieces = 0
                while case let size = Int(try line(), radix: 16) ?? 0, size > 0 {
                    body += try bytes(size)
                    pieces += 1
                    _ = try line()
                }
                return Response(status: status, fields: fields, body: body, pieces: pieces)
            }
            guard let length = fields["content-length"].flatMap({ Int($0) }) else {
                throw Failure("neither a length nor chunks")
            }
            return Response(status: status, fields: fields, body: try bytes(length), pieces: 0)
        }
    }

    private static func add(_ line: String, to fields: inout [String: String]) {
        guard let colon = line.firstIndex(of: ":") else { return }
        let name = line[..<colon].lowercased()
        let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        fields[name] = fields[name].map { $0 + ", " + value } ?? value
    }

    /// HTTP/2 over TLS.
    private func requestWithCurl(_ path: String) throws -> Response {
        let name = "/tmp/swiftgi-bench-\(getpid())"
        defer { for suffix in ["head", "body", "out"] { unlink("\(name).\(suffix)") } }
        var command = [
            "curl", "--silent", "--show-error", "--insecure", "--http2", "--max-time", "30", "--dump-header",
            "\(name).head", "--output", "\(name).body", "https://127.0.0.1:\(port)\(path)",
        ]
        for (field, value) in Self.fields { command += ["--header", "\(field): \(value)"] }
        try Spawned.run(command, output: "\(name).out")
        let head = try String(contentsOfFile: "\(name).head", encoding: .utf8)
        let lines = head.split(whereSeparator: \.isNewline)
        let words = lines.first.map { $0.split(separator: " ") } ?? []
        guard words.count > 1, words[0] == "HTTP/2", let status = Int(words[1]) else {
            throw Failure("no HTTP/2: \(head)")
        }
        var fields: [String: String] = [:]
        for line in lines.dropFirst() { Self.add(String(line), to: &fields) }
        let body = try Data(contentsOf: URL(filePath: "\(name).body"))
        return Response(status: status, fields: fields, body: Array(body), pieces: 0)
    }
}

/// Connections to the loopback interface.
enum Connection {
    static func open(_ port: Int, timeout: Int) -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        var time = timeval(tv_sec: timeout, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in.loopback(port: port)
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if connected == 0 { return descriptor }
        close(descriptor)
        return nil
    }

    static func send(_ descriptor: Int32, _ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.send(descriptor, buffer.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure("send: \(String(cString: strerror(errno)))") }
            sent += count
        }
    }
}
