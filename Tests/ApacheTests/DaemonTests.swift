import Foundation
import Glibc
import Testing

/// Real applications in processes of a group, with the real launcher: how requests and processes fail, and
/// what changes under load. What is served is tested by the suites of embedded mode; `.ci/test` runs them
/// a second time with all applications in a group.
///
/// SWIFTGI_ROUNDS says how many changes of each kind there are: `make stress` has more of them.
@Suite(.embedded("They have groups of their own."))
struct DaemonTests {
    private static let rounds = Paths.environment("SWIFTGI_ROUNDS").flatMap { Int($0) } ?? 2

    /// `Behaviour` at `/app` and `Waiting` at `/wait`, each in processes of its own of the group `shop`.
    private static func group(
        _ options: String, _ lines: String = "", mpm: Configuration.MPM = .event, threads: Int = 8
    ) -> Configuration {
        let own = """
            SwiftGIDaemonProcess shop \(options)
            SwiftGIScriptAlias /app ${root}/libBehaviour.so process-group=shop
            SwiftGIScriptAlias /wait ${apps}/libWaiting.so process-group=shop
            \(mpm == .event ? "AsyncRequestWorkerFactor 500" : "")
            <Directory ${root}>
            Require all granted
            </Directory>

            """
        var configuration = Configuration(own + lines, mpm: mpm, threads: threads).preparing {
            try Applications.copy("Behaviour", to: "\($0)/libBehaviour.so")
        }.embedded
        configuration.linksToDaemons = { 512 }
        return configuration
    }

    // MARK: Crashes

    @Test(arguments: Configuration.MPM.allCases)
    func crashBeforeTheHead(_ mpm: Configuration.MPM) async throws {
        let expected = ["SGI0467", "SGI0421", "Fatal error"]
        try await withServer(Self.group("", mpm: mpm), expecting: expected) { server in
            for (number, kind) in ["bounds", "unwrap", "fatal", "abort", "segv"].enumerated() {
                let client = try server.connect()
                try client.request("GET /app/trap?kind=\(kind) HTTP/1.1")
                #expect(try client.response().status == 502, "\(kind)")
                // The connection to httpd is none the worse for it.
                try client.request("GET /app/hello HTTP/1.1")
                #expect(try client.response().text == "Hello, world!\n")
                try wait("the supervisor's line") { server.errorLog.lines(with: "SGI0421").count == number + 1 }
            }
            let lines = server.errorLog.lines(with: "SGI0467")
            #expect(lines.count == 5)
            for line in lines {
                #expect(line.message.contains("libBehaviour.so"), "\(line)")
                #expect(line.message.contains("before the head of the response"), "\(line)")
                let access = server.accessLog.filter { $0.hasPrefix("GET /app/trap") && $0.contains("|502|") }
                #expect(access.contains { $0.hasSuffix("|\(line.requestID)") }, "\(line) \(access)")
            }
            // One line at error level says who died, by what and with which request.
            let deaths = server.errorLog.lines(with: "SGI0421")
            #expect(lines.allSatisfy { $0.level == "warn" } && deaths.allSatisfy { $0.level == "error" })
            for (death, line) in zip(deaths, lines) {
                #expect(death.message.contains("signal"), "\(death)")
                #expect(death.message.hasSuffix(", while it served request \(line.requestID)"), "\(death)")
            }
            #expect(Set(deaths.map(\.pid)).count == 5)
        }
    }

