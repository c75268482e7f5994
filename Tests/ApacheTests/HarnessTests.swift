import Foundation
import Glibc
import Testing

/// The harness itself: a helper that cannot fail proves nothing.
@Suite(.embedded("They look at the harness itself.")) struct HarnessTests {
    /// An httpd without the module: what fails here is the harness.
    private func plain(_ lines: String = "", mpm: Configuration.MPM = .event, modules: [String] = []) -> Configuration {
        var configuration = Configuration(lines, mpm: mpm, modules: modules, logLevel: "info")
        configuration.loadsModule = false
        return configuration
    }

    @Test(arguments: Configuration.MPM.allCases)
    func servesAndStops(_ mpm: Configuration.MPM) async throws {
        try await withServer(plain(mpm: mpm)) { server in
            let response = try server.get("/index.html")
            #expect(response.status == 200)
            #expect(response.text == "static\n")
            #expect(response["Content-Length"] == "7")
            #expect(try server.get("/absent").status == 404)
        }
    }

    @Test func serverThatDoesNotStartIsNoticed() async throws {
        try await withKnownIssue {
            try await withServer(plain("NoSuchDirective on")) { _ in }
        } matching: {
            "\($0)".contains("NoSuchDirective")
        }
    }

    @Test func unexpectedLogLineIsNoticed() async throws {
        try await withKnownIssue {
            try await withServer(plain("<Location /x>\nRequire all denied\n</Location>")) { server in
                let response = try server.get("/x")
                #expect(response.status == 403)
            }
        } matching: {
            "\($0)".contains("unexpected in the error log") && "\($0)".contains("AH01630")
        }
    }

    @Test func expectedLogLineIsAccepted() async throws {
        try await withServer(plain("<Location /x>\nRequire all denied\n</Location>"), expecting: ["AH01630"]) {
            server in
            let response = try server.get("/x")
            #expect(response.status == 403)
        }
    }

    @Test func missingLogLineIsNoticed() async throws {
        try await withKnownIssue {
            try await withServer(plain(), expecting: ["SGI9999"]) { _ in }
        } matching: {
            "\($0)".contains("missing in the error log: SGI9999")
        }
    }

    @Test func errorOfTheTestIsNoticedAndTheServerIsStopped() async throws {
        struct Stop: Error {}
        var root = ""
        try await withKnownIssue {
            try await withServer(plain()) { server in
                root = server.root
                throw Stop()
            }
        } matching: {
            "\($0)".contains("Stop()")
        }
        #expect(!root.isEmpty)
        #expect(ProcessTable.processes(naming: root).isEmpty)
    }

    @Test func leakedDescriptorIsNoticed() async throws {
        try await withKnownIssue {
            try await withServer(plain("KeepAliveTimeout 60")) { server in
                // A connection that outlives the test.
                let client = try server.connect()
                try client.request("GET /index.html HTTP/1.1")
                _ = try client.response()
                leaked.append(client)
            }
        } matching: {
            "\($0)".contains("socket")
        }
        leaked = []
    }

    @Test func strayProcessIsNoticed() async throws {
        try await withKnownIssue {
            try await withServer(plain()) { server in
                _ = try Command("sleep", ["60"], environment: ["SWIFTGI_TEST_ROOT": server.root])
            }
        } matching: {
            "\($0)".contains("is left: sleep 60")
        }
    }

    @Test func earlyEndIsNoticed() async throws {
        try await withKnownIssue {
            try await withServer(plain()) { server in
                kill(server.pid, SIGTERM)
                try wait("httpd to end") { server.hasEnded }
            }
        } matching: {
            "\($0)".contains("ended before it was stopped")
        }
    }

    @Test func configtestTellsGoodFromBad() async throws {
        try await withStoppedServer(plain()) { server in
            let good = try server.configtest()
            #expect(good.status == 0, "\(good)")
            try server.writeConfiguration("\nNoSuchDirective on")
            let bad = try server.configtest()
            #expect(bad.status != 0)
            #expect(bad.errors.contains("NoSuchDirective"))
            #expect(bad.errors.contains("test.conf"))
            #expect(try server.startRefused().status != 0)
        }
    }

    @Test func waitingEnds() throws {
        #expect(throws: WaitedInVain.self) { try wait("nothing", for: 0.05) { false } }
        #expect(!holdsEventually(for: 0.05) { false })
        var count = 0
        try wait("the third time") {
            count += 1
            return count == 3
        }
    }

    @Test func commandTellsItsEnd() throws {
        let result = try Command.run("sh", ["-c", "echo out; echo err >&2; exit 3"])
        #expect(result.status == 3)
        #expect(result.output == "out\n")
        #expect(result.errors == "err\n")
        #expect(try Command.run("sh", ["-c", "kill -9 $$"]).status == 128 + 9)
        #expect(throws: Command.Failure.self) { try Command.run("/no/such/file") }
        #expect(throws: Command.Failure.self) { try Command.run("sleep", ["60"], seconds: 0.05) }
    }

    @Test func logLinesAreRead() {
        let line = LogLine("log|swiftgi|error|17|Ab12|127.0.0.1:9|SGI0201: application failed | really")
        #expect(line?.module == "swiftgi")
        #expect(line?.isBad == true)
        #expect(line?.requestID == "Ab12")
        #expect(line?.message == "SGI0201: application failed | really")
        #expect(LogLine("Fatal error: Index out of range") == nil)
        let lines: [Substring] = ["log|core|notice|17|-|-|fine", "log|core|warn|17|-|-|AH1 bad", "raw"]
        #expect(ErrorLog.verdict(lines, expecting: []).unexpected.count == 2)
        #expect(ErrorLog.verdict(lines, expecting: ["AH1", "raw"]).unexpected.isEmpty)
        #expect(ErrorLog.verdict(lines, expecting: ["AH1", "AH2"]).missing == ["AH2"])
    }

    @Test func load() throws {
        let good = Load(clients: 2) { nil }
        try good.waitForMore(10)
        #expect(try good.stop().failures.isEmpty)
        struct Broken: Error {}
        let bad = Load(clients: 1) { throw Broken() }
        try wait("a failure") { !bad.failures.isEmpty }
        #expect(try bad.stop().answered == 0)
    }

    /// A second server of a test does not wait for one who waits for the first.
    @Test func secondServerBesideOneWhoWantsToBeAlone() async throws {
        var alone: Task<Void, any Error>?
        try await withServer(.behaviour()) { _ in
            alone = Task.detached { try await withServer(.behaviour(), alone: true) { _ in } }
            while await !isCapacityAwaited() { try await Task.sleep(for: .milliseconds(10)) }
            try await withStoppedServer(.behaviour()) { server in
                let result = try server.configtest()
                #expect(result.status == 0)
            }
        }
        try await alone?.value
    }
}

/// What a test leaks on purpose.
nonisolated(unsafe) private var leaked: [RawClient] = []
