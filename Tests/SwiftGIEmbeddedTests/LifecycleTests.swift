import CSwiftGI
import FakeHost
import HTTPTypes
import Logging
import SwiftGICore
import SwiftGIEmbedded
import Synchronization
import Testing

/// What the applications below did, by the software that their server names: tests run at a time.
private let journal = Mutex<[String: [String]]>([:])

private func note(_ software: String, _ event: String) {
    journal.withLock { $0[software, default: []].append(event) }
}

/// The plainest: it only notes.
private struct Plain: GatewayApplication {
    static let bootstrapsLogging = true
    let software: String

    init(_ startup: Startup) async throws {
        software = startup.software
        note(software, "init \(startup.server)")
        startup.logger.notice("made")
        // Not in one go: whoever waits for it has to wait.
        try await Task.sleep(for: .milliseconds(10))
        note(software, "made")
    }

    var application: Application {
        { [software] _, startResponse in
            note(software, "request")
            try startResponse(.ok, [:], nil)
            return .empty
        }
    }

    func run() async throws {
        note(software, "run")
        defer { note(software, "run ended, cancelled: \(Task.isCancelled)") }
        try await Task.sleep(for: .seconds(600))
    }

    func shutdown() async throws { note(software, "shutdown") }
}

/// Has nothing beside its requests.
private struct Bare: GatewayApplication {
    static let bootstrapsLogging = true

    init(_ startup: Startup) async throws {}

    var application: Application { { _, _ in throw Failure() } }
}

private struct FailingInit: GatewayApplication {
    static let bootstrapsLogging = true

    init(_ startup: Startup) async throws {
        await Task.yield()
        throw Failure()
    }

    var application: Application { { _, _ in throw Failure() } }
}

private struct FailingLater: GatewayApplication {
    static let bootstrapsLogging = true

    init(_ startup: Startup) async throws {}

    var application: Application {
        { _, startResponse in
            try startResponse(.ok, [:], nil)
            return .empty
        }
    }

    func run() async throws { throw Failure() }
    func shutdown() async throws { throw Failure() }
}

/// Does not end when it is told to.
private struct Stubborn: GatewayApplication {
    static let bootstrapsLogging = true

    init(_ startup: Startup) async throws {}

    var application: Application { { _, _ in throw Failure() } }

    func shutdown() async throws {
        try await Task.sleep(for: .seconds(5))
    }
}

/// Serves with a handler.
private struct Waiting: AsyncGatewayApplication {
    static let bootstrapsLogging = true
    let software: String

    init(_ startup: Startup) async throws {
        software = startup.software
        note(software, "init \(startup.server)")
    }

    var handler: some RequestHandler {
        Handling { [software] _, _, _, sender in
            note(software, "request")
            try await Task.sleep(for: .milliseconds(1))
            note(software, "waited")
            try await sender.sendAndFinish(HTTPResponse(status: .ok))
        }
    }

    func shutdown() async throws { note(software, "shutdown") }
}

/// An application behind its table, called as a server calls it.
private struct Subject: @unchecked Sendable {
    // Sendable: the table is constant and lives as long as the process.
    let table: UnsafePointer<swiftgi_application_table>
    let host: FakeHost

    init<Hosted: GatewayApplication>(_ type: Hosted.Type, _ host: FakeHost = FakeHost()) {
        table = HostedApplication { host in try Lifecycle<Hosted>.start(host) { .application($0.application) } }
            .makeTable(name: "\(type)")
        self.host = host
    }

    init<Hosted: AsyncGatewayApplication>(_ type: Hosted.Type, _ host: FakeHost) {
        table = HostedApplication { host in try Lifecycle<Hosted>.start(host) { .handler($0.handler) } }
            .makeTable(name: "\(type)")
        self.host = host
    }

    init(_ host: FakeHost, _ start: @escaping HostedApplication.Start) {
        table = HostedApplication(start).makeTable(name: "life")
        self.host = host
    }

    func start() async -> swiftgi_status {
        await onServerThread { table.pointee.start(table.pointee.application, host.table) }
    }

    func serve() async -> swiftgi_status {
        await onServerThread { host.serve(table, FakeRequest()) }
    }

    /// - Returns: How long it took.
    func stop(_ grace: UInt32) async -> Duration {
        await onServerThread {
            ContinuousClock().measure { table.pointee.stop(table.pointee.application, grace) }
        }
    }
}

