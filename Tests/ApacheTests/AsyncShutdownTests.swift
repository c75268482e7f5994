import Foundation
import Glibc
import Testing

/// Restarts and stops, with requests that wait.
@Suite struct AsyncShutdownTests {
    /// With room for the processes of a second generation, which worker wants to have.
    private func restarting(_ mpm: Configuration.MPM, _ lines: String = "") -> Configuration {
        .waiting("MaxRequestWorkers 16\n" + lines, mpm: mpm, threads: 4)
    }

    /// They may finish; new requests are for the new processes.
    @Test(arguments: Configuration.MPM.allCases)
    func gracefulRestart(_ mpm: Configuration.MPM) async throws {
        try await withServer(restarting(mpm)) { server in
            let before = server.children
            let clients = try (0..<(mpm == .event ? 20 : 3)).map { number in
                let client = try server.connect()
                try client.request("GET /wait/gate\(number % 2 == 0 ? "" : "-midway")?gate=\(server.gate()) HTTP/1.1")
                return client
            }
            try server.waitForJournal("waiting", times: clients.count)
            server.graceful()
            try server.waitUntilResumed(2)
            try wait("new processes") { server.children.contains { !before.contains($0) } }
            #expect(try server.get("/wait/sleep").text == "slept\n")
            try server.open(gate: server.gate())
            for (number, client) in clients.enumerated() {
                #expect(try client.response().text == (number % 2 == 0 ? "passed\n" : "before\nafter\n"))
            }
            try wait("the old processes to end") { server.children.allSatisfy { !before.contains($0) } }
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func gracefulStop(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting("GracefulShutdownTimeout 15", mpm: mpm, threads: 4)) { server in
            let clients = try (0..<(mpm == .event ? 20 : 3)).map { _ in
                let client = try server.connect()
                try client.request("GET /wait/gate?gate=\(server.gate()) HTTP/1.1")
                return client
            }
            try server.waitForJournal("waiting", times: clients.count)
            let gate = server.gate()
            let wrong = try await server.stop {
                kill(server.pid, SIGWINCH)
                try wait("httpd to listen no more") { Ports.isFree(server.port) }
                #expect(clients.allSatisfy { $0.isSilent })
                try server.open(gate: gate)
            }
            #expect(wrong == [])
            for client in clients { #expect(try client.response().text == "passed\n") }
        }
    }

    /// Those that do not finish are cancelled: 503, or an aborted response.
    @Test(arguments: Configuration.MPM.allCases, [false, true])
    func graceIsLimited(_ mpm: Configuration.MPM, _ restarts: Bool) async throws {
        let configuration = restarting(mpm, "GracefulShutdownTimeout \(restarts ? 1 : 3)")
        try await withServer(configuration, expecting: ["SGI0217"]) { server in
            let before = server.children
            let silent = try server.connect()
            try silent.request("GET /wait/hold HTTP/1.1")
            let begun = try server.connect()
            try begun.request("GET /wait/hold-midway HTTP/1.1")
            #expect(try begun.head().status == 200)
            #expect(try begun.chunk() == Array("begin\n".utf8))
            try server.waitForJournal("waiting", times: 2)
            if restarts {
                server.graceful()
                try wait("the old processes to end") { server.children.allSatisfy { !before.contains($0) } }
            } else {
                #expect(await server.stop() == [])
            }
            #expect(try silent.response().status == 503)
            #expect(throws: WireError.self) { _ = try begun.chunk() }
            let lines = server.errorLog.lines(with: "held:")
            #expect(lines.count == 2)
            for line in lines {
                #expect(line.message.contains("CancellationError(), cancelled true, writing serverStopped"), "\(line)")
            }
        }
    }

    /// A handler that knows of the stop ends its stream well.
    @Test(arguments: Configuration.MPM.allCases, [false, true])
    func streamsEndWell(_ mpm: Configuration.MPM, _ restarts: Bool) async throws {
        try await withServer(restarting(mpm, "GracefulShutdownTimeout 10")) { server in
            let before = server.children
            let clients = try (0..<(mpm == .event ? 20 : 3)).map { _ in
                let client = try server.connect()
                try client.request("GET /wait/until-stop HTTP/1.1")
                #expect(try client.head().status == 200)
                #expect(try client.chunk() == Array("begin\n".utf8))
                return client
            }
            try server.waitForJournal("waiting", times: clients.count)
            if restarts {
                server.graceful()
            } else {
                #expect(await server.stop() == [])
            }
            for client in clients {
                #expect(try client.chunk() == Array("goodbye\n".utf8))
                #expect(try client.chunk() == nil)
            }
            if restarts {
                try wait("the old processes to end") { server.children.allSatisfy { !before.contains($0) } }
            }
            #expect(server.errorLog.lines(with: "told of the stop").count == clients.count)
        }
    }

    /// Who leaves after the stop began is noticed as ever.
    @Test(arguments: Configuration.MPM.allCases)
    func clientGoesDuringTheStop(_ mpm: Configuration.MPM) async throws {
        try await withServer(restarting(mpm)) { server in
            let before = server.children
            let client = try server.connect()
            try client.request("GET /wait/hold HTTP/1.1")
            try server.waitForJournal("waiting", times: 1)
            server.graceful()
            try server.waitUntilResumed(2)
            client.close()
            try wait("the old processes to end") { server.children.allSatisfy { !before.contains($0) } }
            try server.errorLog.wait(for: "held: CancellationError()")
        }
    }

    /// A stubborn handler does not hold up the end beyond the grace.
    @Test(arguments: [Configuration.MPM.event, .worker])
    func stubbornHandler(_ mpm: Configuration.MPM) async throws {
        let configuration = restarting(mpm, "GracefulShutdownTimeout 2")
        try await withServer(configuration, expecting: ["SGI0215", "SGI0217"]) { server in
            let before = server.children
            let client = try server.connect()
            try client.request("GET /wait/stubborn?gate=\(server.gate()) HTTP/1.1")
            try server.waitForJournal("waiting", times: 1)
            server.graceful()
            #expect(try client.response().status == 503)
            try wait("the old processes to end") { server.children.allSatisfy { !before.contains($0) } }
        }
    }

    /// A stop without grace waits for nobody, and needs no kill.
    @Test(arguments: Configuration.MPM.allCases)
    func hardStop(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm, threads: 6)) { server in
            let clients = try ["hold", "hold-midway", "until-stop"].map { route in
                let client = try server.connect()
                try client.request("GET /wait/\(route) HTTP/1.1")
                return client
            }
            try server.waitForJournal("waiting", times: clients.count)
            #expect(await server.stop(graceful: false) == [])
            for client in clients { #expect(throws: WireError.self) { _ = try client.response() } }
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func hardRestart(_ mpm: Configuration.MPM) async throws {
        // A child that comes to it says so before it ends.
        try await withServer(.waiting(mpm: mpm, threads: 6), permitting: ["SGI0217"]) { server in
            let before = server.children
            let client = try server.connect()
            try client.request("GET /wait/hold-midway HTTP/1.1")
            try server.waitForJournal("waiting", times: 1)
            kill(server.pid, SIGHUP)
            try wait("the old processes to end") {
                !server.children.isEmpty && server.children.allSatisfy { !before.contains($0) }
            }
            #expect(throws: WireError.self) { _ = try client.response() }
            try server.waitUntilResumed(2)
            #expect(try server.get("/wait/sleep").text == "slept\n")
        }
    }

    /// Ten graceful restarts under a load of suspended requests: none fails.
    @Test func restartsUnderLoad() async throws {
        try await withServer(.waiting(threads: 20), alone: true) { server in
            let port = server.port
            let load = Load(clients: 16) {
                let client = try RawClient(port: port)
                try client.request(
                    "GET /wait/events?count=3&ms=7 HTTP/1.1", ["Host: localhost", "Connection: close"])
                let text = try client.response().text
                return text == "event 0\nevent 1\nevent 2\nend\n" ? nil : "got \(text)"
            }
            try load.waitForMore(50)
            for restart in 1...10 {
                server.graceful()
                try server.waitUntilResumed(restart + 1)
                try load.waitForMore(50)
            }
            let result = try load.stop()
            #expect(result.failures == [])
            #expect(result.answered > 500)
            try wait("the old processes to end") { server.children.count == 1 }
        }
    }
}
