import HTTPTypes
import SwiftGICore
import Testing

struct ExchangeTests {
    // MARK: The head

    @Test("A head is stored and goes out with the first bytes")
    func stored() throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.accepted, [.eTag: "x"], nil)
        #expect(exchange.isStarted && !exchange.isHeadSent)
        #expect(transport.events == [])
        try exchange.send([1].span)
        #expect(exchange.isHeadSent && !exchange.isComplete)
        #expect(transport.response == [.head(202, ["ETag: x"], length: nil), .piece([1], flush: false, last: false)])
    }

    @Test("An empty piece sends nothing unless it is the last")
    func empty() throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.ok, [:], nil)
        try exchange.send(Span<UInt8>(), flush: true)
        #expect(transport.events == [])
        try exchange.send(Span<UInt8>(), last: true, known: 0)
        #expect(transport.response == [.head(200, [], length: 0), .piece([], flush: false, last: true)])
        #expect(exchange.isComplete)
    }

    @Test("A second call without an error throws, whatever the first did", arguments: [true, false])
    func twice(_ isFirstGood: Bool) throws {
        let (exchange, _) = makeExchange()
        try? exchange.startResponse(.ok, isFirstGood ? [:] : [.connection: "close"], nil)
        #expect(exchange.isStarted == isFirstGood)
        #expect(GatewayError.code { try exchange.startResponse(.ok, [:], nil) } == .startResponseCalledTwice)
    }

    @Test("With an error a head is replaced until it was sent, then the error is thrown back")
    func replace() throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.ok, [.eTag: "x"], nil)
        try exchange.startResponse(.notFound, [:], ApplicationError())
        try exchange.send([1].span)
        #expect(throws: ApplicationError.self) { try exchange.startResponse(.ok, [:], ApplicationError()) }
        #expect(GatewayError.code { try exchange.startResponse(.ok, [:], nil) } == .startResponseCalledTwice)
        #expect(transport.response.first == .head(404, [], length: nil))
    }

    @Test("A head that is refused leaves the one before")
    func refused() throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.accepted, [:], nil)
        #expect(
            GatewayError.code { try exchange.startResponse(.init(code: 99), [:], ApplicationError()) } == .invalidStatus
        )
        try exchange.send([1].span)
        #expect(transport.response.first == .head(202, [], length: nil))
    }

    @Test("Behind the end there is no head")
    func late() {
        let (exchange, _) = makeExchange()
        exchange.finish()
        #expect(GatewayError.code { try exchange.startResponse(.ok, [:], nil) } == .finished)
    }

    @Test("Without a head nothing is sent")
    func noHead() {
        let (exchange, transport) = makeExchange()
        #expect(GatewayError.code { try exchange.send([1].span) } == .startResponseNotCalled)
        #expect(GatewayError.code { try exchange.send(Span<UInt8>(), last: true) } == .startResponseNotCalled)
        #expect(transport.response == [])
    }

    // MARK: The length

    @Test(
        "The application's length is preferred to the one that is known",
        arguments: [(nil, 5), ("7", 7)] as [(String?, Int64)])
    func length(_ given: String?, _ expected: Int64) throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.ok, given.map { [.contentLength: $0] } ?? [:], nil)
        try exchange.send([1].span, known: 5)
        guard case .head(_, _, let length) = transport.response.first else { return #expect(Bool(false)) }
        #expect(length == expected)
    }

    @Test("What is over the length is cut, and so is everything behind", arguments: [true, false])
    func longer(_ last: Bool) throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.ok, [.contentLength: "3"], nil)
        try exchange.send([1, 2].span)
        #expect(GatewayError.code { try exchange.send([3, 4].span, last: last) } == .contentLengthExceeded)
        #expect(exchange.isComplete)
        #expect(
            transport.response.dropFirst() == [
                .piece([1, 2], flush: false, last: false), .piece([3], flush: false, last: true),
            ])
        #expect(GatewayError.code { try exchange.send([5].span) } == .contentLengthExceeded)
        #expect(GatewayError.code { try exchange.send(Span<UInt8>(), last: true) } == .contentLengthExceeded)
        #expect(transport.body == [1, 2, 3])
    }

    @Test("The largest length overflows nothing")
    func largest() throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.ok, [.contentLength: "\(Int64.max)"], nil)
        try exchange.send([1].span)
        #expect(GatewayError.code { try exchange.send([2].span, last: true) } == .contentLengthNotReached)
        #expect(transport.response.first == .head(200, ["Content-Length: \(Int64.max)"], length: .max))
    }

    @Test("What is short of the length is sent and does not end the response")
    func shorter() throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.ok, [.contentLength: "3"], nil)
        #expect(GatewayError.code { try exchange.send([1].span, last: true) } == .contentLengthNotReached)
        #expect(!exchange.isComplete)
        #expect(transport.response.last == .piece([1], flush: true, last: false))
    }

    @Test("Behind the end nothing is sent")
    func behind() throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.ok, [:], nil)
        try exchange.send([1].span, last: true)
        #expect(GatewayError.code { try exchange.send([2].span) } == .finished)
        #expect(GatewayError.code { try exchange.send(Span<UInt8>()) } == .finished)
        #expect(
            GatewayError.code {
                try exchange.send(BodyFile(descriptor: -1, offset: 0, length: 1, closing: false), offset: 0, length: 1)
            } == .finished)
        #expect(transport.body == [1])
    }

    @Test("Behind output that failed nothing is sent, and its error is thrown again", arguments: 0...2)
    func failed(_ number: Int) throws {
        let (exchange, transport) = makeExchange()
        transport.failure = { $0 == number ? GatewayError(.output, "disk full") : nil }
        try exchange.startResponse(.ok, [:], nil)
        var codes: [GatewayError.Code?] = []
        for byte in [1, 2, 3] as [UInt8] { codes.append(GatewayError.code { try exchange.send([byte].span) }) }
        #expect(codes.last == .output)
        #expect(codes.filter { $0 == nil }.count == max(0, number - 1))
        #expect(GatewayError.code { try exchange.send(Span<UInt8>(), last: true) } == .output)
        #expect(transport.body == Array([1, 2, 3].prefix(max(0, number - 1))))
        #expect(!exchange.isComplete)
    }

    // MARK: No body

    @Test("A status without a body has no length and no bytes", arguments: [204, 304])
    func noBody(_ code: Int) throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.init(code: code), [.contentLength: "9"], nil)
        #expect(exchange.omitsBody)
        try exchange.send([1, 2].span, known: 2)
        try exchange.send([3].span, last: true)
        #expect(transport.response.count == 2)
        #expect(transport.response.last == .piece([], flush: false, last: true))
        guard case .head(code, _, length: nil) = transport.response.first else { return #expect(Bool(false)) }
    }

    @Test("A response to HEAD keeps its length and may be short of it")
    func head() throws {
        let (exchange, transport) = makeExchange()
        transport.variables["REQUEST_METHOD"] = Array("HEAD".utf8)
        try exchange.startResponse(.ok, [.contentLength: "9"], nil)
        #expect(exchange.omitsBody)
        try exchange.send(Span<UInt8>(), last: true)
        #expect(transport.response.last == .piece([], flush: false, last: true))
        guard case .head(_, _, length: 9) = transport.response.first else { return #expect(Bool(false)) }
    }

    @Test("Only HEAD is HEAD", arguments: ["GET", "head", "HEADER", "HEA", ""])
    func notHead(_ method: String) throws {
        let (exchange, transport) = makeExchange()
        transport.variables["REQUEST_METHOD"] = Array(method.utf8)
        try exchange.startResponse(.ok, [:], nil)
        #expect(!exchange.omitsBody)
    }

    // MARK: Files

    private func send(
        _ fields: HTTPFields, offset: Int64, length: Int64, method: String = "GET"
    ) throws -> (GatewayError.Code?, [ScriptedTransport.Event]) {
        let (exchange, transport) = makeExchange()
        transport.variables["REQUEST_METHOD"] = Array(method.utf8)
        try exchange.startResponse(.ok, fields, nil)
        let file = BodyFile(descriptor: -1, offset: offset, length: length, closing: false)
        let code = GatewayError.code { try exchange.send(file, offset: offset, length: length) }
        return (code, Array(transport.response.dropFirst()))
    }

    @Test("A file is sent as one part, cut at the length")
    func file() throws {
        #expect(try send([:], offset: 3, length: 7) == (nil, [.file(offset: 3, length: 7, last: true)]))
        #expect(
            try send([.contentLength: "7"], offset: 3, length: 7) == (nil, [.file(offset: 3, length: 7, last: true)]))
        #expect(
            try send([.contentLength: "5"], offset: 3, length: 7) == (nil, [.file(offset: 3, length: 5, last: true)]))
    }

    @Test("A file that is short of the length does not end the response")
    func shortFile() throws {
        #expect(
            try send([.contentLength: "9"], offset: 0, length: 7) == (
                .contentLengthNotReached, [.file(offset: 0, length: 7, last: false)]
            ))
        #expect(try send([.contentLength: "9"], offset: 0, length: 0) == (.contentLengthNotReached, []))
    }

    @Test("Nothing of a file is no part of it")
    func emptyFile() throws {
        let end = ScriptedTransport.Event.piece([], flush: false, last: true)
        #expect(try send([:], offset: 0, length: 0) == (nil, [end]))
        #expect(try send([.contentLength: "0"], offset: 0, length: 7) == (nil, [end]))
        #expect(try send([:], offset: 0, length: 7, method: "HEAD") == (nil, [end]))
    }

    @Test("A file's length is the response's")
    func fileLength() throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.ok, [:], nil)
        try exchange.send(BodyFile(descriptor: -1, offset: 2, length: 5, closing: false), offset: 2, length: 5)
        #expect(transport.response.first == .head(200, [], length: 5))
        #expect(exchange.isComplete)
    }

    // MARK: The end

    @Test("Actions run in reverse, once, and those of actions too")
    func actions() {
        let (exchange, _) = makeExchange()
        var order: [Int] = []
        exchange.onFinish { order.append(1) }
        exchange.onFinish {
            order.append(2)
            exchange.onFinish { order.append(3) }
        }
        exchange.finish()
        exchange.finish()
        #expect(order == [2, 3, 1])
        exchange.onFinish { order.append(4) }
        #expect(order == [2, 3, 1, 4])
    }

    @Test("After the end the transport is asked for nothing of the request")
    func silent() {
        let (exchange, transport) = makeExchange()
        exchange.finish()
        let calls = transport.callsOfRequest
        #expect(!exchange.withVariable("REQUEST_METHOD".utf8.span) { _ in })
        exchange.forEachVariable { _, _ in #expect(Bool(false)) }
        exchange.forEachField { _, _ in #expect(Bool(false)) }
        #expect(exchange.text("REQUEST_METHOD") == nil)
        #expect(exchange.entry("swiftgi.request_id") == nil)
        #expect(!exchange.isClientGone)
        #expect(transport.callsOfRequest == calls)
    }
}
