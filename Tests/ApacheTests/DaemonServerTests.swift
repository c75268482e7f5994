import Foundation
import Glibc
import SwiftGIConformance
import Testing

/// Daemon mode with the real launcher and the real applications: what an application can do in a daemon as
/// it can inside httpd.
@Suite struct DaemonServerTests {
    // MARK: The same as embedded

    /// The suite, with both contracts. Handlers are put aside where they wait.
    @Test(arguments: Configuration.MPM.allCases)
    func conforms(_ mpm: Configuration.MPM) async throws {
        let lines = """
            SwiftGIScriptAlias /gateway ${apps}/libConformance.so process-group=shop
            SwiftGIScriptAlias /suspended ${apps}/libAsyncConformance.so process-group=shop
            SetEnv SWIFTGI_TEST_JOURNAL ${root}/scratch
            <Location /suspended>
            SetEnv \(ConformanceHandler.waitVariable) 1
            </Location>
            """
        let contracts = [("gateway", conformanceCases()), ("suspended", conformanceCases() + asyncConformanceCases())]
        let expected = Set(contracts.flatMap { $0.1.flatMap(\.log) }).sorted()
        let configuration = Configuration.served("threads=16", lines, mpm: mpm, modules: ["env"], threads: 16)
        try await withServer(configuration, expecting: expected) { server in
            for (name, cases) in contracts {
                let client = ApacheConformanceClient(port: server.port, scriptName: "/\(name)")
                for conformanceCase in cases {
                    do { try await conformanceCase.run(over: client) } catch {
                        Issue.record("\(name), \(conformanceCase): \(error)")
                    }
                }
            }
        }
    }

    @Test func applicationKnowsWhereItIs() async throws {
        try await withServer(.served("processes=2 threads=3")) { server in
            let traits = try server.get("/app/traits").text
            #expect(traits.contains("daemon"), "\(traits)")
            #expect(try server.get("/app/variable?name=SWIFTGI_EXTENSIONS").text.contains("1") == false)
        }
    }

