import GatewayClients
import SwiftGIServers
import Testing

/// What a stream means, however it was cut.
private enum Meaning: Equatable {
    case begin(UInt16, UInt16, Bool)
    case abort(UInt16)
    case params(UInt16, [UInt8])
    case paramsEnd(UInt16)
    case stdin(UInt16, [UInt8])
    case stdinEnd(UInt16)
    case data(UInt16, [UInt8])
    case dataEnd(UInt16)
    case values([UInt8])
    case unknown(UInt8)
    case `extension`(FastCGI.ExtensionType, UInt16, [UInt8])
}

private func decode(_ pieces: [[UInt8]]) throws(WireError) -> [Meaning] {
    var decoder = FastCGIDecoder()
    var all: [Meaning] = []
    for piece in pieces {
        var position = 0
        while let event = try decoder.next(piece.span, &position) {
            func joined(_ range: Range<Int>, after: [UInt8]?) -> [UInt8] {
                if after != nil { all.removeLast() }
                return (after ?? []) + piece[range]
            }
            switch event {
            case .begin(let id, let role, let keep): all.append(.begin(id, role, keep))
            case .abort(let id): all.append(.abort(id))
            case .params(let id, let range):
                var before: [UInt8]?
                if case .params(id, let bytes) = all.last { before = bytes }
                all.append(.params(id, joined(range, after: before)))
            case .paramsEnd(let id): all.append(.paramsEnd(id))
            case .stdin(let id, let range):
                var before: [UInt8]?
                if case .stdin(id, let bytes) = all.last { before = bytes }
                all.append(.stdin(id, joined(range, after: before)))
            case .stdinEnd(let id): all.append(.stdinEnd(id))
            case .data(let id, let range):
                var before: [UInt8]?
                if case .data(id, let bytes) = all.last { before = bytes }
                all.append(.data(id, joined(range, after: before)))
            case .dataEnd(let id): all.append(.dataEnd(id))
            case .getValues(let pairs): all.append(.values(pairs))
            case .unknown(let type): all.append(.unknown(type))
            case .extension(let type, let id, let content): all.append(.extension(type, id, content))
            }
        }
        #expect(position == piece.count)
    }
    return all
}

struct FastCGIDecoderTests {
    private static func record(_ type: UInt8, _ id: UInt16, _ content: [UInt8], padding: Int = 0) -> [UInt8] {
        [
            1, type, UInt8(id >> 8), UInt8(id & 255), UInt8(content.count >> 8), UInt8(content.count & 255),
            UInt8(padding), 0,
        ]
            + content + [UInt8](repeating: 0xEE, count: padding)
    }

    /// All kinds of records, with and without padding.
    private static let stream: [UInt8] =
        record(1, 1, [0, 1, 1, 0, 0, 0, 0, 0], padding: 3) + record(9, 0, [14, 0] + Array("FCGI_MAX_CONNS".utf8))
        + record(4, 1, [1, 2, 3], padding: 5) + record(1, 258, [0, 3, 0, 0, 0, 0, 0, 0])
        + record(4, 1, [4], padding: 255) + record(4, 1, []) + record(5, 1, [7, 8, 9], padding: 1)
        + record(77, 0, [1, 2, 3, 4], padding: 4) + record(5, 258, [1]) + record(5, 1, [], padding: 8)
        + record(8, 258, [5, 5]) + record(8, 258, []) + record(2, 1, []) + record(2, 258, [1, 2])
        + record(65, 1, Array("A: b\r\n".utf8), padding: 2) + record(66, 258, [4]) + record(68, 1, [])
        + record(64, 1, [1]) + record(65, 0, [1])

    private static let meaning: [Meaning] = [
        .begin(1, 1, true), .values([14, 0] + Array("FCGI_MAX_CONNS".utf8)), .params(1, [1, 2, 3]),
        .begin(258, 3, false),
        .params(1, [4]), .paramsEnd(1), .stdin(1, [7, 8, 9]), .unknown(77), .stdin(258, [1]), .stdinEnd(1),
        .data(258, [5, 5]), .dataEnd(258), .abort(1), .abort(258),
        .extension(.trailers, 1, Array("A: b\r\n".utf8)), .extension(.inputFailed, 258, [4]),
        .extension(.stopping, 1, []), .unknown(64), .unknown(65),
    ]

