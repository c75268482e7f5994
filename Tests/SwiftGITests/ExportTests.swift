import FakeHost
import SwiftGI
import Synchronization
import Testing

private let made = Atomic(0)

private func makeApplication() -> Application {
    made.add(1, ordering: .relaxed)
    return { _, startResponse in
        try startResponse(.ok, [:], nil)
        return .string("exported")
    }
}

private struct Noted: GatewayApplication {
    init(_ startup: Startup) async throws {}

    var application: Application {
        { _, startResponse in
            try startResponse(.ok, [:], nil)
            return .string("noted")
        }
    }
}

private struct Waited: RequestHandler {
    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        try await Task.sleep(for: .milliseconds(1))
        try await responseSender.sendAndFinish(HTTPResponse(status: .ok), Array("waited".utf8))
    }
}

private func makeHandler() -> Waited {
    made.add(1, ordering: .relaxed)
    return Waited()
}

private struct WaitedFor: AsyncGatewayApplication {
    init(_ startup: Startup) async throws {}

    var handler: Waited { Waited() }
}

@Suite(.serialized)
struct ExportTests {
    private func name(_ table: ApplicationTable) -> String {
        String(decoding: table.pointee.name.buffer, as: UTF8.self)
    }

    /// What a table that `export` makes answers.
    private func answer(
        waiting: FakeHost.Waiting? = nil, _ export: @escaping @Sendable () -> ApplicationTable
    ) async -> String? {
        await onServerThread {
            let host = FakeHost(waiting: waiting)
            let table = export()
            guard table.pointee.start(table.pointee.application, host.table) == SWIFTGI_OK else { return nil }
            let request = FakeRequest()
            let text = request.response(host.serve(table, request)).text
            table.pointee.stop(table.pointee.application, 10_000)
            return text
        }
    }

    @Test("An application is named for its module unless it has a name")
    func names() {
        #expect(name(export(makeApplication())) == "SwiftGITests")
        #expect(name(export(makeApplication(), name: "Other")) == "Other")
        #expect(name(export(Noted.self)) == "SwiftGITests")
        #expect(name(export(Noted.self, name: "")) == "")
        #expect(name(export(handler: Waited())) == "SwiftGITests")
        #expect(name(export(handler: Waited(), name: "Other")) == "Other")
        #expect(name(export { _ in Response() }) == "SwiftGITests")
        #expect(name(export(name: "Other") { _ in Response() }) == "Other")
        #expect(name(export(WaitedFor.self)) == "SwiftGITests")
        #expect(name(export(WaitedFor.self, name: "Other")) == "Other")
    }

    @Test("An application is made when the server starts it")
    func start() async {
        let before = made.load(ordering: .relaxed)
        _ = export(makeApplication())
        #expect(made.load(ordering: .relaxed) == before)
        #expect(await answer { export(makeApplication()) } == "exported")
        #expect(made.load(ordering: .relaxed) == before + 1)
    }

    @Test("A handler is made when the server starts its application", arguments: FakeHost.Waiting.allWays)
    func handler(_ waiting: FakeHost.Waiting?) async {
        let before = made.load(ordering: .relaxed)
        _ = export(handler: makeHandler())
        #expect(made.load(ordering: .relaxed) == before)
        #expect(await answer(waiting: waiting) { export(handler: makeHandler()) } == "waited")
        #expect(made.load(ordering: .relaxed) == before + 1)
    }

    @Test("The simple form is exported as a closure", arguments: FakeHost.Waiting.allWays)
    func simple(_ waiting: FakeHost.Waiting?) async {
        let answer = await answer(waiting: waiting) {
            export { request in
                try await Task.sleep(for: .milliseconds(1))
                return Response(body: .string(await request.context.variable("REQUEST_METHOD") ?? "none"))
            }
        }
        #expect(answer == "GET")
    }

    @Test("A handler with a life of its own is exported the same way", arguments: FakeHost.Waiting.allWays)
    func asyncHosted(_ waiting: FakeHost.Waiting?) async {
        #expect(await answer(waiting: waiting) { export(WaitedFor.self) } == "waited")
    }

    @Test("An application with a life of its own is exported the same way")
    func hosted() async {
        #expect(await answer { export(Noted.self) } == "noted")
    }

    @Test("Several in one process are no crash", arguments: 1...3)
    func several(_ number: Int) async {
        #expect(await answer { export(Noted.self) } == "noted")
    }
}
