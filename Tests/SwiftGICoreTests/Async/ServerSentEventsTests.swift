import HTTPTypes
import SwiftGICore
import SwiftGITesting
import Synchronization
import Testing

/// Server-sent events as they are sent (HTML, section 9.2).
@Suite struct ServerSentEventsTests {
    private func text(_ event: ServerSentEvent) throws -> String {
        String(decoding: try event.encoded(), as: UTF8.self)
    }

    @Test("An event is its fields and an empty line")
    func fields() throws {
        #expect(try text(ServerSentEvent("hello")) == "data: hello\n\n")
        #expect(
            try text(ServerSentEvent("a", event: "tick", id: "7", retry: .milliseconds(1500)))
                == "event: tick\nid: 7\nretry: 1500\ndata: a\n\n")
        #expect(try text(ServerSentEvent("", id: "")) == "id: \ndata: \n\n")
    }

    @Test(
        "Each line of the data is a line of its own, whichever way it ends",
        arguments: [
            ("a\nb", ["a", "b"]), ("a\r\nb", ["a", "b"]), ("a\rb", ["a", "b"]), ("a\n\rb", ["a", "", "b"]),
            ("a\r\r\nb", ["a", "", "b"]), ("a\n", ["a", ""]), ("\n", ["", ""]), ("\r", ["", ""]),
            ("ä\u{2028}ö", ["ä\u{2028}ö"]),
        ])
    func lines(_ data: String, _ lines: [String]) throws {
        #expect(try text(ServerSentEvent(data)) == lines.map { "data: \($0)\n" }.joined() + "\n")
    }

    @Test(
        "Type and id are one line, and an id has no null",
        arguments: [
            ServerSentEvent("", event: "a\nb"), ServerSentEvent("", event: "a\rb"), ServerSentEvent("", id: "a\nb"),
            ServerSentEvent("", id: "a\r\nb"), ServerSentEvent("", id: "a\0b"),
        ])
    func refused(_ event: ServerSentEvent) throws {
        let error = #expect(throws: GatewayError.self) { try event.encoded() }
        #expect(error?.code == .invalidField)
    }

    @Test(
        "A time is in milliseconds, never negative",
        arguments: [
            (Duration.seconds(3), "3000"), (.milliseconds(1), "1"), (.microseconds(999), "0"), (.seconds(-1), "0"),
            (.seconds(Int64.max), "\(Int64.max)"), (.seconds(Int64.min), "0"), (.zero, "0"),
        ])
    func retry(_ retry: Duration, _ expected: String) throws {
        #expect(try text(ServerSentEvent("", retry: retry)) == "retry: \(expected)\ndata: \n\n")
    }

    @Test("A stream of a sequence's events has the fields of one, and ends with it")
    func sequence() throws {
        let gateway = MemoryGateway(
            handler: ApplicationHandler { _ in .events(Numbers(count: 3), headers: [.cacheControl: "no-cache"]) })
        let response = gateway.respond(to: MemoryRequest(path: "/"))
        #expect(response.status == .ok)
        #expect(!response.isAborted)
        #expect(response.headers[.contentType] == "text/event-stream")
        #expect(response.headers[values: .cacheControl] == ["no-cache"])
        #expect(response.headers[try #require(HTTPField.Name("X-Accel-Buffering"))] == "no")
        #expect(
            response.pieces.map { String(decoding: $0, as: UTF8.self) }.filter { !$0.isEmpty }
                == ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"])
    }

    @Test("What a sequence throws aborts the response")
    func sequenceFails() {
        let gateway = MemoryGateway(handler: ApplicationHandler { _ in .events(Numbers(count: 2, fails: true)) })
        let response = gateway.respond(to: MemoryRequest(path: "/"))
        #expect(response.isAborted)
        #expect(response.text == "data: 1\n\ndata: 2\n\n")
    }

    @Test("A sequence's iteration is cancelled when the client goes")
    func clientGone() {
        let isCancelled = Mutex(false)
        let gateway = MemoryGateway(
            handler: ApplicationHandler { _ in
                .events(Numbers(count: 1) { isCancelled.withLock { $0 = true } })
            })
        var request = MemoryRequest(path: "/")
        request.leavesAfter = 5
        let response = gateway.respond(to: request)
        #expect(response.isAborted)
        #expect(isCancelled.withLock { $0 })
    }

    @Test("Silence is broken by what no page sees")
    func keepAlive() {
        let gate = Turnstile()
        let gateway = MemoryGateway(
            handler: ApplicationHandler { _ in
                .events(
                    AsyncStream<ServerSentEvent>(unfolding: { await gate.passes() ? nil : ServerSentEvent("late") }),
                    keepAlive: .milliseconds(1))
            })
        // The gate opens when the third of them was sent.
        let response = gateway.respond(to: MemoryRequest(path: "/"))
        #expect(response.text.hasPrefix(":\n\n"))
        #expect(response.text.contains("data: late\n\n"))
        #expect(!response.isAborted)
    }

    @Test("A writer sends one event at a time")
    func writer() throws {
        struct Handler: RequestHandler {
            func handle(
                request: HTTPRequest, requestContext: consuming RequestContext,
                reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
            ) async throws {
                var events = try await responseSender.sendEvents()
                try await events.send(ServerSentEvent(request.lastEventID ?? "none"))
                try await events.sendKeepAlive()
                do { try await events.send(ServerSentEvent("", id: "\n")) } catch let error as GatewayError {
                    try await events.send(ServerSentEvent("\(error.code)"))
                }
                try await events.finish()
            }
        }
        var request = MemoryRequest(path: "/")
        request.headers[try #require(HTTPField.Name("Last-Event-ID"))] = "41"
        let response = MemoryGateway(handler: Handler()).respond(to: request)
        #expect(response.text == "data: 41\n\n:\n\ndata: invalidField\n\n")
        #expect(!response.isAborted)
    }
}

/// Lets its second caller pass at once, and its first after some time.
private actor Turnstile {
    private var count = 0

    func passes() async -> Bool {
        count += 1
        if count == 1 { try? await Task.sleep(for: .milliseconds(50)) }
        return count > 1
    }
}

private struct Numbers: AsyncSequence, AsyncIteratorProtocol, Sendable {
    struct Failure: Error {}

    let count: Int
    var fails = false
    /// What happens behind the last number: the sequence waits for its cancellation and calls this.
    var onCancel: (@Sendable () -> Void)?
    var number = 0

    init(count: Int, fails: Bool = false, onCancel: (@Sendable () -> Void)? = nil) {
        self.count = count
        self.fails = fails
        self.onCancel = onCancel
    }

    func makeAsyncIterator() -> Numbers { self }

    mutating func next() async throws -> ServerSentEvent? {
        if number == count {
            if fails { throw Failure() }
            guard let onCancel else { return nil }
            try? await Task.sleep(for: .seconds(3600))
            onCancel()
            return nil
        }
        number += 1
        return ServerSentEvent("\(number)")
    }
}
