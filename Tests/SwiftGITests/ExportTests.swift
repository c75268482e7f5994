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

struct ExportTests {
    private func name(_ table: ApplicationTable) -> String {
        String(decoding: table.pointee.name.buffer, as: UTF8.self)
    }

    /// What a table that `export` makes answers.
    private func answer(_ export: @escaping @Sendable () -> ApplicationTable) async -> String? {
        await onServerThread {
            let host = FakeHost()
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
    }

    @Test("An application is made when the server starts it")
    func start() async {
        _ = export(makeApplication())
        #expect(made.load(ordering: .relaxed) == 0)
        #expect(await answer { export(makeApplication()) } == "exported")
        #expect(made.load(ordering: .relaxed) == 1)
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
