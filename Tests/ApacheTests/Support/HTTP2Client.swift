import Foundation

/// A client of HTTP/2 in the clear that sends what it is told: to leave streams, and to send and read
/// them slowly. Each stream has the window that it begins with, 65,535 bytes, and it is never widened.
final class HTTP2Client {
    struct Frame {
        let kind: Kind
        let isLast: Bool
        let stream: Int
        let payload: [UInt8]
    }

    enum Kind: UInt8 {
        case data = 0
        case headers, priority, reset, settings, pushPromise, ping, goAway, windowUpdate, continuation
    }

    private let connection: RawClient

    init(port: Int) throws {
        connection = try RawClient(port: port)
        try connection.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        try send(.settings)
        // The connection's own, for what streams have that nobody reads any more.
        try send(.windowUpdate, [0, 0x10, 0, 0])
    }

    private func send(_ kind: Kind, flags: UInt8 = 0, stream: Int = 0, _ payload: [UInt8] = []) throws {
        let count = payload.count
        try connection.send(
            [UInt8(count >> 16 & 0xFF), UInt8(count >> 8 & 0xFF), UInt8(count & 0xFF), kind.rawValue, flags]
                + (0..<4).map { UInt8(stream >> (24 - 8 * $0) & 0xFF) } + payload)
    }

    /// Begins a request on a stream: an odd number, greater than those before.
    ///
    /// - Parameter length: The length of its body, if it says one.
    func request(_ method: String, _ path: String, stream: Int, hasBody: Bool = false, length: Int? = nil) throws {
        var block: [UInt8] = []
        let pseudoFields = [
            (":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path),
        ]
        let fields = length.map { [("content-length", String($0))] } ?? []
        for (name, value) in pseudoFields + fields {
            // A literal that nobody is to index (RFC 7541, section 6.2.2).
            block += [0, UInt8(name.utf8.count)] + Array(name.utf8)
            block += [UInt8(value.utf8.count)] + Array(value.utf8)
        }
        try send(.headers, flags: hasBody ? 4 : 5, stream: stream, block)
    }

    func sendData(_ text: String, stream: Int, isLast: Bool = false) throws {
        try send(.data, flags: isLast ? 1 : 0, stream: stream, Array(text.utf8))
    }

    /// Gives up a stream: CANCEL.
    func reset(stream: Int) throws { try send(.reset, stream: stream, [0, 0, 0, 8]) }

    func close() { connection.close() }

    /// The next frame of a stream; settings are acknowledged.
    func next(stream: Int) throws -> Frame {
        while true {
            let head = try connection.bytes(9)
            let payload = try connection.bytes(head[..<3].reduce(0) { $0 << 8 | Int($1) })
            guard let kind = Kind(rawValue: head[3]) else { continue }
            if kind == .settings && head[4] & 1 == 0 { try send(.settings, flags: 1) }
            let number = head[5...].reduce(0) { $0 << 8 | Int($1) }
            if number == stream {
                return Frame(kind: kind, isLast: head[4] & 1 != 0, stream: number, payload: payload)
            }
        }
    }

    /// The body of a stream, to its end; `nil` if the server reset it.
    func body(stream: Int) throws -> [UInt8]? {
        var body: [UInt8] = []
        while true {
            let frame = try next(stream: stream)
            switch frame.kind {
            case .reset: return nil
            case .data: body += frame.payload
            default: break
            }
            if frame.isLast { return body }
        }
    }
}