    /// The reason, and behind it the backtrace with the names of functions.
    @Test func backtraceBehindTheReason() async throws {
        let configuration = Self.group("backtrace=on")
        let expected = ["SGI0467", "SGI0421"]
        try await withServer(configuration, expecting: expected, permitting: ["[group shop] "]) { server in
            let client = try server.connect()
            try client.request("GET /app/trap?kind=fatal HTTP/1.1")
            #expect(try client.response().status == 502)
            let line = try server.errorLog.wait(for: "SGI0467")
            try wait("the end") { server.errorLog.lines(with: "SGI0416").contains { $0.level == "info" } }
            let deaths = server.errorLog.lines(with: "SGI0421")
            #expect(deaths.count == 1)
            let death = try #require(deaths.first)
            #expect(death.message.hasSuffix(", while it served request \(line.requestID)"), "\(death)")
            let texts = server.errorLog.lines.map(\.text)
            let position = try #require(texts.firstIndex(of: death.text))
            let trace = try #require(texts.firstIndex { $0.contains("*** Signal") })
            let frame = try #require(texts.firstIndex { $0.contains(" in libBehaviour.so at ") })
            #expect(position < trace && trace < frame)
        }
    }

    /// An application that calls exit() is no crash, and no success.
    @Test func exitBeforeTheHead() async throws {
        try await withServer(Self.group(""), expecting: ["SGI0467", "SGI0423"]) { server in
            let client = try server.connect()
            try client.request("GET /app/trap?kind=exit HTTP/1.1")
            #expect(try client.response().status == 502)
            let line = try server.errorLog.wait(for: "SGI0423")
            #expect(line.level == "error")
            #expect(line.message.contains("status 3, while it served request "), "\(line)")
            let request = try #require(server.errorLog.lines(with: "SGI0467").first).requestID
            #expect(line.message.contains(request), "\(line) \(request)")
            #expect(try server.get("/app/hello").text == "Hello, world!\n")
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func crashBehindTheHead(_ mpm: Configuration.MPM) async throws {
        let expected = ["SGI0467", "SGI0421"]
        try await withServer(Self.group("", mpm: mpm), expecting: expected) { server in
            let client = try server.connect()
            try client.request("GET /app/trap-late HTTP/1.1")
            // The head, or what httpd has in its place if the end came as fast.
            let head = try client.head()
            if head.status == 200 {
                #expect(throws: WireError.self) { try client.body(of: head) }
            } else {
                #expect(head.status == 502)
            }
            #expect(try server.get("/app/hello").text == "Hello, world!\n")
        }
    }

    /// Only the requests of the process that is killed fail; those of the others go on.
    @Test(arguments: Configuration.MPM.allCases)
    func killedProcess(_ mpm: Configuration.MPM) async throws {
        let configuration = Self.group("processes=3 threads=2", mpm: mpm, threads: 16)
        try await withServer(configuration, expecting: ["SGI0467", "SGI0421", "waiting for"]) { server in
            try wait("all processes") { server.errorLog.lines(with: "SGI0411").count == 6 }
            let clients = try (0..<6).map { number in
                let client = try server.connect()
                try client.request("GET /app/wait-for?path=\(server.gate()) HTTP/1.1")
                return client
            }
            try wait("all requests") { server.errorLog.lines(with: "waiting for").count == 6 }
            let victim = try #require(
                server.daemons.first { pid in
                    ProcessTable.commandLine(of: pid).contains("libBehaviour.so") && isServing(pid)
                })
            kill(victim, SIGKILL)
            try server.errorLog.wait(for: "SGI0421")
            try wait("what was lost") { !server.errorLog.lines(with: "SGI0467").isEmpty }
            try server.open(gate: server.gate())
            let statuses = try clients.map { try $0.response().status }
            let (lost, served) = (statuses.count { $0 == 502 }, statuses.count { $0 == 200 })
            #expect((1...2).contains(lost), "\(statuses)")
            #expect(served == 6 - lost, "\(statuses)")
            #expect(server.errorLog.lines(with: "SGI0467").count == lost)
        }
    }

    /// What waits in a connection to a process whose threads are all busy goes to another that has a thread.
    @Test(arguments: [Configuration.MPM.event, .worker])
    func requestsLeaveBusyProcesses(_ mpm: Configuration.MPM) async throws {
        let configuration = Self.group("processes=2 threads=1", mpm: mpm, threads: 16)
        try await withServer(configuration, expecting: ["waiting for"]) { server in
            try wait("all processes") { server.errorLog.lines(with: "SGI0411").count == 4 }
            func ask(_ gate: String) throws -> RawClient {
                let client = try server.connect()
                try client.request("GET /app/wait-for?path=\(server.gate(gate)) HTTP/1.1")
                return client
            }
            func waiting(_ gate: String) -> Bool {
                server.errorLog.lines(with: "waiting for").contains { $0.message.hasSuffix("/\(gate)") }
            }
            // Both are busy, and a third request is the first one's that has a thread.
            let first = try ask("a"), second = try ask("b")
            try wait("both") { waiting("a") && waiting("b") }
            let third = try ask("c")
            try server.open(gate: server.gate("a"))
            #expect(try first.response().text == "waited\n")
            try wait("the third") { waiting("c") }
            // This one finds the connection that the first has left, to the process that has the third.
            let fourth = try server.connect()
            try fourth.request("GET /app/hello HTTP/1.1")
            // If the third came late and took that one, there is none left to be sent elsewhere from.
            _ = holdsEventually(for: 2) { !server.errorLog.lines(with: "SGI0472").isEmpty }
            try server.open(gate: server.gate("b"))
            #expect(try second.response().text == "waited\n")
            #expect(try fourth.response().text == "Hello, world!\n")
            #expect(!FileManager.default.fileExists(atPath: server.gate("c")))
            try server.open(gate: server.gate("c"))
            #expect(try third.response().text == "waited\n")
        }
    }

    /// Whether one of its connections carries a request: it has more sockets than the listening one.
    private func isServing(_ pid: pid_t) -> Bool {
        ProcessTable.descriptors(of: pid).count { $0.hasPrefix("socket:") } > 1
    }

    // MARK: The queue

    /// One request is served, as many wait as may, and who comes then is turned away.
    @Test func fullQueue() async throws {
        let configuration = Self.group("threads=1 queue-limit=2")
        try await withServer(configuration, expecting: ["SGI0463", "waiting for"]) { server in
            let first = try server.connect()
            try first.request("GET /app/wait-for?path=\(server.gate()) HTTP/1.1")
            try server.errorLog.wait(for: "waiting for")
            let port = server.port
            let others = (0..<3).map { _ in
                Background {
                    let client = try RawClient(port: port)
                    try client.request("GET /app/hello HTTP/1.1", ["Host: localhost", "Connection: close"])
                    return try client.response()
                }
            }
            try wait("a request to be refused") { others.contains(where: \.isDone) }
            let refused = try others.filter(\.isDone).map { try $0.get() }
            #expect(refused.count == 1)
            #expect(refused.first?.status == 503)
            #expect(refused.first?["Retry-After"] != nil)
            let line = try #require(server.errorLog.lines(with: "SGI0463").first)
            #expect(line.level == "error")
            #expect(!line.requestID.isEmpty)
            try server.open(gate: server.gate())
            #expect(try first.response().text == "waited\n")
            let answers = try others.map { try $0.get().text }
            #expect(answers.count { $0 == "Hello, world!\n" } == 2)
            #expect(try server.get("/app/hello").status == 200)
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func waitsTooLongInTheQueue(_ mpm: Configuration.MPM) async throws {
        let configuration = Self.group("threads=1 queue-timeout=200ms", mpm: mpm)
        try await withServer(configuration, expecting: ["SGI0464", "waiting for"]) { server in
            let first = try server.connect()
            try first.request("GET /app/wait-for?path=\(server.gate()) HTTP/1.1")
            try server.errorLog.wait(for: "waiting for")
            #expect(try server.get("/app/log").status == 504)
            try server.open(gate: server.gate())
            #expect(try first.response().text == "waited\n")
            // The application never sees a request whose client has been answered.
            #expect(try server.get("/app/hello").status == 200)
            #expect(server.errorLog.lines(with: "from logger").isEmpty)
        }
    }

    /// The application hears that nobody waits for the head any more.
    @Test(arguments: Configuration.MPM.allCases)
    func headThatComesTooLate(_ mpm: Configuration.MPM) async throws {
        let configuration = Self.group("request-timeout=200ms", mpm: mpm)
        try await withServer(configuration, expecting: ["SGI0465", "SGI0216"]) { server in
            #expect(try server.get("/wait/hold").status == 504)
            let line = try server.errorLog.wait(for: "held:")
            #expect(line.message.contains("cancelled true"), "\(line)")
            #expect(try server.get("/wait/sleep").text == "slept\n")
        }
    }

    /// What can't be started turns requests away, and is started as soon as it can be.
    @Test func applicationThatCannotStart() async throws {
        let lines = "SwiftGIScriptAlias /broken ${root}/libBroken.so process-group=shop"
        let configuration = Self.group("", lines).preparing {
            try Applications.copy("ThrowsAtStart", to: "\($0)/libBroken.so")
        }
        let expected = ["SGI0423", "SGI0424", "SGI0470", "holiday"]
        try await withServer(configuration, expecting: expected) { server in
            try server.errorLog.wait(for: "SGI0424")
            let refused = try wait("a refusal") {
                let response = try server.get("/broken")
                return response.status == 503 ? response : nil
            }
            #expect(refused["Retry-After"] != nil)
            #expect(try server.get("/app/hello").status == 200)
        }
    }

    // MARK: Changes under load

    /// Requests of 16 clients, each on a connection of its own, while `change` is made again and again.
    private func underLoad(
        _ configuration: Configuration, expecting: [String] = [], path: String = "/app/hello",
        _ change: (Server, Load) throws -> Void
    ) async throws {
        try await withServer(configuration, expecting: expecting, alone: true) { server in
            _ = try server.get(path)
            let port = server.port
            let load = Load(clients: 16) {
                let client = try RawClient(port: port, timeout: 60)
                try client.request("GET \(path) HTTP/1.1", ["Host: localhost", "Connection: close"])
                let response = try client.response()
                return response.status == 200 && response.text == "Hello, world!\n" ? nil : "\(response)"
            }
            try load.waitForMore(50)
            do { try change(server, load) } catch { Issue.record("\(error)") }
            try load.waitForMore(50)
            let result = try load.stop()
            #expect(
                result.failures.isEmpty, "\(result.failures.count) of \(result.answered): \(result.failures.prefix(5))")
        }
    }

    @Test func libraryIsReplaced() async throws {
        try await underLoad(Self.group("processes=2", "SwiftGIReload On", threads: 32)) { server, load in
            for round in 1...Self.rounds {
                let library = "\(server.root)/libBehaviour.so"
                let old = try runningLibraries(server)
                try replaceFile(library) { try Applications.copy("Behaviour", to: $0) }
                try wait("replacement \(round)", for: 60) {
                    let new = try runningLibraries(server)
                    return new.count == 2 && old.isDisjoint(with: new)
                }
            }
        }
    }

    /// The processes that run `Behaviour`.
    private func runningLibraries(_ server: Server) throws -> Set<pid_t> {
        Set(server.daemons.filter { ProcessTable.commandLine(of: $0).contains("libBehaviour.so") })
    }

    @Test(arguments: Configuration.MPM.allCases)
    func gracefulRestarts(_ mpm: Configuration.MPM) async throws {
        let rounds = mpm == .event ? Self.rounds : 1
        try await underLoad(Self.group("processes=2", mpm: mpm, threads: 32)) { server, load in
            for restart in 1...rounds {
                let old = try runningLibraries(server)
                server.graceful()
                try server.waitUntilResumed(restart + 1)
                try wait("other processes after restart \(restart)", for: 60) {
                    let new = try runningLibraries(server)
                    return new.count == 2 && old.isDisjoint(with: new)
                }
                try load.waitForMore(50)
            }
        }
    }

    @Test func processesAreRecycled() async throws {
        try await underLoad(Self.group("processes=2 maximum-requests=500", threads: 32)) { server, load in
            try wait("processes to be recycled", for: 120) {
                server.errorLog.lines(with: "to be replaced: maximum-requests").count >= 2 * Self.rounds
            }
        }
    }

    /// Bodies that are sent while processes change: what was begun is finished, and what was not is sent anew.
    @Test func uploadsDuringReplacements() async throws {
        let configuration = Self.group("processes=2 maximum-requests=20")
        try await withServer(configuration, alone: true) { server in
            let port = server.port
            let load = Load(clients: 8) {
                let body = [UInt8](repeating: 0x62, count: [10, 20_000, 200_000].randomElement() ?? 10)
                let client = try RawClient(port: port, timeout: 60)
                try client.request(
                    "POST /app/collect HTTP/1.1",
                    ["Host: localhost", "Connection: close", "Content-Length: \(body.count)"])
                try client.send(body)
                let response = try client.response()
                return response.body == body ? nil : "\(response.status) for \(body.count) bytes"
            }
            try wait("processes to be replaced", for: 60) {
                server.errorLog.lines(with: "to be replaced: maximum-requests").count >= 10 * Self.rounds
            }
            let result = try load.stop()
            #expect(
                result.failures.isEmpty, "\(result.failures.count) of \(result.answered): \(result.failures.prefix(5))")
        }
    }

    /// One of several is killed again and again: no more fail than it can have had at a time.
    @Test func killsUnderLoad() async throws {
        let threads = 4
        let configuration = Self.group("processes=3 threads=\(threads)", threads: 24)
        try await withServer(configuration, expecting: ["SGI0467", "SGI0421"], alone: true) { server in
            _ = try server.get("/app/hello")
            let port = server.port
            let load = Load(clients: 16) {
                let client = try RawClient(port: port, timeout: 60)
                try client.request("GET /app/sleep?ms=20 HTTP/1.1", ["Host: localhost", "Connection: close"])
                return try client.response().status == 200 ? nil : "failed"
            }
            let kills = 3 * Self.rounds
            for number in 1...kills {
                try load.waitForMore(50)
                try wait("three processes") { try runningLibraries(server).count == 3 }
                let victim = try #require(runningLibraries(server).randomElement())
                kill(victim, SIGKILL)
                try wait("the line about it") { server.errorLog.lines(with: "SGI0421").count == number }
            }
            let result = try load.stop()
            #expect(result.failures.count <= kills * threads)
            #expect(server.errorLog.lines(with: "SGI0467").count == result.failures.count)
        }
    }

    // MARK: A gigabyte

    /// Up, down, and both in one request: complete, and in the memory neither of httpd nor of the process.
    @Test(arguments: ["up", "down", "both"])
    func gigabyte(_ direction: String) async throws {
        let size = 1 << 30, growth = 16 * 1024
        try await withServer(Self.group(""), alone: true) { server in
            let body = "\(server.root)/body", answer = "\(server.root)/answer"
            try writeFile(body, "")
            // Sparse: zeros that take no room.
            func transfer(_ size: Int) throws -> Int? {
                try #require(truncate(body, size) == 0)
                let upload = ["-T", body, "-H", "Expect:"]
                let arguments =
                    switch direction {
                    case "up": upload + ["-o", answer, server.url("/app/count")]
                    case "down": ["-o", "/dev/null", server.url("/app/big?length=yes&bytes=\(size)")]
                    default: upload + ["-o", "/dev/null", server.url("/app/echo")]
                    }
                let result = try Command.run(
                    "curl", ["-sS", "-w", "%{http_code} %{size_download}"] + arguments, seconds: 240)
                #expect(result.status == 0, "\(result)")
                if direction == "up" { return Int(readText(answer).prefix { $0 != " " }) }
                let words = result.output.split(separator: " ")
                return words.first == "200" ? words.last.flatMap { Int($0) } : nil
            }
            // What is made once is there.
            #expect(try transfer(1 << 20) == 1 << 20)
            let daemons = try runningLibraries(server)
            let all = server.children + daemons
            let before = all.map { pid in
                ProcessTable.resetPeak(of: pid)
                return ProcessTable.memory("VmRSS", of: pid) ?? 0
            }
            #expect(try transfer(size) == size)
            for (pid, size) in zip(all, before) {
                let peak = try #require(ProcessTable.memory("VmHWM", of: pid))
                #expect(peak - size < growth, "KiB, of \(ProcessTable.commandLine(of: pid))")
            }
            #expect(try runningLibraries(server) == daemons)
        }
    }

    // MARK: Many at a time

    /// Handlers that wait hold no thread, neither httpd's nor the process's.
    @Test func waitingHandlers() async throws {
        let count = Paths.environment("SWIFTGI_WAITING").flatMap { Int($0) } ?? 200
        let configuration = Self.group("threads=4 queue-limit=10000", "AsyncRequestWorkerFactor 5000", threads: 16)
        try await withServer(configuration, alone: true) { server in
            _ = try server.get("/wait/sleep")
            let start = ContinuousClock.now
            let clients = try (0..<count).map { _ in
                let client = try server.connect(timeout: 60)
                try client.request("GET /wait/sleep?ms=1000 HTTP/1.1")
                return client
            }
            var answered = 0
            for client in clients where try client.response().text == "slept\n" { answered += 1 }
            #expect(answered == count)
            print("\(count) requests that wait a second: \(ContinuousClock.now - start)")
        }
    }

    /// What slow clients ask of an application, by its contract.
    struct Slow: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let upload: String
        let isEcho: Bool
        let download: String
        let other: String
    }

