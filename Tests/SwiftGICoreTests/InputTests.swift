import SwiftGICore
import Testing

struct InputTests {
    @Test("read gives what there is, up to the count")
    func read() throws {
        let (exchange, _) = makeExchange(body: ["abc", "defgh"])
        let input = Input(exchange)
        #expect(text(try input.read(upTo: 2)) == "ab")
        #expect(text(try input.read(upTo: 10)) == "c")
        #expect(text(try input.read()) == "defgh")
        #expect(try input.read().isEmpty)
        #expect(try input.read().isEmpty)
    }

    @Test("A count that is not positive reads nothing", arguments: [0, -1, Int.min], ["", "rest"])
    func odd(_ count: Int, _ rest: String) throws {
        let (exchange, _) = makeExchange(body: ["line\n" + rest])
        let input = Input(exchange)
        #expect(try input.read(upTo: count) == [])
        #expect(text(try input.readLine()) == "line\n")
        #expect(try input.read(upTo: count) == [])
        #expect(text(try input.read()) == rest)
    }

    @Test("No buffer is larger than 64 KiB", arguments: [65537, 1 << 40, Int.max])
    func huge(_ count: Int) throws {
        let (exchange, transport) = makeExchange(body: ["x"])
        #expect(try Input(exchange).read(upTo: count).count == 1)
        #expect(try Input(exchange).collect(upTo: count).isEmpty)
        #expect(transport.capacities.allSatisfy { $0 <= 65536 })
    }

    @Test("next ends with nil")
    func next() throws {
        let (exchange, _) = makeExchange(body: ["a", "b"])
        let input = Input(exchange)
        #expect(try input.next() == [97])
        #expect(try input.next() == [98])
        #expect(try input.next() == nil)
        #expect(try input.next() == nil)
    }

    @Test(
        "Lines are the same however the body is cut",
        arguments: [["a\nb\n\nc"], ["a", "\nb", "\n\n", "c"], ["a\n", "b\n", "\n", "c"], ["a\nb\n\n", "c"]])
    func lines(_ pieces: [String]) throws {
        let (exchange, _) = makeExchange(body: pieces)
        var lines: [String?] = []
        try Input(exchange).forEachLine { lines.append(text($0)) }
        #expect(lines == ["a\n", "b\n", "\n", "c"])
    }

    @Test("A line of exactly the limit is given", arguments: ["abc\n", "abcd"])
    func lineOfLimit(_ body: String) throws {
        let (exchange, _) = makeExchange(body: body.map { String($0) })
        #expect(text(try Input(exchange).readLine(upTo: 4)) == body)
        #expect(try Input(exchange).readLine(upTo: 4) == nil)
    }

    @Test(
        "A line over the limit is an error, and can be read with a larger one",
        arguments: [["abcd\nx"], ["ab", "cd\nx"]])
    func lineOverLimit(_ pieces: [String]) throws {
        let (exchange, _) = makeExchange(body: pieces)
        let input = Input(exchange)
        #expect(GatewayError.code { _ = try input.readLine(upTo: 4) } == .lineTooLong)
        #expect(GatewayError.code { _ = try input.readLine(upTo: 4) } == .lineTooLong)
        #expect(text(try input.readLine(upTo: 5)) == "abcd\n")
        #expect(text(try input.readLine(upTo: .max)) == "x")
    }

    @Test("A limit that is not positive permits no line", arguments: [0, -1, Int.min])
    func noLine(_ limit: Int) {
        let (exchange, _) = makeExchange(body: ["abc\n"])
        #expect(GatewayError.code { _ = try Input(exchange).readLine(upTo: limit) } == .lineTooLong)
    }

    @Test("A limit of Int.max overflows nothing, also behind another line")
    func largestLimit() throws {
        let (exchange, _) = makeExchange(body: ["a\nb\nc"])
        let input = Input(exchange)
        #expect(text(try input.readLine(upTo: .max)) == "a\n")
        #expect(text(try input.readLine(upTo: .max)) == "b\n")
        #expect(text(try input.readLine(upTo: .max)) == "c")
        #expect(try input.readLine(upTo: .max) == nil)
    }

    @Test("Lines and bytes come from one stream")
    func mixed() throws {
        let (exchange, _) = makeExchange(body: ["one\ntwo\nthree"])
        let input = Input(exchange)
        let copy = input
        #expect(text(try input.readLine()) == "one\n")
        #expect(text(try copy.read(upTo: 2)) == "tw")
        #expect(text(try input.readLine()) == "o\n")
        #expect(text(try copy.collect(upTo: 5)) == "three")
    }

    @Test("collect gives a body up to its limit", arguments: [5, 6, 65536, Int.max - 1, Int.max])
    func collect(_ limit: Int) throws {
        let (exchange, _) = makeExchange(body: ["ab", "cde"])
        #expect(text(try Input(exchange).collect(upTo: limit)) == "abcde")
    }

    @Test("collect refuses a larger body", arguments: [4, 1, 0, -1, Int.min])
    func collectTooMuch(_ limit: Int) {
        let (exchange, _) = makeExchange(body: ["ab", "cde"])
        #expect(GatewayError.code { _ = try Input(exchange).collect(upTo: limit) } == .bodyTooLarge)
    }

    @Test("collect of no body is empty whatever the limit", arguments: [0, -1, Int.min, Int.max])
    func collectNothing(_ limit: Int) throws {
        let (exchange, _) = makeExchange()
        #expect(try Input(exchange).collect(upTo: limit) == [])
    }

    @Test("What a read threw, every later call throws")
    func sticky() throws {
        let (exchange, transport) = makeExchange(body: ["half a li"])
        transport.inputError = GatewayError(.timedOut)
        let input = Input(exchange)
        #expect(GatewayError.code { _ = try input.readLine() } == .timedOut)
        transport.inputError = nil
        #expect(GatewayError.code { _ = try input.read() } == .timedOut)
        #expect(GatewayError.code { _ = try input.read(upTo: 0) } == .timedOut)
        #expect(GatewayError.code { _ = try input.readLine() } == .timedOut)
        #expect(GatewayError.code { _ = try input.collect(upTo: 10) } == .timedOut)
    }

    @Test("Behind the end of the request every call throws and the transport is left alone")
    func finished() throws {
        let (exchange, transport) = makeExchange(body: ["one\ntwo\n", "more"])
        let input = Input(exchange)
        _ = try input.readLine()
        exchange.finish()
        let calls = transport.callsOfRequest
        #expect(GatewayError.code { _ = try input.read() } == .finished)
        #expect(GatewayError.code { _ = try input.read(upTo: -1) } == .finished)
        #expect(GatewayError.code { _ = try input.next() } == .finished)
        #expect(GatewayError.code { _ = try input.readLine() } == .finished)
        #expect(GatewayError.code { _ = try input.collect(upTo: 1) } == .finished)
        #expect(GatewayError.code { try input.forEach { _ in } } == .finished)
        #expect(transport.callsOfRequest == calls)
    }

    @Test("What a closure throws ends the iteration")
    func closure() throws {
        let (exchange, _) = makeExchange(body: ["a\nb\n"])
        #expect(throws: ApplicationError.self) { try Input(exchange).forEachLine { _ in throw ApplicationError() } }
        #expect(text(try Input(exchange).readLine()) == "b\n")
    }
}
