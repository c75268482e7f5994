import SwiftGICore
import Testing

struct ErrorsTests {
    @Test("A line is logged when it is complete")
    func lines() {
        let (exchange, transport) = makeExchange()
        let errors = Errors(exchange)
        errors.write("on")
        #expect(transport.log == [])
        errors.write("e\ntwo\n\nthr")
        #expect(transport.log == ["one", "two", ""])
        errors.write("ee\n")
        #expect(transport.log == ["one", "two", "", "three"])
        #expect(transport.events.first == .log(.error, "one", isFinished: false))
    }

    @Test("Several texts are one stream")
    func contents() {
        let (exchange, transport) = makeExchange()
        Errors(exchange).write(contentsOf: ["a", "b\n", "c"])
        Errors(exchange).write("d\n")
        #expect(transport.log == ["ab", "cd"])
    }

    @Test("flush logs what is left, once")
    func flush() {
        let (exchange, transport) = makeExchange()
        let errors = Errors(exchange)
        errors.flush()
        errors.write("left")
        errors.flush()
        errors.flush()
        #expect(transport.log == ["left"])
    }

    @Test("The end of the request logs what is left")
    func end() {
        let (exchange, transport) = makeExchange()
        Errors(exchange).write("left")
        exchange.onFinish { Errors(exchange).write("by an action") }
        exchange.finish()
        #expect(
            transport.events == [
                .log(.error, "left", isFinished: false), .log(.error, "by an action", isFinished: false),
            ])
    }

    @Test("After the end text goes to the log without the request")
    func late() {
        let (exchange, transport) = makeExchange()
        exchange.finish()
        Errors(exchange).write("late\nand later")
        #expect(
            transport.events == [
                .log(.error, "late", isFinished: true), .log(.error, "and later", isFinished: true),
            ])
    }

    @Test("print writes to it, and any text will do", arguments: ["äöü ☃", "\u{0}\u{1F}\u{10FFFF}", "e\u{301}", "a\r"])
    func text(_ text: String) {
        let (exchange, transport) = makeExchange()
        var errors = Errors(exchange)
        print(text, to: &errors)
        #expect(transport.log == [text])
    }

    @Test("Many lines at once cost no more than their length")
    func many() {
        let (exchange, transport) = makeExchange()
        Errors(exchange).write(String(repeating: "line\n", count: 20_000))
        #expect(transport.log.count == 20_000)
    }
}
