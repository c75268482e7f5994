import HTTPTypes
import SwiftGICore
import Synchronization
import Testing

/// Doubles each byte, and marks the end.
private struct Doubling: BodyFilter {
    func transform(_ bytes: [UInt8]) -> [UInt8] { bytes.flatMap { [$0, $0] } }
    func finish() -> [UInt8] { Array("!".utf8) }
}

/// Only looks.
private struct Noting: BodyFilter {
    let notes: Notes

    func transform(_ bytes: [UInt8]) -> [UInt8] {
        notes.note(String(decoding: bytes, as: UTF8.self))
        return bytes
    }
}

/// Keeps all to the end.
private final class Holding: BodyFilter {
    private let held = Mutex<[UInt8]>([])

    func transform(_ bytes: [UInt8]) -> [UInt8] {
        held.withLock { $0 += bytes }
        return []
    }

    func finish() -> [UInt8] { held.withLock { Array("<".utf8) + $0 + Array(">".utf8) } }
}

private struct Refusing: BodyFilter {
    let atEnd: Bool

    func transform(_ bytes: [UInt8]) throws -> [UInt8] {
        if !atEnd { throw ApplicationError() }
        return bytes
    }

    func finish() throws -> [UInt8] { throw ApplicationError() }
}

@Suite(.timeLimit(.minutes(1)))
struct ResponseSenderTests {
    private let request = WaitingTransport()

    // MARK: Whole responses

