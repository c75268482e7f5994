import HTTPTypes
import SwiftGICore
import Testing

/// Sends files as gateways do that have nothing better.
private final class ReadingTransport: Transport {
    let server = ServerTraits()
    let isClientGone = false
    private(set) var pieces: [(count: Int, last: Bool)] = []
    private(set) var body: [UInt8] = []

    func withVariable(_ name: Span<UInt8>, _ body: (Span<UInt8>) -> Void) -> Bool { false }
    func forEachVariable(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {}
    func forEachField(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {}
    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int { 0 }
    func sendHead(_ status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?) throws(GatewayError) {}
    func log(_ level: LogLevel, _ message: String, isFinished: Bool) {}

    func sendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) {
        pieces.append((bytes.count, last))
        body += [UInt8](copying: bytes)
    }
}

struct TransportTests {
    private func send(_ content: String, offset: Int64, length: Int64, last: Bool) throws -> ReadingTransport {
        let transport = ReadingTransport()
        let file = BodyFile(descriptor: try makeFile(content), offset: offset, length: length, closing: true)
        try transport.sendFile(file, offset: offset, length: length, last: last)
        return transport
    }

    @Test("A part of a file is read and sent, the last piece as the last", arguments: [true, false])
    func part(_ last: Bool) throws {
        let transport = try send("0123456789", offset: 2, length: 5, last: last)
        #expect(text(transport.body) == "23456")
        #expect(transport.pieces.map(\.last) == [last])
    }

    @Test("A large part is sent in pieces")
    func large() throws {
        let content = String(repeating: "0123456789abcdef", count: 10_000)
        let transport = try send(content, offset: 0, length: 160_000, last: true)
        #expect(text(transport.body) == content)
        #expect(transport.pieces.map(\.count) == [65536, 65536, 28928])
        #expect(transport.pieces.map(\.last) == [false, false, true])
    }

    @Test("A file that became shorter is an error")
    func shorter() {
        #expect(GatewayError.code { _ = try send("0123", offset: 0, length: 10, last: true) } == .output)
    }

    @Test("Nothing of a file ends the response only if it is the last", arguments: [true, false])
    func nothing(_ last: Bool) throws {
        #expect(try send("0123", offset: 0, length: 0, last: last).pieces.map(\.last) == (last ? [true] : []))
    }
}
