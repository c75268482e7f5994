import SwiftGICore
import Testing

struct BodyWriterTests {
    @Test("Text, bytes and spans are each sent at once")
    func forms() throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.ok, [:], nil)
        var writer = BodyWriter(exchange)
        try writer.write("ä")
        try writer.write([1, 2])
        try writer.write([3].span)
        #expect(
            transport.response == [
                .head(200, [], length: nil), .piece([0xC3, 0xA4], flush: true, last: false),
                .piece([1, 2], flush: true, last: false), .piece([3], flush: true, last: false),
            ])
    }

    @Test("No bytes send nothing")
    func empty() throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.ok, [:], nil)
        var writer = BodyWriter(exchange)
        try writer.write("")
        try writer.write([UInt8]())
        try writer.write(Span<UInt8>())
        #expect(transport.events == [])
    }

    @Test("Behind the end of the request nothing is written")
    func finished() throws {
        let (exchange, transport) = makeExchange()
        try exchange.startResponse(.ok, [:], nil)
        exchange.finish()
        #expect(
            GatewayError.code {
                var writer = BodyWriter(exchange)
                try writer.write("late")
            } == .finished)
        #expect(transport.events == [])
    }
}
