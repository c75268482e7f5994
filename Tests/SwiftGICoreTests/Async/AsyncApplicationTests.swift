import HTTPTypes
import SwiftGICore
import Testing

@Suite(.timeLimit(.minutes(1)))
struct AsyncApplicationTests {
    private let transport = WaitingTransport(method: "POST", body: ["one ", "two"])

    private func outcome(_ application: @escaping AsyncApplication) async -> Outcome? {
        await transport.serve(ApplicationHandler(application)).outcome
    }

    @Test("An application gets the request and gives the response")
    func request() async {
        transport.fields = [("Host", "example.org"), ("Accept", "text/plain")]
        let outcome = await outcome { request in
            #expect(request.head.method == .post && request.head.authority == "example.org")
            #expect(request.head.headerFields[.accept] == "text/plain")
            #expect(await request.context.variable("REQUEST_METHOD") == "POST")
            let body = try await request.body.collect(upTo: 100)
            return Response(status: .accepted, headers: [.eTag: "x"], body: .bytes(body))
        }
        #expect(outcome == .completed)
        #expect(
            transport.events == [
                .head(202, ["ETag: x"], length: 7), .piece(Array("one two".utf8), flush: false, last: true),
            ])
    }

    @Test("A response is 200 without fields or bytes unless it says otherwise")
    func plain() async {
        #expect(await outcome { _ in Response() } == .completed)
        #expect(transport.events == [.head(200, [], length: 0), .piece([], flush: false, last: true)])
    }

    @Test("Text is sent in UTF-8")
    func text() async {
        #expect(await outcome { _ in Response(body: .string("ä…")) } == .completed)
        #expect(transport.text == "ä…")
        #expect(transport.events.first == .head(200, [], length: 5))
    }

    @Test("Trailers go behind the bytes")
    func trailers() async {
        #expect(await outcome { _ in Response(body: .bytes([1], trailers: [.eTag: "sum"])) } == .completed)
        #expect(transport.events.contains(.trailers(["ETag: sum"])))
    }

    @Test("A stream is written while it is sent", arguments: WaitMode.allCases)
    func stream(_ mode: WaitMode) async {
        let transport = WaitingTransport(mode)
        transport.serve(
            ApplicationHandler { request in
                Response(
                    body: .stream { writer in
                        var writer = writer
                        for try await piece in request.body { try await writer.write(piece) }
                        try await writer.finish(trailers: request.body.trailers)
                    })
            })
        transport.give("a")
        await transport.holds { $0.text == "a" }
        transport.give("b")
        transport.endInput([("ETag", "sum")])
        #expect(await transport.outcome == .completed)
        #expect(transport.text == "ab")
        #expect(transport.events.contains(.trailers(["ETag: sum"])))
        #expect(transport.violations.isEmpty)
    }

    @Test("A stream that throws or does not finish aborts the response", arguments: [false, true])
    func brokenStream(_ isThrowing: Bool) async {
        let outcome = await outcome { _ in
            Response(
                body: .stream { writer in
                    var writer = writer
                    try await writer.write("some")
                    if isThrowing { throw ApplicationError() }
                })
        }
        #expect(outcome == .failed)
        #expect(transport.text == "some")
        let id = isThrowing ? "SGI0201" : "SGI0208"
        #expect(transport.log.map { String($0.message.prefix(7)) } == [id])
    }

    @Test("What an application throws is a 500, or what the body's error says")
    func throwing() async {
        #expect(await outcome { _ in throw ApplicationError() } == .failed)
        #expect(transport.events == [])
        let other = WaitingTransport(body: ["too long"])
        let outcome = await other.serve(
            ApplicationHandler { Response(body: .bytes(try await $0.body.collect(upTo: 3))) }
        ).outcome
        #expect(outcome == .tooLarge)
    }

    @Test("Middleware of the contract wraps a handler")
    func middleware() async {
        let notes = Notes()
        let marked: HandlerMiddleware = { handler in
            Handling { request, context, reader, sender in
                notes.note("before")
                var request = request
                request.headerFields[.accept] = "changed"
                let inner = sender.transforming { response in
                    response.headerFields[.eTag] = "marked"
                    return nil
                }
                try await handler.handle(
                    request: request, requestContext: context, reader: reader, responseSender: inner)
                notes.note("after")
            }
        }
        let application = ApplicationHandler { Response(body: .string($0.head.headerFields[.accept] ?? "none")) }
        #expect(await transport.serve(marked(application)).outcome == .completed)
        #expect(transport.text == "changed")
        #expect(transport.events.first == .head(200, ["ETag: marked"], length: 7))
        #expect(notes.all == ["before", "after"])
    }
}