    @Test("A whole response has its length and leaves in one piece")
    func sendAndFinish() async {
        let outcome = await request.outcome { _, _, _, sender in
            try await sender.sendAndFinish(
                HTTPResponse(status: .accepted, headerFields: [.eTag: "x"]), Array("body".utf8))
        }
        #expect(outcome == .completed)
        #expect(
            request.events == [
                .head(202, ["ETag: x"], length: 4), .piece(Array("body".utf8), flush: false, last: true),
            ])
    }

    @Test("A whole response without a body has length 0")
    func empty() async {
        #expect(await request.outcome { _, _, _, sender in try await sender.sendAndFinish(.ok) } == .completed)
        #expect(request.events == [.head(200, [], length: 0), .piece([], flush: false, last: true)])
    }

    @Test("A large whole response has its length, though it leaves in pieces", arguments: WaitMode.allCases)
    func large(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        request.stopTaking()
        request.serve { _, _, _, sender in
            try await sender.sendAndFinish(.ok, [UInt8](repeating: 0x78, count: 100_000))
        }
        await request.waits(for: .writable)
        request.takeAgain()
        #expect(await request.outcome == .completed)
        #expect(request.events.first == .head(200, [], length: 100_000))
        #expect(request.text.utf8.count == 100_000)
        #expect(request.violations.isEmpty)
    }

    @Test("A body of unknown length has none, and each piece is flushed")
    func pieces() async {
        let outcome = await request.outcome { _, _, _, sender in
            var writer = try await sender.send(.ok)
            try await writer.write([1])
            try await writer.write("ä")
            try await writer.finish()
        }
        #expect(outcome == .completed)
        #expect(
            request.events == [
                .head(200, [], length: nil), .piece([1], flush: true, last: false),
                .piece([0xC3, 0xA4], flush: true, last: false), .piece([], flush: false, last: true),
            ])
    }

    @Test("What is written last leaves with the end")
    func last() async {
        let outcome = await request.outcome { _, _, _, sender in
            try await sender.send(.ok).finish([1, 2])
        }
        #expect(outcome == .completed)
        #expect(request.events == [.head(200, [], length: nil), .piece([1, 2], flush: false, last: true)])
    }

    @Test("No bytes send nothing, not even the head")
    func nothing() async {
        let outcome = await request.outcome { _, _, _, sender in
            var writer = try await sender.send(.ok)
            try await writer.write([])
            try await writer.write("")
            throw ApplicationError()
        }
        #expect(outcome == .failed)
        #expect(request.events == [])
    }

    // MARK: The head

    @Test(
        "A head that is refused is thrown, and a 500",
        arguments: [
            (0, [:], "invalidStatus"), (100, [:], "invalidStatus"), (199, [:], "invalidStatus"),
            (600, [:], "invalidStatus"), (999, [:], "invalidStatus"), (200, [.connection: "close"], "invalidField"),
            (200, [.transferEncoding: "chunked"], "invalidField"), (200, [.contentLength: "-1"], "invalidField"),
            (200, [.contentLength: "x"], "invalidField"),
        ] as [(Int, HTTPFields, String)], [false, true])
    func refused(_ head: (status: Int, fields: HTTPFields, code: String), _ isWhole: Bool) async {
        let notes = Notes()
        let outcome = await request.outcome { _, _, _, sender in
            let response = HTTPResponse(status: .init(code: head.status), headerFields: head.fields)
            do {
                if isWhole {
                    try await sender.sendAndFinish(response)
                } else {
                    try await sender.send(response).finish()
                }
            } catch {
                notes.note(name(of: error))
                throw error
            }
        }
        #expect(outcome == .failed)
        #expect(notes.all == [head.code])
        #expect(request.events == [])
        #expect(request.log.map { String($0.message.prefix(7)) } == ["SGI0208"])
    }

    @Test("Control characters can't be in a field", arguments: [0x01, 0x08, 0x0B, 0x1F, 0x7F] as [UInt8])
    func control(_ character: UInt8) async {
        let outcome = await request.outcome { _, _, _, sender in
            var fields = HTTPFields()
            fields.append(HTTPField(name: .eTag, lenientValue: [0x61, character]))
            try await sender.sendAndFinish(HTTPResponse(status: .ok, headerFields: fields))
        }
        #expect(outcome == .failed)
        #expect(request.events == [])
    }

    // MARK: The length

    @Test("A length that was given is sent, and kept to")
    func length() async {
        let outcome = await request.outcome { _, _, _, sender in
            var writer = try await sender.send(HTTPResponse(status: .ok, headerFields: [.contentLength: "3"]))
            try await writer.write([1])
            try await writer.finish([2, 3])
        }
        #expect(outcome == .completed)
        #expect(request.events.first == .head(200, ["Content-Length: 3"], length: 3))
        #expect(request.pieces == [[1], [2, 3]])
    }

    @Test("What is over the length is cut, and thrown again and again", arguments: 0...2)
    func longer(_ way: Int) async {
        let notes = Notes()
        let outcome = await request.outcome { _, _, _, sender in
            let head = HTTPResponse(status: .ok, headerFields: [.contentLength: "3"])
            if way == 0 { return try await sender.sendAndFinish(head, [1, 2, 3, 4]) }
            var writer = try await sender.send(head)
            try await writer.write([1, 2])
            if way == 1 { return try await writer.finish([3, 4]) }
            for _ in 0..<2 { notes.note(await thrown { try await writer.write([3, 4]) }) }
            try await writer.finish()
        }
        #expect(outcome == .completed)
        #expect(request.pieces.flatMap { $0 } == [1, 2, 3])
        #expect(request.events.last.map { if case .piece(_, _, true) = $0 { true } else { false } } == true)
        #expect(request.log.map { String($0.message.prefix(7)) } == ["SGI0203"])
        #expect(notes.all == (way == 2 ? ["contentLengthExceeded", "contentLengthExceeded"] : []))
    }

    @Test("What is short of the length is no complete response", arguments: 0...2)
    func shorter(_ way: Int) async {
        let outcome = await request.outcome { _, _, _, sender in
            let head = HTTPResponse(status: .ok, headerFields: [.contentLength: "3"])
            if way == 0 { return try await sender.sendAndFinish(head, [1, 2]) }
            var writer = try await sender.send(head)
            try await writer.write([1])
            try await writer.finish(way == 1 ? [2] : [])
        }
        #expect(outcome == .failed)
        #expect(request.events.allSatisfy { if case .piece(_, _, true) = $0 { false } else { true } })
        #expect(request.log.map { String($0.message.prefix(7)) } == ["SGI0204"])
    }

    @Test("A large body is held against a shorter length", arguments: [1, 32768, 32769, 65536])
    func largeAndCut(_ length: Int) async {
        let outcome = await request.outcome { _, _, _, sender in
            try await sender.sendAndFinish(
                HTTPResponse(status: .ok, headerFields: [.contentLength: "\(length)"]),
                [UInt8](repeating: 0x78, count: 100_000))
        }
        #expect(outcome == .completed)
        #expect(request.text.utf8.count == length)
        #expect(request.log.map { String($0.message.prefix(7)) } == ["SGI0203"])
    }

    @Test("A response to HEAD has the length of what it would be", arguments: [false, true])
    func head(_ isGiven: Bool) async {
        let request = WaitingTransport(method: "HEAD")
        let outcome = await request.outcome { _, _, _, sender in
            let fields: HTTPFields = isGiven ? [.contentLength: "1234"] : [:]
            // The bytes that belong to it need not be made.
            try await sender.sendAndFinish(HTTPResponse(status: .ok, headerFields: fields), isGiven ? [] : [1, 2])
        }
        #expect(outcome == .completed)
        guard case .head(200, _, let length) = request.events.first else { return #expect(Bool(false)) }
        #expect(length == (isGiven ? 1234 : 2))
    }

    @Test("204 and 304 have no bytes and nothing that describes some", arguments: [204, 304], [false, true])
    func noContent(_ status: Int, _ isWhole: Bool) async {
        let outcome = await request.outcome { _, _, _, sender in
            let head = HTTPResponse(
                status: .init(code: status),
                headerFields: [.contentType: "text/plain", .contentLength: "2", .eTag: "x"])
            if isWhole { return try await sender.sendAndFinish(head, [1, 2]) }
            var writer = try await sender.send(head)
            try await writer.write([1])
            try await writer.finish([2])
        }
        #expect(outcome == .completed)
        guard case .head(status, let fields, nil) = request.events.first else { return #expect(Bool(false)) }
        #expect(!fields.contains { $0.hasPrefix("Content-Type") })
        #expect(request.pieces == [[]])
    }

    // MARK: Before the head

    @Test("Informational responses go before the head, any number of them", arguments: WaitMode.allCases)
    func informational(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        let outcome = await request.outcome { _, _, _, sender in
            var sender = sender
            try await sender.sendInformational(HTTPResponse(status: .init(code: 103), headerFields: [.eTag: "1"]))
            try await Task.sleep(for: .milliseconds(1))
            try await sender.sendInformational(HTTPResponse(status: .init(code: 102)))
            try await sender.sendAndFinish(.ok)
        }
        #expect(outcome == .completed)
        #expect(
            request.events == [
                .informational(103, ["ETag: 1"]), .informational(102, []), .head(200, [], length: 0),
                .piece([], flush: false, last: true),
            ])
        #expect(request.violations.isEmpty)
    }

    @Test(
        "What is not informational is refused, and the sender can go on",
        arguments: [
            (99, [:], "invalidStatus"), (101, [:], "invalidStatus"), (200, [:], "invalidStatus"),
            (103, [.connection: "close"], "invalidField"),
        ] as [(Int, HTTPFields, String)])
    func notInformational(_ status: Int, _ fields: HTTPFields, _ code: String) async {
        let notes = Notes()
        let outcome = await request.outcome { _, _, _, sender in
            var sender = sender
            do {
                try await sender.sendInformational(HTTPResponse(status: .init(code: status), headerFields: fields))
            } catch {
                notes.note(name(of: error))
            }
            try await sender.sendAndFinish(.ok)
        }
        #expect(outcome == .completed)
        #expect(notes.all == [code])
        #expect(request.events.count == 2)
    }

    // MARK: Behind the body

    @Test("Trailers are told before the last piece")
    func trailers() async {
        let outcome = await request.outcome { _, _, _, sender in
            var writer = try await sender.send(.ok)
            try await writer.write([1])
            try await writer.finish([2], trailers: [.eTag: "sum"])
        }
        #expect(outcome == .completed)
        #expect(
            request.events == [
                .head(200, [], length: nil), .piece([1], flush: true, last: false), .trailers(["ETag: sum"]),
                .piece([2], flush: false, last: true),
            ])
    }

    @Test("Behind a head that has nothing else to take it along", arguments: [false, true])
    func trailersAlone(_ isWhole: Bool) async {
        let outcome = await request.outcome { _, _, _, sender in
            if isWhole {
                try await sender.sendAndFinish(.ok, trailers: [.eTag: "sum"])
            } else {
                try await sender.send(.ok).finish(trailers: [.eTag: "sum"])
            }
        }
        #expect(outcome == .completed)
        #expect(
            request.events == [
                .head(200, [], length: isWhole ? 0 : nil), .trailers(["ETag: sum"]),
                .piece([], flush: false, last: true),
            ])
        #expect(request.violations.isEmpty)
    }

    @Test("Trailers come with a whole response, and once if it has to wait", arguments: WaitMode.allCases)
    func trailersOnce(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        request.stopTaking()
        request.serve { _, _, _, sender in
            try await sender.sendAndFinish(.ok, [UInt8](repeating: 0x78, count: 40_000), trailers: [.eTag: "sum"])
        }
        await request.waits(for: .writable)
        #expect(!request.events.contains(.trailers(["ETag: sum"])))
        request.takeAgain()
        #expect(await request.outcome == .completed)
        #expect(request.events.filter { $0 == .trailers(["ETag: sum"]) }.count == 1)
        #expect(request.violations.isEmpty)
    }

    @Test(
        "What can't be a trailer is refused",
        arguments: [
            [.contentLength: "1"], [.contentType: "a/b"], [.contentEncoding: "gzip"], [.setCookie: "a=b"],
            [.connection: "close"], [.transferEncoding: "chunked"],
        ] as [HTTPFields])
    func notTrailers(_ fields: HTTPFields) async {
        let notes = Notes()
        let outcome = await request.outcome { _, _, _, sender in
            do {
                try await sender.sendAndFinish(.ok, [1], trailers: fields)
            } catch {
                notes.note(name(of: error))
                throw error
            }
        }
        #expect(outcome == .failed)
        #expect(notes.all == ["invalidField"])
        #expect(request.events == [])
    }

    // MARK: Transforms

    @Test("Transforms see the head in their order, the innermost first, and their filters the bytes")
    func transforms() async {
        let notes = Notes()
        let outcome = await request.outcome { _, _, _, sender in
            let outer = sender.transforming { response in
                response.headerFields[.eTag] = (response.headerFields[.eTag] ?? "") + " outer"
                return Noting(notes: notes)
            }
            let inner = outer.transforming { response in
                response.headerFields[.eTag] = (response.headerFields[.eTag] ?? "") + " inner"
                return Doubling()
            }
            let none = inner.transforming { response in
                response.status = .accepted
                return nil
            }
            var writer = try await none.send(HTTPResponse(status: .ok, headerFields: [.eTag: "handler"]))
            try await writer.write("a")
            try await writer.write("")
            try await writer.finish(Array("b".utf8))
        }
        #expect(outcome == .completed)
        #expect(request.events.first == .head(202, ["ETag: handler inner outer"], length: nil))
        #expect(request.pieces == [Array("aa".utf8), Array("bb!".utf8)])
        #expect(notes.all == ["aa", "", "bb!"])
    }

    @Test("A whole response passes through filters as one, and has the length of what comes out")
    func transformWhole() async {
        let outcome = await request.outcome { _, _, _, sender in
            try await sender.transforming { _ in Doubling() }.sendAndFinish(.ok, Array("ab".utf8))
        }
        #expect(outcome == .completed)
        #expect(
            request.events == [.head(200, [], length: 5), .piece(Array("aabb!".utf8), flush: false, last: true)])
    }

    @Test("A filter may keep bytes to the end")
    func holding() async {
        let outcome = await request.outcome { _, _, _, sender in
            var writer = try await sender.transforming { _ in Holding() }.send(.ok)
            for text in ["a", "b"] { try await writer.write(text) }
            try await writer.finish()
        }
        #expect(outcome == .completed)
        #expect(request.pieces == [Array("<ab>".utf8)])
    }

    @Test("A filter that throws aborts the response, or makes it a 500", arguments: 0...3)
    func refusing(_ way: Int) async {
        let outcome = await request.outcome { _, _, _, sender in
            let filtered = sender.transforming { _ in Refusing(atEnd: way % 2 == 1) }
            if way < 2 { return try await filtered.sendAndFinish(.ok, [1]) }
            var writer = try await filtered.send(.ok)
            try await writer.write([1])
            try await writer.finish()
        }
        #expect(outcome == .failed)
        #expect(request.text.utf8.count == (way == 3 ? 1 : 0))
        let consequence = way == 3 ? "response aborted" : "status 500"
        #expect(request.log.map(\.message) == ["SGI0201: application failed, \(consequence): ApplicationError()"])
    }

    @Test("Informational responses are not transformed")
    func informationalTransform() async {
        let outcome = await request.outcome { _, _, _, sender in
            var sender = sender.transforming { response in
                response.headerFields[.eTag] = "x"
                return nil
            }
            try await sender.sendInformational(HTTPResponse(status: .init(code: 103)))
            try await sender.sendAndFinish(.ok)
        }
        #expect(outcome == .completed)
        #expect(request.events.first == .informational(103, []))
        #expect(request.events.dropFirst().first == .head(200, ["ETag: x"], length: 0))
    }
}