    @Test("A stream in one piece")
    func whole() throws { #expect(try decode([Self.stream]) == Self.meaning) }

    @Test("A stream cut at any byte means the same")
    func cuts() throws {
        for cut in 0...Self.stream.count {
            #expect(try decode([Array(Self.stream[..<cut]), Array(Self.stream[cut...])]) == Self.meaning, "\(cut)")
        }
    }

    @Test("A stream byte by byte means the same")
    func bytes() throws { #expect(try decode(Self.stream.map { [$0] }) == Self.meaning) }

    @Test(
        "What breaks the protocol is refused",
        arguments: [
            [2, 1, 0, 1, 0, 8, 0, 0], record(1, 0, [0, 1, 0, 0, 0, 0, 0, 0]), record(1, 1, [0, 1]), record(9, 1, []),
            record(4, 0, [1]), record(5, 0, []), record(3, 1, []), record(6, 1, []), record(7, 1, []),
            record(10, 0, []),
            record(11, 0, []), record(8, 0, []), record(2, 0, []),
        ])
    func refused(_ bytes: [UInt8]) {
        #expect(throws: WireError.self) { try decode([bytes]) }
        #expect(throws: WireError.self) { try decode(bytes.map { [$0] }) }
    }

    @Test("It is told what is ahead, and where records end")
    func ahead() throws {
        var decoder = FastCGIDecoder()
        #expect(decoder.isBetweenRecords)
        let bytes = Array(Self.record(5, 9, [1, 2, 3, 4])[..<9])
        let none: [UInt8] = []
        var position = 0
        _ = try decoder.next(bytes.span, &position)
        #expect(!decoder.isBetweenRecords)
        #expect(decoder.bodyAhead?.id == 9)
        #expect(decoder.bodyAhead?.count == 3)
        decoder.skipBody(99)
        position = 0
        #expect(try decoder.next(none.span, &position) == nil)
        #expect(decoder.isBetweenRecords)
    }

    @Test("Records that are written are read again", arguments: [0, 1, 7, 65528, 65529, 200_000])
    func roundTrip(_ count: Int) throws {
        let content = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var bytes: [UInt8] = []
        bytes.appendStream(.stdin, id: 515, content.span)
        bytes.appendStreamEnd(.stdin, id: 515)
        let expected: [Meaning] = count == 0 ? [.stdinEnd(515)] : [.stdin(515, content), .stdinEnd(515)]
        #expect(try decode([bytes]) == expected)
    }
}

struct NameValuePairsTests {
    private func locate(_ bytes: [UInt8], limit: Int = 100) throws(WireError) -> [(name: [UInt8], value: [UInt8])] {
        var places: [VariablePlace] = []
        try NameValuePairs.locate(bytes.span, limit: limit, into: &places)
        return places.map { (Array(bytes[$0.name]), Array(bytes[$0.value])) }
    }

    @Test("Pairs that are written are read again", arguments: [0, 1, 127, 128, 255, 256, 65536, 70000])
    func lengths(_ count: Int) throws {
        let name = [UInt8](repeating: 0x4E, count: max(1, count))
        let value = [UInt8](repeating: 0x56, count: count)
        var bytes: [UInt8] = []
        bytes.appendPair(name, value)
        bytes.appendPair([0x41], [])
        let pairs = try locate(bytes)
        #expect(pairs.count == 2)
        #expect(pairs[0].name == name && pairs[0].value == value)
        #expect(pairs[1].name == [0x41] && pairs[1].value == [])
    }

    @Test("A pair that ends early is refused, wherever it ends")
    func cut() throws {
        var bytes: [UInt8] = []
        bytes.appendPair([UInt8](repeating: 1, count: 130), [UInt8](repeating: 2, count: 200))
        #expect(try locate(bytes).count == 1)
        for count in 1..<bytes.count { #expect(throws: WireError.self) { try locate(Array(bytes[..<count])) } }
    }

    @Test("Lengths beyond all bounds are refused")
    func huge() {
        #expect(throws: WireError.self) { try locate([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]) }
        #expect(throws: WireError.self) { try locate([1, 0xFF, 0xFF, 0xFF, 0xFF, 1]) }
    }

    @Test("More variables than there may be are refused")
    func many() throws {
        let bytes = [UInt8](repeating: 0, count: 20)
        #expect(try locate(bytes, limit: 10).count == 10)
        #expect(throws: WireError.self) { try locate(bytes, limit: 9) }
    }
}