    @Test func linesHaveLevelAndRequest() async throws {
        let expected = ["from errors", "unfinished", "logger at warning", "logger at error", "logger at critical"]
        let configuration = Configuration.served("", logLevel: "info swiftgi:debug")
        try await withServer(configuration, expecting: expected + ["w from stderr"]) { server in
            let id = try server.get("/app/log?word=w").text.dropLast()
            #expect(!id.isEmpty)
            for (text, level) in [
                ("w from errors", "error"), ("w unfinished", "error"), ("w from logger at debug", "debug"),
                ("w from logger at info", "info"), ("w from logger at notice", "notice"),
                ("w from logger at warning", "warn"), ("w from logger at error", "error"),
                ("w from logger at critical", "crit"),
            ] {
                let line = try server.errorLog.wait(for: text)
                #expect(line.level.hasPrefix(level), "\(text): \(line.level)")
                #expect(line.requestID == id, "\(text)")
                #expect(!line.message.contains("[\(id)]"), "\(line)")
            }
            // These are the process's.
            #expect(try server.errorLog.wait(for: "w from print").level == "notice")
            #expect(try server.errorLog.wait(for: "w from stderr").level == "error")
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func hintsTrailersAndFiles(_ mpm: Configuration.MPM) async throws {
        try await withServer(.served("threads=2", mpm: mpm)) { server in
            let client = try server.connect()
            try client.request("GET /wait/hints?gate=\(server.gate()) HTTP/1.1")
            #expect(try client.anyHead().status == 103)
            try server.open(gate: server.gate())
            #expect(try client.response().text == "hinted\n")

            try client.request(
                "POST /wait/request-trailers HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
            try client.sendChunk("body")
            try client.send("0\r\nX-One: a\r\n\r\n")
            #expect(try client.response().text == "0 before\nX-One=a\n")

            try client.request(
                "POST /wait/collect HTTP/1.1", ["Host: localhost", "Content-Length: 4", "Expect: 100-continue"])
            #expect(try client.anyHead().status == 100)
            try client.send("body")
            #expect(try client.response().text == "body")

            let path = "\(server.root)/scratch/file"
            let text = String(repeating: "0123456789", count: 500_000)
            try writeFile(path, text)
            for _ in 0..<3 { #expect(try server.get("/app/file?path=\(path)").text == text) }
        }
    }

    /// The daemon's descriptor is what httpd reads: nothing of the file passes the daemon's memory.
    @Test func filesArePassed() async throws {
        try await withServer(.served("processes=1 threads=2")) { server in
            let path = "\(server.root)/scratch/large"
            try writeFile(path, "")
            #expect(truncate(path, 1 << 30) == 0)
            let daemon = try server.daemonOf("Behaviour")
            let before = readBytes(of: daemon)
            let client = try server.connect()
            try client.request("GET /app/file?path=\(path) HTTP/1.1")
            #expect(try client.head()["Content-Length"] == "\(1 << 30)")
            #expect(try client.drain(1 << 30, matching: [0]))
            #expect(readBytes(of: daemon) - before < 1 << 20)
        }
    }

    private func readBytes(of pid: pid_t) -> Int {
        let line = readText("/proc/\(pid)/io").split(separator: "\n").first { $0.hasPrefix("rchar:") }
        return line.flatMap { Int($0.dropFirst(7)) } ?? 0
    }

    // MARK: Waiting

    /// More requests than there are threads of any kind, all of which wait.
    @Test func waitingHoldsNoThread() async throws {
        let count = 2000
        let lines = "AsyncRequestWorkerFactor 1000"
        let configuration = Configuration.served("processes=1 threads=4 queue-limit=2000", lines, threads: 16)
        // For a moment each thread may have one of so many that come at once.
        try await withServer(configuration, permitting: ["AH00484"]) { server in
            _ = try server.get("/wait/hello")
            let daemon = try server.daemonOf("Waiting")
            let before = try #require(ProcessTable.memory("VmRSS", of: daemon))
            var clients: [RawClient] = []
            for _ in 0..<count {
                let client = try server.connect()
                try client.request("GET /wait/gate?gate=\(server.gate()) HTTP/1.1")
                clients.append(client)
            }
            try server.waitForJournal("waiting", times: count)
            // All of them wait at the same time, on no more threads than there were.
            let threads = try #require(ProcessTable.memory("Threads", of: daemon))
            #expect(threads < 20)
            let after = try #require(ProcessTable.memory("VmRSS", of: daemon))
            #expect(after - before < 100_000, "KiB")
            // Others are served.
            #expect(try server.get("/wait/hello").text == "Hello, world!\n")
            try server.open(gate: server.gate())
            for client in clients { #expect(try client.response().text == "passed\n") }
        }
    }

    @Test func endlessStreamsHaveBackpressure() async throws {
        try await withServer(.served("processes=1 threads=2")) { server in
            let clients = try (0..<20).map { _ in
                let client = try server.connect()
                try client.request("GET /wait/endless HTTP/1.1")
                _ = try client.head()
                return client
            }
            func accepted() throws -> Int { Int(try server.get("/wait/accepted").text) ?? -1 }
            // What is taken comes to an end while nobody reads, and others are served.
            var last = -1
            try wait("the streams to stall") {
                let now = try accepted()
                defer { last = now }
                usleep(50_000)
                return now == last
            }
            #expect(last < 20 * 8 << 20)
            #expect(try clients[0].some(1 << 20).isEmpty == false)
            for client in clients { client.close() }
            try server.waitForJournal("endless ended: clientGone", times: clients.count)
        }
    }

    // MARK: Replacement

    /// Limits, a library that is replaced and restarts: no request fails.
    @Test func noRequestIsLost() async throws {
        let lines = "SwiftGIScriptAlias /count ${apps}/libHello.so process-group=counted"
        let options = "processes=2 threads=2\nSwiftGIDaemonProcess counted processes=2 threads=2 maximum-requests=100"
        try await withServer(.served(options, lines, threads: 16)) { server in
            let port = server.port
            let load = Load(clients: 8) {
                for target in ["/count", "/wait/sleep?ms=2"] {
                    let client = try RawClient(port: port)
                    try client.request("GET \(target) HTTP/1.1", ["Host: localhost", "Connection: close"])
                    let response = try client.response()
                    if response.status != 200 { return "\(target): \(response.status)" }
                }
                return nil
            }
            for restart in 1...3 {
                try load.waitForMore(150)
                server.graceful()
                try server.waitUntilResumed(restart + 1)
            }
            try load.waitForMore(150)
            let (_, failures) = try load.stop()
            #expect(failures == [])
            #expect(server.errorLog.lines(with: "maximum-requests").count > 0)
        }
    }

    @Test func inactiveProcessIsReplaced() async throws {
        try await withServer(.served("processes=1 inactivity-timeout=300ms")) { server in
            #expect(try server.get("/app/hello").status == 200)
            try server.errorLog.wait(for: "inactivity-timeout")
            try wait("the end of the process") { server.errorLog.lines(with: "SGI0416").count >= 1 }
            #expect(try server.get("/app/hello").status == 200)
        }
    }

    // MARK: The launcher

    @Test("Who may connect to a Unix socket", .enabled(if: ServedAs.isRoot, "needs two users"))
    func peerUser() throws {
        let socket = "\(Paths.temporary)/peer-\(UUID().uuidString.prefix(8)).sock"
        let launched = try Launched(
            "Hello", ["--fastcgi", "unix:\(socket)", "--socket-mode", "0666", "--peer-user", ServedAs.user],
            address: socket)
        func answer(as user: String) throws -> String {
            try Command.run(
                "/usr/bin/setpriv",
                ["--reuid=\(user)", "--clear-groups", "/usr/bin/cgi-fcgi", "-bind", "-connect", socket],
                environment: ["REQUEST_METHOD": "GET", "SCRIPT_NAME": "/x"]
            ).output
        }
        #expect(try answer(as: ServedAs.user).hasSuffix("Hello, world!\n"))
        #expect(try answer(as: "root").hasSuffix("Hello, world!\n"))
        #expect(try answer(as: "nobody") == "")
        #expect(launched.command.errors.contains("SGI0315: connection from user 65534"))
        #expect(try launched.stop().status == 0)
    }

    @Test(arguments: [
        (["--inactivity-timeout", "soon"], "--inactivity-timeout TIME"),
        (["--peer-user", "no-such-user"], "--peer-user USER"),
        (["--processes", "2", "--ready", "fd:5"], "only one of --processes and --ready"),
    ])
    func usage(_ arguments: [String], _ message: String) throws {
        let result = try Command.run(Paths.launcher, ["--fastcgi", ":0"] + arguments + ["lib.so"])
        #expect(result.status == 64)
        #expect(result.errors.contains(message), "\(result)")
    }
}

extension Configuration {
    /// A group, `shop`, of the real launcher with the tests' applications.
    fileprivate static func served(
        _ options: String, _ lines: String = "", mpm: MPM = .event, modules: [String] = [], threads: Int = 8,
        logLevel: String = "info swiftgi:debug"
    ) -> Configuration {
        let own = """
            SwiftGILauncher ${root}/swiftgi-run
            SwiftGIDaemonProcess shop \(options)
            SwiftGIScriptAlias /wait ${apps}/libWaiting.so process-group=shop
            SwiftGIScriptAlias /app ${apps}/libBehaviour.so process-group=shop

            """
        var configuration = Configuration(
            own + lines, mpm: mpm, modules: modules, threads: threads, logLevel: logLevel
        ).preparing {
            try FileManager.default.copyItem(atPath: Paths.launcher, toPath: "\($0)/swiftgi-run")
            chmod("\($0)/swiftgi-run", 0o755)
        }
        // The module keeps so many.
        configuration.linksToDaemons = { 260 }
        return configuration
    }
}

extension Server {
    /// The process that runs a library.
    fileprivate func daemonOf(_ library: String) throws -> pid_t {
        try wait("a process of \(library)") {
            daemons.first { readText("/proc/\($0)/maps").contains("lib\(library).so") }
        }
    }
}