    /// Slow clients hold no thread of a process's, whichever direction they are slow in.
    @Test(arguments: [
        Slow(
            testDescription: "async", upload: "/wait/count", isEcho: false, download: "/wait/bytes?length=yes&count=",
            other: "/wait/hello"),
        Slow(
            testDescription: "gateway", upload: "/app/echo", isEcho: true, download: "/app/big?length=yes&bytes=",
            other: "/app/hello"),
    ])
    func slowClients(_ slow: Slow) async throws {
        let count = Paths.environment("SWIFTGI_SLOW").flatMap { Int($0) } ?? 100
        let configuration = Self.group("threads=4 queue-limit=10000", "AsyncRequestWorkerFactor 5000", threads: 16)
        try await withServer(configuration, alone: true) { server in
            let size = 251 * 250
            let body = (0..<size).map { UInt8($0 % 251) }
            let uploads = try (0..<count / 2).map { _ in
                let client = try server.connect(timeout: 60)
                try client.request(
                    "POST \(slow.upload) HTTP/1.1", ["Host: localhost", "Content-Length: \(size)"])
                return client
            }
            let downloads = try (0..<(count - count / 2)).map { _ in
                let client = try server.connect(timeout: 60)
                try client.request("GET \(slow.download)\(8 * size) HTTP/1.1")
                return client
            }
            // All are slow together, and somebody else is not.
            let pieces = 8
            for piece in 0..<pieces {
                for client in uploads {
                    try client.send(Array(body[piece * size / pieces..<(piece + 1) * size / pieces]))
                }
                #expect(try server.get(slow.other).text == "Hello, world!\n")
            }
            for client in uploads {
                let response = try client.response()
                #expect(slow.isEcho ? response.body == body : response.text == "\(size) intact\n")
            }
            for client in downloads {
                #expect(try client.head().status == 200)
                #expect(try client.drain(8 * size, matching: Array(0..<251)))
            }
        }
    }
}
