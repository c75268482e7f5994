import Foundation
import Glibc
import Testing

/// Requests that end before their handlers do: clients that leave, deadlines.
@Suite struct CancellationTests {
    // MARK: The client goes

    /// Before the head and behind it, closed and reset: the task is cancelled, its I/O throws, and the
    /// access log has it. Nothing but debug lines in the error log.
    @Test(arguments: Configuration.MPM.allCases, [false, true])
    func clientGoes(_ mpm: Configuration.MPM, _ resets: Bool) async throws {
        try await withServer(.waiting(mpm: mpm)) { server in
            for (round, route) in ["hold", "hold-midway"].enumerated() {
                let client = try server.connect()
                try client.request("GET /wait/\(route) HTTP/1.1")
                try server.waitForJournal("waiting", times: round + 1)
                if route == "hold-midway" {
                    _ = try client.head()
                    #expect(try client.chunk() == Array("begin\n".utf8))
                }
                if resets { client.reset() } else { client.close() }
                try wait("the handler to end") { server.errorLog.lines(with: "held:").count == round + 1 }
                let line = try #require(server.errorLog.lines(with: "held:").last)
                #expect(line.message.contains("held: CancellationError(), cancelled true"), "\(line)")
                #expect(line.message.contains("writing clientGone"), "\(line)")
                if route == "hold-midway" { #expect(line.message.contains("reading clientGone"), "\(line)") }
                // The reason is there for who asks for it, with the request's id.
                let reason = try server.errorLog.wait(for: "SGI0202")
                #expect(reason.level == "debug")
                #expect(!reason.requestID.isEmpty)
                try wait("the access log") { server.accessLog.contains { $0.hasPrefix("GET /wait/\(route)") } }
                let access = try #require(server.accessLog.last { $0.hasPrefix("GET /wait/\(route)") })
                #expect(access.split(separator: "|")[3] == "X", "\(access)")
                if route == "hold-midway" { #expect(access.split(separator: "|")[1] == "200", "\(access)") }
            }
            #expect(try server.get("/wait/sleep").text == "slept\n")
        }
    }

    /// While it waits for the body that does not come.
    @Test(arguments: Configuration.MPM.allCases)
    func clientGoesInItsBody(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm)) { server in
            for (round, resets) in [false, true].enumerated() {
                let client = try server.connect()
                try client.request("POST /wait/await-body HTTP/1.1", ["Host: localhost", "Content-Length: 10"])
                try client.send("half")
                try server.waitForJournal("waiting", times: round + 1)
                if resets { client.reset() } else { client.close() }
                try wait("the handler to end") {
                    server.errorLog.lines(with: "reading failed: clientGone").count == round + 1
                }
            }
            #expect(try server.get("/wait/sleep").text == "slept\n")
        }
    }

