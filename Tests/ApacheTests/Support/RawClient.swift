import Foundation
import Glibc

/// An HTTP/1.1 client that sends what it is told and believes nothing: for requests that no decent
/// client sends, and to see exactly what comes back.
final class RawClient {
    private var descriptor: Int32
    private var buffer: [UInt8] = []
    private var isAtEnd = false

    /// - Parameter address: Of IPv4; by default this machine's.
    init(port: Int, at address: String = "127.0.0.1", timeout: Int = Int(patience)) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var limit = timeval(tv_sec: timeout, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
        var yes: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        var place = loopback(port)
        inet_pton(AF_INET, address, &place.sin_addr)
        let connected = withUnsafePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard connected else {
            let error = Self.error("connect")
            Glibc.close(descriptor)
            descriptor = -1
            throw error
        }
    }

    deinit { close() }

    // MARK: Sending

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        try bytes.withUnsafeBytes { buffer in
            while sent < buffer.count {
                let count = Glibc.send(descriptor, buffer.baseAddress! + sent, buffer.count - sent, Int32(MSG_NOSIGNAL))
                if count > 0 {
                    sent += count
                } else if errno != EINTR {
                    throw Self.error("send")
                }
            }
        }
    }

    /// Sends a request line and fields, each with its line end, and the empty line.
    func request(_ requestLine: String, _ fields: [String] = ["Host: localhost"]) throws {
        try send(([requestLine] + fields).map { $0 + "\r\n" }.joined() + "\r\n")
    }

    /// Sends a chunk of a chunked body.
    func sendChunk(_ text: String) throws {
        try send("\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n")
    }

    /// Says that nothing more will be sent.
    func halfClose() { shutdown(descriptor, Int32(SHUT_WR)) }

    func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }

    /// Closes with RST instead of FIN.
    func reset() {
        var abort = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &abort, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    // MARK: Receiving

    /// The next response with its body, whose framing is checked to the last byte.
    func response(to method: String = "GET") throws -> Response {
        var response = try head()
        response.body = try body(of: response, method: method)
        return response
    }

    /// The next head that is not interim.
    func head() throws -> Response {
        var interim: [Int] = []
        while true {
            var head = try anyHead()
            if head.status >= 200 {
                head.interim = interim
                return head
            }
            interim.append(head.status)
        }
    }

    /// The next head, interim or not.
    func anyHead() throws -> Response {
        var lines: [String] = []
        while true {
            guard let line = try line() else {
                throw WireError.noHead(
                    received: (lines + [String(decoding: buffer, as: UTF8.self)]).joined(separator: "\n"))
            }
            if line.isEmpty { break }
            lines.append(line)
        }
        var response = Response()
        let parts = (lines.first ?? "").split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, parts[0].hasPrefix("HTTP/"), let status = Int(parts[1]) else {
            throw WireError.malformed(lines.first ?? "")
        }
        response.version = String(parts[0])
        response.status = status
        response.reason = parts.count > 2 ? String(parts[2]) : ""
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { throw WireError.malformed(line) }
            response.fields.append(
                .init(
                    name: String(line[..<colon]),
                    value: line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)))
        }
        return response
    }

    /// The body that belongs to a head.
    func body(of head: Response, method: String = "GET") throws -> [UInt8] {
        if method == "HEAD" || head.status == 204 || head.status == 304 { return [] }
        if head["Transfer-Encoding"]?.lowercased() == "chunked" {
            var body: [UInt8] = []
            while let chunk = try chunk(after: body.count) { body += chunk }
            return body
        }
        if let length = head["Content-Length"].flatMap({ Int($0) }) { return try bytes(length) }
        return try rest()
    }

    /// The next chunk, or `nil` at the last.
    func chunk(after received: Int = 0) throws -> [UInt8]? {
        guard let line = try line() else { throw WireError.noLastChunk(received: received) }
        let digits = line.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces)
        guard let size = Int(digits, radix: 16) else { throw WireError.malformed("chunk size \(line)") }
        if size == 0 {
            while true {
                guard let trailer = try self.line() else { throw WireError.noLastChunk(received: received) }
                if trailer.isEmpty { return nil }
            }
        }
        do {
            let chunk = try bytes(size)
            guard try self.line() == "" else { throw WireError.noLastChunk(received: received + size) }
            return chunk
        } catch WireError.shortBody(let count, _) {
            throw WireError.noLastChunk(received: received + count)
        }
    }

    /// Exactly this many bytes.
    func bytes(_ count: Int) throws -> [UInt8] {
        while buffer.count < count {
            guard try fill() else {
                let received = buffer.count
                buffer = []
                throw WireError.shortBody(received: received, of: count)
            }
        }
        defer { buffer.removeFirst(count) }
        return Array(buffer[..<count])
    }

    /// What there is, at most so many bytes; none at the end of the connection.
    func some(_ count: Int) throws -> [UInt8] {
        if buffer.isEmpty { _ = try fill() }
        let bytes = Array(buffer.prefix(count))
        buffer.removeFirst(bytes.count)
        return bytes
    }

    /// All until the connection ends.
    func rest() throws -> [UInt8] {
        while try fill() {}
        defer { buffer = [] }
        return buffer
    }

    /// A line without its end, or `nil` where the connection ends.
    func line() throws -> String? {
        var searched = 0
        while true {
            if let end = buffer[searched...].firstIndex(of: 0x0A) {
                var line = buffer[..<end]
                if line.last == 0x0D { line.removeLast() }
                defer { buffer.removeFirst(end + 1) }
                return String(decoding: line, as: UTF8.self)
            }
            searched = buffer.count
            guard try fill() else { return nil }
        }
    }

    /// Reads a large body of a known length without keeping it: whether every byte is the one
    /// that `pattern` (repeated) has at its place.
    func drain(_ count: Int, matching pattern: [UInt8]) throws -> Bool {
        let size = 1 << 20
        let repeated = (0..<((size + pattern.count) / pattern.count + 1)).flatMap { _ in pattern }
        var piece = [UInt8](repeating: 0, count: size)
        var position = 0
        var matches = true
        func compare(_ bytes: UnsafeRawBufferPointer) {
            repeated.withUnsafeBytes { repeated in
                if memcmp(bytes.baseAddress!, repeated.baseAddress! + position % pattern.count, bytes.count) != 0 {
                    matches = false
                }
            }
            position += bytes.count
        }
        while !buffer.isEmpty {
            let part = Array(buffer.prefix(size))
            part.withUnsafeBytes(compare)
            buffer.removeFirst(part.count)
        }
        while position < count {
            let received = piece.withUnsafeMutableBytes {
                recv(descriptor, $0.baseAddress!, min($0.count, count - position), 0)
            }
            if received == 0 { throw WireError.shortBody(received: position, of: count) }
            if received < 0 {
                if errno == EINTR { continue }
                throw Self.error("recv")
            }
            piece.withUnsafeBytes { compare(UnsafeRawBufferPointer(rebasing: $0[..<received])) }
        }
        return matches
    }

    /// Whether nothing came so far and the connection is open: looks, does not wait.
    var isSilent: Bool {
        var byte: UInt8 = 0
        return buffer.isEmpty && recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) < 0
            && (errno == EAGAIN || errno == EWOULDBLOCK)
    }

    /// Waits for the end of the connection: `true` for a proper one, `false` for a reset.
    func endsProperly() throws -> Bool {
        do {
            _ = try rest()
            return true
        } catch WireError.reset {
            return false
        }
    }

    /// - Returns: `false` at the end.
    private func fill() throws -> Bool {
        if isAtEnd { return false }
        var piece = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(descriptor, &piece, piece.count, 0)
            if count > 0 {
                buffer += piece[..<count]
                return true
            }
            if count == 0 {
                isAtEnd = true
                return false
            }
            if errno != EINTR { throw Self.error("recv") }
        }
    }

    private static func error(_ call: String) -> WireError {
        switch errno {
        case EAGAIN, EWOULDBLOCK: .timedOut
        case ECONNRESET, EPIPE: .reset
        default: .system("\(call): \(String(cString: strerror(errno)))")
        }
    }
}
