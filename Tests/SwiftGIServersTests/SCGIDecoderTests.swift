import SwiftGIServers
import Testing

struct SCGIDecoderTests {
    private func decode(
        _ pieces: [[UInt8]], limit: Int = 1000
    ) throws(WireError) -> (header: [UInt8], body: [UInt8], ended: Bool) {
        var decoder = SCGIDecoder(limit: limit)
        var result = (header: [UInt8](), body: [UInt8](), ended: false)
        for piece in pieces {
            var position = 0
            while let event = try decoder.next(piece.span, &position) {
                switch event {
                case .header(let range): result.header += piece[range]
                case .headerEnd: result.ended = true
                case .body(let range): result.body += piece[range]
                }
            }
        }
        return result
    }

    private static let header = Array(
        "CONTENT_LENGTH\u{0}4\u{0}SCGI\u{0}1\u{0}REQUEST_METHOD\u{0}POST\u{0}EMPTY\u{0}\u{0}".utf8)
    private static let stream = Array("\(header.count):".utf8) + header + Array(",body".utf8)

    @Test("A request cut at any byte means the same")
    func cuts() throws {
        for cut in 0...Self.stream.count {
            let result = try decode([Array(Self.stream[..<cut]), Array(Self.stream[cut...])])
            #expect(result.header == Self.header)
            #expect(result.body == Array("body".utf8))
            #expect(result.ended)
        }
        #expect(try decode(Self.stream.map { [$0] }).body == Array("body".utf8))
    }

    @Test(
        "A netstring that is none is refused",
        arguments: [":", "a:", "01:a,", "-1:", "3:abc;", "1001:", "99999999999999999999:", "3 :abc,"])
    func refused(_ text: String) {
        #expect(throws: WireError.self) { try decode([Array(text.utf8)]) }
        #expect(throws: WireError.self) { try decode(text.utf8.map { [$0] }) }
    }

    private func locate(_ text: String, limit: Int = 100) throws(WireError) -> [String] {
        let bytes = Array(text.utf8)
        var places: [VariablePlace] = []
        try SCGIDecoder.locate(bytes.span, limit: limit, into: &places)
        return places.map { String(decoding: bytes[$0.name] + [0x3D] + bytes[$0.value], as: UTF8.self) }
    }

    @Test("Variables are found")
    func variables() throws {
        #expect(
            try locate(String(decoding: Self.header, as: UTF8.self))
                == ["CONTENT_LENGTH=4", "SCGI=1", "REQUEST_METHOD=POST", "EMPTY="])
    }

    @Test(
        "A header that is none is refused",
        arguments: [
            "", "CONTENT_LENGTH\u{0}", "CONTENT_LENGTH\u{0}0\u{0}", "SCGI\u{0}1\u{0}CONTENT_LENGTH\u{0}0\u{0}",
            "CONTENT_LENGTH\u{0}0\u{0}SCGI\u{0}2\u{0}", "CONTENT_LENGTH\u{0}0\u{0}SCGI\u{0}1\u{0}A",
            "CONTENT_LENGTH\u{0}0\u{0}SCGI\u{0}1\u{0}A\u{0}", "CONTENT_LENGTH\u{0}0\u{0}SCGI\u{0}1\u{0}\u{0}x\u{0}",
        ])
    func badHeader(_ text: String) {
        #expect(throws: WireError.self) { try locate(text) }
    }

    @Test("More variables than there may be are refused")
    func many() throws {
        #expect(throws: WireError.self) { try locate(String(decoding: Self.header, as: UTF8.self), limit: 3) }
    }
}
