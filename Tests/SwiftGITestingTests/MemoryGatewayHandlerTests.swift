import HTTPTypes
import SwiftGICore
import SwiftGITesting
import Synchronization
import Testing

private struct Failure: Error {}

private let ok = HTTPResponse(status: .ok)

/// A handler out of a closure.
private struct Handling: RequestHandler {
    let body:
        @Sendable (
            _ context: RequestContext, _ reader: consuming sending RequestReader,
            _ sender: consuming sending ResponseSender
        ) async throws -> Void

    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        try await body(requestContext, reader, responseSender)
    }
}

private let events = Mutex<[String]>([])

private struct Notes: AsyncGatewayApplication {
    init(_ startup: Startup) async throws { events.withLock { $0 = ["init \(startup.server)"] } }

    var handler: some RequestHandler {
        ApplicationHandler { request in
            try await Task.sleep(for: .milliseconds(1))
            return Response(body: .bytes(try await request.body.collect(upTo: 100)))
        }
    }

    func run() async throws {
        events.withLock { $0.append("run") }
        try await Task.sleep(for: .seconds(600))
    }

    func shutdown() async throws { events.withLock { $0.append("shutdown") } }
}

private struct Failing: AsyncGatewayApplication {
    init(_ startup: Startup) async throws {}

    var handler: some RequestHandler { Handling { _, _, _ in throw Failure() } }

    func run() async throws { throw Failure() }
}

/// A ``MemoryGateway`` blocks its thread while a handler waits: these give it one of its own.
@Suite(.timeLimit(.minutes(1)))
struct MemoryGatewayHandlerTests {
    private func respond(
        to request: MemoryRequest = MemoryRequest(),
        _ body:
            @escaping @Sendable (
                _ context: RequestContext, _ reader: consuming sending RequestReader,
                _ sender: consuming sending ResponseSender
            ) async throws -> Void
    ) async -> MemoryResponse {
        await onOwnThread { MemoryGateway(handler: Handling(body: body)).respond(to: request) }
    }

    @Test("A response is what the handler sends, with its length")
    func response() async {
        let response = await respond(to: MemoryRequest(body: "body")) { _, reader, sender in
            try await sender.sendAndFinish(
                HTTPResponse(status: .accepted, headerFields: [.contentType: "text/plain"]),
                try await reader.collect(upTo: 100))
        }
        #expect(response.status == .accepted)
        #expect(response.headers == [.contentType: "text/plain", .contentLength: "4"])
        #expect(response.text == "body")
        #expect(!response.isAborted)
        #expect(response.log == [])
        #expect(response.informational == [] && response.trailers == [:])
    }

    @Test("A handler may wait, spawn tasks and yield")
    func waits() async {
        let response = await respond { context, _, sender in
            var writer = try await sender.send(ok)
            try await Task.sleep(for: .milliseconds(1))
            async let child = Task.detached { await context.variable("REQUEST_METHOD") ?? "none" }.value
            for _ in 0..<5 { await Task.yield() }
            try await writer.write(await child)
            try await writer.finish()
        }
        #expect(response.text == "GET")
        #expect(response.headers[.contentLength] == nil)
    }

    @Test("Informational responses and trailers of both are seen")
    func around() async {
        var request = MemoryRequest(body: "x")
        request.trailers = [.eTag: "in"]
        let response = await respond(to: request) { _, reader, sender in
            var reader = reader
            var sender = sender
            while try await reader.next() != nil {}
            let trailers = try await reader.trailers
            try await sender.sendInformational(
                HTTPResponse(status: .init(code: 103), headerFields: [.contentLanguage: "de"]))
            try await sender.sendAndFinish(ok, Array((trailers[.eTag] ?? "none").utf8), trailers: [.eTag: "out"])
        }
        #expect(response.text == "in")
        #expect(response.informational.map(\.status.code) == [103])
        #expect(response.informational.first?.headerFields == [.contentLanguage: "de"])
        #expect(response.trailers == [.eTag: "out"])
    }