    /// While the handler waits until the client takes something.
    @Test(arguments: Configuration.MPM.allCases)
    func clientGoesWithoutReading(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm)) { server in
            for (round, resets) in [false, true].enumerated() {
                let client = try server.connect()
                try client.request("GET /wait/endless HTTP/1.1")
                _ = try client.head()
                if resets { client.reset() } else { client.close() }
                try wait("the handler to end") { server.errorLog.lines(with: "endless ended").count == round + 1 }
            }
            #expect(server.errorLog.lines(with: "endless ended").allSatisfy { $0.message.contains("clientGone") })
        }
    }

    /// Many at a time: nothing of them is left.
    @Test func manyClientsGo() async throws {
        try await withServer(.waiting(threads: 3), expecting: ["SGI0215"]) { server in
            let clients = try (0..<90).map { number in
                let client = try server.connect()
                try client.request("GET /wait/\(["hold", "hold-midway", "forgotten"][number % 3]) HTTP/1.1")
                return client
            }
            try server.waitForJournal("waiting", times: 90)
            for (number, client) in clients.enumerated() {
                if number % 2 == 0 { client.reset() } else { client.close() }
            }
            try wait("the handlers to end") { server.errorLog.lines(with: "held:").count == 60 }
            try wait("the access log") { server.accessLog.count { $0.hasPrefix("GET /wait/") } == 90 }
            #expect(try server.get("/wait/sleep").text == "slept\n")
        }
    }

    /// A client may leave in any phase: while its request is read, suspended, or answered.
    @Test(arguments: Configuration.MPM.allCases)
    func clientGoesInEveryPhase(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm, threads: 4)) { server in
            let beginnings = [
                "", "GET /wait/sle", "GET /wait/sleep?ms=20 HTTP/1.1\r\nHost: x\r\n",
                "GET /wait/sleep?ms=20 HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET /wait/events?count=20 HTTP/1.1\r\nHost: x\r\n\r\n",
                "POST /wait/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nha",
                "POST /wait/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
                "GET /wait/sleep HTTP/1.1\r\nHost: x\r\n\r\nGET /wait/hold HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET /wait/task-group?count=50 HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET /wait/endless HTTP/1.1\r\nHost: x\r\n\r\n",
            ]
            for _ in 0..<10 {
                for beginning in beginnings {
                    for resets in [false, true] {
                        let client = try server.connect()
                        try client.send(beginning)
                        if resets { client.reset() } else { client.close() }
                    }
                }
                #expect(try server.get("/wait/sleep").text == "slept\n")
            }
        }
    }

    // MARK: Deadlines

    @Test(arguments: Configuration.MPM.allCases)
    func deadline(_ mpm: Configuration.MPM) async throws {
        let lines = """
            SwiftGIRequestTimeout 300ms
            ErrorDocument 504 "too late"
            """
        try await withServer(.waiting(lines, mpm: mpm), expecting: ["SGI0216"]) { server in
            // Before the head: 504.
            let client = try server.connect()
            try client.request("GET /wait/hold HTTP/1.1")
            let response = try client.response()
            #expect(response.status == 504)
            #expect(response.text == "too late")
            let first = try server.errorLog.wait(for: "held:")
            #expect(first.message.contains("CancellationError(), cancelled true, writing deadlineExceeded"), "\(first)")
            // The connection is none the worse for it.
            try client.request("GET /wait/hello HTTP/1.1")
            #expect(try client.response().text == "Hello, world!\n")
            // Behind the head: the response is aborted.
            try client.request("GET /wait/hold-midway HTTP/1.1")
            #expect(try client.head().status == 200)
            #expect(try client.chunk() == Array("begin\n".utf8))
            #expect(throws: WireError.self) { _ = try client.chunk() }
            // While it reads.
            let slow = try server.connect()
            try slow.request("POST /wait/await-body HTTP/1.1", ["Host: localhost", "Content-Length: 10"])
            #expect(try slow.response().status == 504)
            try server.errorLog.wait(for: "reading failed: deadlineExceeded")
            // While it writes.
            let stopped = try server.connect()
            try stopped.request("GET /wait/endless HTTP/1.1")
            let end = try server.errorLog.wait(for: "endless ended")
            #expect(end.message.contains("deadlineExceeded"))
            #expect(throws: WireError.self) { _ = try stopped.response() }
            // In time.
            #expect(try server.get("/wait/sleep").text == "slept\n")
            #expect(server.errorLog.lines(with: "SGI0216").allSatisfy { $0.level == "error" && !$0.requestID.isEmpty })
        }
    }

    /// Many deadlines of one process, most of them far away.
    @Test func deadlinesOfManyRequests() async throws {
        let lines = """
            SwiftGIRequestTimeout 1h
            <Location /wait/hold>
            SwiftGIRequestTimeout 200ms
            </Location>
            """
        try await withServer(.waiting(lines, threads: 3), expecting: ["SGI0216"]) { server in
            let waiting = try (0..<20).map { _ in
                let client = try server.connect()
                try client.request("GET /wait/gate?gate=\(server.gate()) HTTP/1.1")
                return client
            }
            try server.waitForJournal("waiting", times: 20)
            let held = try (0..<20).map { _ in
                let client = try server.connect()
                try client.request("GET /wait/hold HTTP/1.1")
                return client
            }
            for client in held { #expect(try client.response().status == 504) }
            #expect(waiting.allSatisfy { $0.isSilent })
            try server.open(gate: server.gate())
            for client in waiting { #expect(try client.response().text == "passed\n") }
        }
    }

    @Test func inheritance() async throws {
        let lines = """
            SwiftGIRequestTimeout 200ms
            <Location /wait/hold-midway>
            SwiftGIRequestTimeout Off
            </Location>
            <Location /other>
            SwiftGIRequestTimeout 1h
            </Location>
            SwiftGIScriptAlias /other ${apps}/libWaiting.so
            SwiftGIScriptAlias /htaccess ${root}/apps/libWaiting.so
            <Directory ${root}/apps>
            AllowOverride FileInfo
            Require all granted
            </Directory>
            <VirtualHost *:${port2}>
            ServerName localhost
            ErrorLog ${root}/logs/host-error.log
            SwiftGIScriptAlias /own ${apps}/libWaiting.so
            </VirtualHost>
            """
        let configuration = Configuration.waiting(lines, ports: 2).preparing { root in
            try makeDirectory("\(root)/apps")
            try Applications.copy("Waiting", to: "\(root)/apps/libWaiting.so")
            try writeFile("\(root)/apps/.htaccess", "SwiftGIRequestTimeout 1h\n")
        }
        try await withServer(configuration, expecting: ["SGI0216"]) { server in
            let off = try server.connect()
            try off.request("GET /wait/hold-midway HTTP/1.1")
            let section = try server.connect()
            try section.request("GET /other/hold HTTP/1.1")
            let file = try server.connect()
            try file.request("GET /htaccess/hold HTTP/1.1")
            // The main server's applies to its virtual hosts.
            #expect(try server.get("/own/hold", on: 1).status == 504)
            #expect(try server.get("/wait/hold").status == 504)
            #expect(try off.head().status == 200)
            #expect(try off.chunk() == Array("begin\n".utf8))
            for client in [off, section, file] { #expect(client.isSilent) }
        }
    }

    @Test(arguments: [
        "", "soon", "-1", "10 20", "5parsecs", "0", "1e3", "99999999999999999999", "9223372036854775807h",
        "10675199116730", "8785h",
    ])
    func malformedTimes(_ value: String) async throws {
        try await withStoppedServer(.waiting("SwiftGIRequestTimeout \(value)")) { server in
            let result = try server.configtest()
            #expect(result.status != 0)
            #expect(result.errors.contains("SwiftGIRequestTimeout"), "\(result)")
        }
    }

    @Test(arguments: ["1", "30s", "500ms", "2mi", "1h", "Off", "off"])
    func wellFormedTimes(_ value: String) async throws {
        try await withStoppedServer(.waiting("SwiftGIRequestTimeout \(value)")) { server in
            let result = try server.configtest()
            #expect(result.status == 0, "\(result)")
        }
    }

    /// Whoever ignores its cancellation is reported, keeps nobody, and writes nothing any more.
    @Test(arguments: Configuration.MPM.allCases)
    func stubbornHandler(_ mpm: Configuration.MPM) async throws {
        let lines = """
            <Location /wait/stubborn>
            SwiftGIRequestTimeout 200ms
            </Location>
            """
        try await withServer(.waiting(lines, mpm: mpm), expecting: ["SGI0215", "SGI0216"]) { server in
            let client = try server.connect()
            try client.request("GET /wait/stubborn?gate=\(server.gate()) HTTP/1.1")
            #expect(try client.response().status == 504)
            #expect(try server.errorLog.wait(for: "SGI0215").level == "warn")
            for _ in 0..<10 {
                try client.request("GET /wait/sleep HTTP/1.1")
                #expect(try client.response().text == "slept\n")
            }
            try server.open(gate: server.gate())
            let line = try server.errorLog.wait(for: "stubborn:")
            #expect(line.message.contains("cancelled true, writing"), "\(line)")
            #expect(line.message.contains("finished") || line.message.contains("deadlineExceeded"), "\(line)")
            #expect(try server.get("/wait/sleep").text == "slept\n")
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func stubbornHandlerOfAGoneClient(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm), expecting: ["SGI0215"]) { server in
            let client = try server.connect()
            try client.request("GET /wait/stubborn?gate=\(server.gate()) HTTP/1.1")
            try server.errorLog.wait(for: "waiting")
            client.close()
            try server.errorLog.wait(for: "SGI0215")
            try server.open(gate: server.gate())
            try server.errorLog.wait(for: "stubborn: cancelled true")
        }
    }

    /// Whoever always has something to do is cancelled, too.
    @Test(arguments: Configuration.MPM.allCases)
    func spinningHandler(_ mpm: Configuration.MPM) async throws {
        let lines = """
            <Location /wait/spin>
            SwiftGIRequestTimeout 200ms
            </Location>
            """
        try await withServer(.waiting(lines, mpm: mpm), expecting: ["SGI0215", "SGI0216"]) { server in
            defer { try? server.open(gate: server.gate()) }
            let client = try server.connect()
            try client.request("GET /wait/spin?gate=\(server.gate()) HTTP/1.1")
            #expect(try client.response().status == 504)
            #expect(try server.get("/wait/sleep").text == "slept\n")
            try server.open(gate: server.gate())
            try server.errorLog.wait(for: "spun: cancelled true")
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func spinningHandlerOfAGoneClient(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm), expecting: ["SGI0215"]) { server in
            defer { try? server.open(gate: server.gate()) }
            let client = try server.connect()
            try client.request("GET /wait/spin?gate=\(server.gate()) HTTP/1.1")
            try server.errorLog.wait(for: "spinning")
            client.close()
            try server.errorLog.wait(for: "SGI0202")
            #expect(try server.get("/wait/sleep").text == "slept\n")
            try server.open(gate: server.gate())
            try server.errorLog.wait(for: "spun: cancelled true")
        }
    }
}
