import HTTPTypes
import SwiftGICore
import Testing

@Suite(.timeLimit(.minutes(1)))
struct RequestReaderTests {
    /// Lets a handler read and answer with what it noted.
    private func read(
        _ request: WaitingTransport,
        _ body: @escaping @Sendable (consuming sending RequestReader) async throws -> String
    ) async -> (outcome: Outcome?, text: String) {
        let outcome = await request.outcome { _, _, reader, sender in
            let text = try await body(reader)
            try await sender.sendAndFinish(.ok, Array(text.utf8))
        }
        #expect(request.violations.isEmpty)
        return (outcome, request.text)
    }

    @Test("next gives what is there, at most so much, and nil at the end, again and again")
    func next() async {
        let request = WaitingTransport(body: ["one", "two", ""])
        let (outcome, text) = await read(request) { reader in
            var reader = reader
            var pieces: [String] = []
            for count in [2, 5, 0, Int.min, .max, 1, 1] {
                let piece = try await reader.next(upTo: count)
                pieces.append(piece.map { String(decoding: $0, as: UTF8.self) } ?? "nil")
            }
            return pieces.joined(separator: "|")
        }
        #expect(outcome == .completed)
        #expect(text == "on|e|t|w|o|nil|nil")
    }

    @Test("No buffer is larger than 64 KiB, whatever is asked for")
    func huge() async {
        let request = WaitingTransport(body: [String(repeating: "x", count: 200_000)])
        let (_, text) = await read(request) { reader in
            var reader = reader
            var counts: [Int] = []
            while let piece = try await reader.next(upTo: .max) { counts.append(piece.count) }
            return "\(counts)"
        }
        #expect(text == "[65536, 65536, 65536, 3392]")
    }

    @Test("What has not come is waited for", arguments: WaitMode.allCases)
    func waits(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        request.serve { _, _, reader, sender in try await sender.sendAndFinish(.ok, try await reader.collect(upTo: 9)) }
        for piece in ["a", "b", "c"] {
            await request.waits(for: .readable)
            request.give(piece)
        }
        await request.waits(for: .readable)
        request.endInput()
        #expect(await request.outcome == .completed)
        #expect(request.text == "abc")
        #expect(request.waits.allSatisfy { $0 == .readable })
        #expect(request.violations.isEmpty)
    }

    @Test(
        "collect gives all up to its limit, and 413 behind it",
        arguments: [
            (6, true), (7, true), (Int.max, true), (Int.max - 1, true), (5, false), (0, false), (-1, false),
            (.min, false),
        ])
    func collect(_ limit: Int, _ fits: Bool) async {
        for isSequence in [false, true] {
            let request = WaitingTransport(body: ["one", "two"])
            let (outcome, text) = await read(request) { reader in
                let bytes =
                    isSequence
                    ? try await reader.sequence().collect(upTo: limit) : try await reader.collect(upTo: limit)
                return String(decoding: bytes, as: UTF8.self)
            }
            #expect(outcome == (fits ? .completed : .tooLarge))
            #expect(text == (fits ? "onetwo" : ""))
            if !fits {
                #expect(
                    request.log.map(\.message) == [
                        "SGI0205: request body refused: bodyTooLarge: more than \(limit) bytes"
                    ])
            }
        }
    }

    @Test("A body without bytes fits any limit that is none", arguments: [0, 1, Int.max])
    func nothing(_ limit: Int) async {
        let request = WaitingTransport(body: [])
        let (outcome, text) = await read(request) { reader in "\(try await reader.collect(upTo: limit).count)" }
        #expect(outcome == .completed)
        #expect(text == "0")
    }

    @Test("A sequence gives the pieces, and copies and iterators share them")
    func sequence() async {
        let request = WaitingTransport(body: ["a", "b", "c", "d"])
        let (_, text) = await read(request) { reader in
            let body = reader.sequence()
            let copy = body
            var first = body.makeAsyncIterator()
            var second = copy.makeAsyncIterator()
            var pieces: [String] = []
            for _ in 0..<2 {
                pieces.append(String(decoding: try await first.next() ?? [], as: UTF8.self))
                pieces.append(String(decoding: try await second.next() ?? [], as: UTF8.self))
            }
            #expect(try await first.next() == nil)
            #expect(try await second.next() == nil)
            return pieces.joined(separator: "|")
        }
        #expect(text == "a|b|c|d")
    }

    @Test("Trailers are there behind the end of the body", arguments: WaitMode.allCases)
    func trailers(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        request.serve { _, _, reader, sender in
            var reader = reader
            var counts = [try await reader.trailers.count]
            while try await reader.next() != nil { counts.append(try await reader.trailers.count) }
            let checksum = try await reader.trailers[.eTag] ?? "none"
            let again = try await reader.sequence().trailers
            try await sender.sendAndFinish(.ok, Array("\(counts) \(checksum) \(again.count)".utf8))
        }
        await request.waits(for: .readable)
        request.give("x")
        await request.holds { $0.waits.count >= 2 }
        request.endInput([("ETag", "sum"), ("Server", "s")])
        #expect(await request.outcome == .completed)
        #expect(request.text == "[0, 0] sum 2")
        #expect(request.violations.isEmpty)
    }

    @Test(
        "What goes wrong with the body is thrown each time, and decides the response",
        arguments: [
            (.clientGone, .clientGone, "SGI0202"), (.bodyTooLarge, .tooLarge, "SGI0205"),
            (.malformedBody, .badRequest, "SGI0206"), (.timedOut, .timedOut, "SGI0207"), (.input, .failed, "SGI0209"),
        ] as [(GatewayError.Code, Outcome, String)])
    func errors(_ code: GatewayError.Code, _ outcome: Outcome, _ id: String) async {
        let request = WaitingTransport(body: ["some"])
        request.failInput(code)
        let notes = Notes()
        let served = await request.outcome { _, _, reader, sender in
            var reader = reader
            #expect(try await reader.next() == Array("some".utf8))
            for _ in 0..<2 { notes.note(await thrown { _ = try await reader.next() }) }
            let body = reader.sequence()
            notes.note(await thrown { for try await _ in body {} })
            _ = try await body.collect(upTo: 1)
        }
        #expect(served == outcome)
        #expect(notes.all == Array(repeating: "\(code)", count: 3))
        #expect(request.log.map { String($0.message.prefix(7)) } == [id])
    }

    @Test("A handler that catches it may answer all the same")
    func caught() async {
        let request = WaitingTransport()
        request.failInput(.malformedBody)
        let (outcome, text) = await read(request) { reader in
            do { return "\(try await reader.collect(upTo: 9))" } catch { return "sorry" }
        }
        #expect(outcome == .completed)
        #expect(text == "sorry")
    }
}