    @Test("HEAD drops the body and keeps its length")
    func head() async {
        let response = await respond(to: MemoryRequest(method: .head)) { _, _, sender in
            try await sender.sendAndFinish(ok, Array("four".utf8))
        }
        #expect(response.headers[.contentLength] == "4")
        #expect(response.body == [])
    }

    @Test(
        "A handler's failures are a server's",
        arguments: [
            (.bodyTooLarge, 413), (.malformedBody, 400), (.timedOut, 408), (.input, 500), (nil, 500),
        ] as [(GatewayError.Code?, Int)])
    func failure(_ code: GatewayError.Code?, _ status: Int) async {
        var request = MemoryRequest()
        request.bodyError = code
        let response = await respond(to: request) { _, reader, _ in
            var reader = reader
            _ = try await reader.next()
            throw Failure()
        }
        #expect(response.status.code == status)
        #expect(response.log.map(\.level) == [.error])
        #expect(!response.isAborted)
    }

    @Test("A handler that does not finish aborts the response", arguments: [false, true])
    func aborted(_ isThrowing: Bool) async {
        let response = await respond { _, _, sender in
            var writer = try await sender.send(ok)
            try await writer.write("some")
            if isThrowing { throw Failure() }
        }
        #expect(response.status == .ok)
        #expect(response.text == "some")
        #expect(response.isAborted)
    }

    @Test("A client that leaves is found gone by who writes and by who waits", arguments: [false, true])
    func leaves(_ isWaiting: Bool) async {
        var request = MemoryRequest()
        request.leavesAfter = 4
        let isCancelled = Flag()
        let response = await respond(to: request) { _, _, sender in
            var writer = try await sender.send(ok)
            defer { if Task.isCancelled { isCancelled.raise() } }
            try await writer.write("four and more")
            if isWaiting { try await Task.sleep(for: .seconds(600)) }
            while true { try await writer.write("x") }
        }
        #expect(response.isAborted)
        #expect(response.text == "four")
        #expect(response.log.map(\.level) == [.debug])
        #expect(isCancelled.isRaised == isWaiting)
    }

    @Test("What a handler logs is in the log")
    func log() async {
        let response = await respond { context, _, sender in
            context.logger.notice("noted")
            try await sender.sendAndFinish(ok)
        }
        #expect(response.log.map(\.message) == ["request: noted"])
    }

    @Test("The server's traits are as they were set")
    func traits() async {
        let response = await onOwnThread {
            MemoryGateway(
                handler: Handling { context, _, sender in
                    let names = ["server", "multithread", "multiprocess", "run_once"]
                    var values: [String] = []
                    for name in names { values.append(await context.variable("swiftgi.\(name)") ?? "none") }
                    try await sender.sendAndFinish(ok, Array(values.joined(separator: " ").utf8))
                }, server: "cgi", multithread: false, multiprocess: true, runOnce: true
            ).respond(to: MemoryRequest())
        }
        #expect(response.text == "cgi false true true")
    }

    @Test("An application with a life of its own is made, run and ended")
    func life() async throws {
        let text = try await MemoryGateway.withApplication(Notes.self) { gateway in
            while !events.withLock({ $0.contains("run") }) { await Task.yield() }
            return await onOwnThread { gateway.respond(to: MemoryRequest(body: "note")).text }
        }
        #expect(text == "note")
        #expect(events.withLock { $0 } == ["init embedded", "run", "shutdown"])
    }

    @Test("What its run throws is thrown")
    func lifeThrows() async {
        await #expect(throws: Failure.self) { try await MemoryGateway.withApplication(Failing.self) { _ in } }
    }
}

private final class Flag: Sendable {
    private let flag = Atomic(false)

    func raise() { flag.store(true, ordering: .relaxed) }

    var isRaised: Bool { flag.load(ordering: .relaxed) }
}

/// Runs a closure on a thread of its own.
private func onOwnThread<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
    await withCheckedContinuation { continuation in
        do {
            try DetachedThread.start { continuation.resume(returning: body()) }
        } catch {
            Issue.record(error)
            continuation.resume(returning: body())
        }
    }
}