struct LifecycleTests {
    private let software = "FakeHost \(UInt64.random(in: .min ... .max))"

    private var events: [String] { journal.withLock { $0[software] ?? [] } }

    @Test("An application is made before its first request, runs beside them, and ends after them")
    func life() async throws {
        let subject = Subject(Plain.self, FakeHost(mode: "daemon", software: software))
        #expect(events == [])
        #expect(await subject.start() == SWIFTGI_OK)
        #expect(events.starts(with: ["init daemon", "made"]))
        while !events.contains("run") { try await Task.sleep(for: .milliseconds(1)) }
        #expect(await subject.serve() == SWIFTGI_OK)
        _ = await subject.stop(60_000)
        #expect(events == ["init daemon", "made", "run", "request", "run ended, cancelled: true", "shutdown"])
        #expect(subject.host.log.map(\.message) == ["Plain: made"])
    }

    @Test("An application of the async contract has the same life", arguments: FakeHost.Waiting.allWays)
    func asyncLife(_ waiting: FakeHost.Waiting?) async throws {
        let subject = Subject(Waiting.self, FakeHost(mode: "daemon", software: software, waiting: waiting))
        #expect(await subject.start() == SWIFTGI_OK)
        #expect(await subject.serve() == SWIFTGI_OK)
        _ = await subject.stop(60_000)
        #expect(events == ["init daemon", "request", "waited", "shutdown"])
        #expect(subject.host.log == [])
    }

    @Test("What init throws is why the application does not start")
    func failingInit() async {
        let subject = Subject(FailingInit.self)
        #expect(await subject.start() == SWIFTGI_FAILED)
        #expect(subject.host.log.map(\.message) == ["SGI0210: application could not start: Failure()"])
        _ = await subject.stop(60_000)
        #expect(subject.host.log.count == 1)
    }

    @Test("run and shutdown may fail: it is logged, and requests are served")
    func failingLater() async throws {
        let subject = Subject(FailingLater.self)
        #expect(await subject.start() == SWIFTGI_OK)
        while subject.host.log.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
        #expect(await subject.serve() == SWIFTGI_OK)
        _ = await subject.stop(60_000)
        #expect(
            subject.host.log.map(\.message) == [
                "SGI0211: run() of the application failed: Failure()",
                "SGI0212: shutdown() of the application failed: Failure()",
            ])
    }

    @Test("An application without run and shutdown ends at once")
    func bare() async {
        let subject = Subject(Bare.self)
        #expect(await subject.start() == SWIFTGI_OK)
        _ = await subject.stop(60_000)
        // Behind its grace period it would have been reported.
        #expect(subject.host.log == [])
    }

    @Test("What goes on although most of the grace period is over is told to hurry", arguments: [true, false])
    func hurry(_ isSlow: Bool) async throws {
        let (hurries, hurry) = AsyncStream.makeStream(of: Void.self)
        let hasEnded = Atomic(false)
        let subject = Subject(FakeHost(mode: "daemon", software: software)) { host in
            try LivingApplication.start(host, label: "slow") { _ in
                LivingApplication(
                    .application { _, _ in .empty },
                    run: {
                        // Not cancelled with its task.
                        if isSlow { await Task.detached { for await _ in hurries { break } }.value }
                        hasEnded.store(true, ordering: .releasing)
                    }, shutdown: {}, hurry: { hurry.yield() })
            }
        }
        #expect(await subject.start() == SWIFTGI_OK)
        // A busy machine may take longer than what is left of the time.
        _ = await subject.stop(isSlow ? 300 : 60_000)
        for _ in 0..<6000 where !hasEnded.load(ordering: .acquiring) { try await Task.sleep(for: .milliseconds(10)) }
        let ended = hasEnded.load(ordering: .acquiring)
        #expect(ended)
        hurry.finish()
        if !isSlow { for await _ in hurries { Issue.record("told although it was done") } }
    }

    @Test("Nobody waits longer than the grace period", arguments: [0, 50, 1200] as [UInt32])
    func grace(_ milliseconds: UInt32) async {
        let subject = Subject(Stubborn.self)
        #expect(await subject.start() == SWIFTGI_OK)
        let elapsed = await subject.stop(milliseconds)
        #expect(elapsed >= .milliseconds(milliseconds) - .milliseconds(5))
        #expect(
            subject.host.log.map(\.message) == ["SGI0213: the application did not end within \(milliseconds) ms"])
    }
}
