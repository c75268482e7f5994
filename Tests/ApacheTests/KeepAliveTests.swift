import Foundation
import Testing

/// Threads that wait for the next request of a connection themselves, in the place of the MPM.
@Suite struct KeepAliveTests {
    private func configuration(_ wait: String, mpm: Configuration.MPM = .event, threads: Int = 8) -> Configuration {
        let lines = """
            SwiftGIKeepAliveWait \(wait)
            KeepAliveTimeout 20
            <Location /status>
            SetHandler server-status
            </Location>

            """
        return Configuration.waiting(lines, mpm: mpm, modules: ["status"], threads: threads).preparing {
            try writeFile("\($0)/htdocs/file", "of httpd's\n")
        }
    }

    /// How many threads have a connection that is kept alive, as httpd counts them.
    private func waiting(_ server: Server) throws -> Int {
        let status = try server.get("/status?auto").text
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("Scoreboard: ") }, "\(status)")
        return line.count { $0 == "K" }
    }

    private func ask(_ client: RawClient, _ target: String, for text: String) throws {
        try client.request("GET \(target) HTTP/1.1")
        #expect(try client.response().text == text)
    }

    @Test func threadWaits() async throws {
        try await withServer(configuration("1s")) { server in
            let client = try server.connect()
            // The MPM's own threads are seen so for a moment only.
            var seen = 0
            try ApacheTests.wait("the thread to wait") {
                try ask(client, "/app/hello", for: "Hello, world!\n")
                seen = try waiting(server) == 1 ? seen + 1 : 0
                return seen == 5
            }
            // Whoever was put aside comes back to that.
            try ask(client, "/wait/sleep?ms=2", for: "slept\n")
            try ApacheTests.wait("the thread to wait again") { try waiting(server) == 1 }
            client.close()
            try ApacheTests.wait("the thread to be free") { try waiting(server) == 0 }
        }
    }

    @Test func threadWaitsNotForOthers() async throws {
        try await withServer(configuration("Off")) { server in
            let client = try server.connect()
            try ask(client, "/app/hello", for: "Hello, world!\n")
            try ApacheTests.wait("the thread to be free") { try waiting(server) == 0 }
            try ask(client, "/app/hello", for: "Hello, world!\n")
        }
        try await withServer(configuration("1s")) { server in
            // What httpd itself has served is httpd's.
            let client = try server.connect()
            try ask(client, "/app/hello", for: "Hello, world!\n")
            try ask(client, "/file", for: "of httpd's\n")
            // The MPM's own threads are seen so for a moment only.
            #expect(try (0..<5).contains { _ in try waiting(server) == 0 })
            try ask(client, "/file", for: "of httpd's\n")
        }
    }

    /// However many connections are kept alive, others find a thread.
    @Test func halfOfTheThreadsAreLeft() async throws {
        // Enough for httpd never to find all busy, when it closes connections that are kept alive.
        try await withServer(configuration("1s", threads: 10)) { server in
            let clients = try (0..<12).map { _ in try server.connect() }
            for _ in 0..<20 {
                for client in clients { try ask(client, "/app/hello", for: "Hello, world!\n") }
                #expect(try waiting(server) <= 5)
                #expect(try server.get("/app/hello").text == "Hello, world!\n")
            }
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func sequences(_ mpm: Configuration.MPM) async throws {
        try await withServer(configuration("1s", mpm: mpm)) { server in
            let client = try server.connect()
            for round in 0..<10 {
                try ask(client, "/app/hello", for: "Hello, world!\n")
                try ask(client, "/wait/hello", for: "Hello, world!\n")
                try ask(client, "/wait/sleep?ms=2", for: "slept\n")
                try ask(client, "/file", for: "of httpd's\n")
                try client.request(
                    "POST /app/echo HTTP/1.1", ["Host: localhost", "Content-Length: 4"])
                try client.send("echo")
                #expect(try client.response().text == "echo")
                // Two at once, and one in pieces.
                let request = "GET /app/hello?\(round) HTTP/1.1\r\nHost: localhost\r\n\r\n"
                try client.send(request + request)
                for _ in 0..<2 { #expect(try client.response().text == "Hello, world!\n") }
                try client.send(String(request.prefix(9)))
                try client.send(String(request.dropFirst(9)))
                #expect(try client.response().text == "Hello, world!\n")
            }
            try client.request("GET /app/hello HTTP/1.1", ["Host: localhost", "Connection: close"])
            #expect(try client.response().text == "Hello, world!\n")
            #expect(try client.endsProperly())
        }
    }

    /// A thread that waits for a client does not hold up a graceful restart, and no answer is lost.
    @Test func gracefulRestart() async throws {
        try await withServer(configuration("1s")) { server in
            for round in 0..<3 {
                let client = try server.connect()
                try ask(client, "/app/hello", for: "Hello, world!\n")
                server.graceful()
                try server.waitUntilResumed(round + 2)
                #expect(try client.endsProperly())
                #expect(try server.get("/app/hello").text == "Hello, world!\n")
            }
        }
    }

    @Test(arguments: ["", "soon", "-1", "1 2", "0", "2s", "1001ms", "1h", "99999999999999999999"])
    func malformedTimes(_ value: String) async throws {
        try await withStoppedServer(configuration(value)) { server in
            let result = try server.configtest()
            #expect(result.status != 0)
            #expect(result.errors.contains("SwiftGIKeepAliveWait"), "\(result)")
        }
    }

    @Test(arguments: ["1", "1s", "1ms", "1000ms", "Off", "off"])
    func wellFormedTimes(_ value: String) async throws {
        try await withStoppedServer(configuration(value)) { server in
            let result = try server.configtest()
            #expect(result.status == 0, "\(result)")
        }
    }

    @Test func isOfTheWholeServer() async throws {
        try await DirectiveTests.Malformed("<Location />\nSwiftGIKeepAliveWait 1ms\n</Location>", "not allowed").check()
        try await DirectiveTests.Malformed(
            "<VirtualHost *:*>\nSwiftGIKeepAliveWait 1ms\n</VirtualHost>", "SwiftGIKeepAliveWait"
        ).check()
    }
}
