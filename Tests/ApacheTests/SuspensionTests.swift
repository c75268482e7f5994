import Foundation
import Glibc
import Testing

/// Requests that wait without a thread, and what httpd makes of their connections.
@Suite struct SuspensionTests {
    /// Many more wait than there are threads, before their head and in the middle of their response;
    /// others are served meanwhile.
    @Test(arguments: [2, 3])
    func waitingRequestsHoldNoThread(_ threads: Int) async throws {
        try await withServer(.waiting(threads: threads)) { server in
            let clients = try (0..<60).map { number in
                let client = try server.connect()
                let route = number % 2 == 0 ? "gate" : "gate-midway"
                try client.request("GET /wait/\(route)?gate=\(server.gate()) HTTP/1.1")
                return client
            }
            try server.waitForJournal("waiting", times: 60)
            for _ in 0..<10 {
                #expect(try server.get("/app/hello").text == "Hello, world!\n")
                #expect(try server.get("/wait/hello").text == "Hello, world!\n")
                #expect(try server.get("/wait/sleep?ms=2").text == "slept\n")
            }
            try server.open(gate: server.gate())
            for (number, client) in clients.enumerated() {
                #expect(try client.response().text == (number % 2 == 0 ? "passed\n" : "before\nafter\n"))
            }
        }
    }

    /// Elsewhere each holds its thread, and httpd's limit is the limit.
    @Test(arguments: [Configuration.MPM.worker, .prefork])
    func waitingRequestsAreServedAttached(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm, threads: 6)) { server in
            let clients = try (0..<5).map { _ in
                let client = try server.connect()
                try client.request("GET /wait/gate?gate=\(server.gate()) HTTP/1.1")
                return client
            }
            try server.waitForJournal("waiting", times: 5)
            #expect(try server.get("/app/hello").text == "Hello, world!\n")
            try server.open(gate: server.gate())
            for client in clients { #expect(try client.response().text == "passed\n") }
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func keepAlive(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm)) { server in
            let client = try server.connect()
            for _ in 0..<5 {
                for (target, text) in mixture {
                    try client.request("GET \(target) HTTP/1.1")
                    #expect(try client.response().text == text)
                }
                try client.request("POST /wait/echo HTTP/1.1", ["Host: localhost", "Content-Length: 4"])
                try client.send("echo")
                #expect(try client.response().text == "echo")
            }
            #expect(server.accessLog.filter { $0.contains("|200|") && $0.contains("|+|") }.count >= 25)
        }
    }

    /// All in one packet, suspended and plain ones mixed, and the answers in their order.
    @Test(arguments: Configuration.MPM.allCases)
    func pipelining(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm, threads: 3)) { server in
            let client = try server.connect()
            let requests = (0..<6).flatMap { _ in mixture }
            let body = "POST /wait/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\necho"
            try client.send(
                requests.map { "GET \($0.target) HTTP/1.1\r\nHost: localhost\r\n\r\n" }.joined() + body
                    + "GET /wait/sleep HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            for request in requests { #expect(try client.response().text == request.text) }
            #expect(try client.response().text == "echo")
            let last = try client.response()
            #expect(last.text == "slept\n")
            #expect(last["Connection"] == "close")
            #expect(try client.endsProperly())
        }
    }

    /// The second request comes while the first one is suspended.
    @Test func pipelinedBehindASuspendedRequest() async throws {
        try await withServer(.waiting()) { server in
            let client = try server.connect()
            try client.request("GET /wait/gate?gate=\(server.gate()) HTTP/1.1")
            try server.errorLog.wait(for: "waiting")
            try client.request("GET /app/hello HTTP/1.1")
            try client.request("GET /wait/sleep HTTP/1.1")
            #expect(try server.get("/wait/sleep").text == "slept\n")
            #expect(client.isSilent)
            try server.open(gate: server.gate())
            for text in ["passed\n", "Hello, world!\n", "slept\n"] { #expect(try client.response().text == text) }
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func http10(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm)) { server in
            let plain = try server.connect()
            try plain.request("GET /wait/events HTTP/1.0", [])
            #expect(try plain.response().text == "event 0\nevent 1\nevent 2\nend\n")
            let kept = try server.connect()
            for _ in 0..<3 {
                try kept.request("GET /wait/sleep HTTP/1.0", ["Connection: keep-alive"])
                #expect(try kept.response().text == "slept\n")
            }
        }
    }

    /// A body in small pieces with pauses: the request is suspended while it reads.
    @Test(arguments: Configuration.MPM.allCases)
    func bodyInPieces(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm, threads: 3)) { server in
            let client = try server.connect()
            try client.request("POST /wait/count HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
            let bytes = (0..<60).map { UInt8($0) }
            try client.send("a\r\n")
            try client.send(Array(bytes[0..<4]))
            try server.errorLog.wait(for: "first piece")
            #expect(try server.get("/app/hello").status == 200)
            try client.send(Array(bytes[4..<10]) + Array("\r".utf8))
            #expect(try server.get("/app/hello").status == 200)
            try client.send("\n32")
            #expect(try server.get("/app/hello").status == 200)
            try client.send("\r\n")
            for byte in bytes[10...] { try client.send([byte]) }
            try client.send("\r\n0\r\n\r\n")
            #expect(try client.response().text == "60 intact\n")
            try client.request("GET /wait/hello HTTP/1.1")
            #expect(try client.response().text == "Hello, world!\n")
        }
    }

    @Test func malformedBodyWhileSuspended() async throws {
        try await withServer(.waiting(), expecting: ["SGI0206"]) { server in
            let client = try server.connect()
            try client.request("POST /wait/await-body HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
            try server.errorLog.wait(for: "waiting")
            try client.send("no size\r\n")
            #expect(try client.response().status == 400)
            #expect(try client.endsProperly())
        }
    }

    /// httpd's Timeout is shorter than the wait: the connection comes back before it, again and again.
    @Test func waitsLongerThanTimeout() async throws {
        try await withServer(.waiting("TimeOut 1", threads: 3)) { server in
            let clients = try (0..<10).map { number in
                let client = try server.connect()
                try client.request("GET /wait/\(number % 2 == 0 ? "sleep" : "events")?count=1&ms=3500 HTTP/1.1")
                return client
            }
            for (number, client) in clients.enumerated() {
                #expect(try client.response().text == (number % 2 == 0 ? "slept\n" : "event 0\nend\n"))
            }
        }
    }

    /// What was written into the log tells of the whole request.
    @Test func accessLog() async throws {
        let lines = """
            LogFormat "%U|%>s|%B|%O|%D|%X|%k" suspended
            CustomLog ${root}/logs/suspended.log suspended
            """
        try await withServer(.waiting(lines, modules: ["logio"])) { server in
            let client = try server.connect()
            try client.request("GET /wait/sleep?ms=300 HTTP/1.1")
            _ = try client.response()
            try client.request("GET /wait/events?count=2&ms=200 HTTP/1.1")
            let text = try client.response().text
            let log = {
                readText("\(server.root)/logs/suspended.log").split(separator: "\n").filter { $0.hasPrefix("/wait") }
            }
            try wait("both lines") { log().count == 2 }
            let facts = log().map { $0.split(separator: "|").map { String($0) } }
            #expect(facts[0][0...2] == ["/wait/sleep", "200", "6"])
            #expect(facts[1][0...2] == ["/wait/events", "200", "\(text.utf8.count)"])
            // With heads and chunk sizes.
            for fact in facts { #expect(try #require(Int(fact[3])) > 100) }
            // Microseconds, from the beginning to the end.
            #expect(try #require(Int(facts[0][4])) >= 300_000)
            #expect(try #require(Int(facts[1][4])) >= 400_000)
            #expect(facts.map { $0[5] } == ["+", "+"])
            #expect(facts.map { $0[6] } == ["0", "1"])
        }
    }

    /// mod_status, with suspended requests: its numbers are sane, and its page comes.
    @Test func status() async throws {
        let lines = """
            ExtendedStatus On
            <Location /server-status>
            SetHandler server-status
            </Location>
            """
        try await withServer(.waiting(lines, modules: ["status"], threads: 4)) { server in
            let clients = try (0..<20).map { _ in
                let client = try server.connect()
                try client.request("GET /wait/gate?gate=\(server.gate()) HTTP/1.1")
                return client
            }
            try server.waitForJournal("waiting", times: 20)
            let facts = { () throws -> [String: String] in
                var facts: [String: String] = [:]
                for line in try server.get("/server-status?auto").text.split(separator: "\n") {
                    let parts = line.split(separator: ":", maxSplits: 1)
                    if parts.count == 2 { facts[String(parts[0])] = parts[1].trimmingCharacters(in: .whitespaces) }
                }
                return facts
            }
            // The listener writes the numbers when it looks at its queues.
            try wait("the threads to be idle, but for the one that answers") {
                let now = try facts()
                return now["BusyWorkers"] == "1" && now["IdleWorkers"] == "3"
            }
            #expect(try server.get("/server-status").text.contains("</html>"))
            try server.open(gate: server.gate())
            for client in clients { #expect(try client.response().text == "passed\n") }
            try wait("the threads to be idle again") { try facts()["BusyWorkers"] == "1" }
        }
    }

    /// Filters that hold back, count, or say something of their own.
    @Test(arguments: Configuration.MPM.allCases)
    func filters(_ mpm: Configuration.MPM) async throws {
        let lines = """
            RequestReadTimeout header=10 body=5,MinRate=1
            <Location /wait/events>
            SetOutputFilter DEFLATE
            Header set X-Header "%D"
            </Location>
            <Location /wait/bytes>
            SetOutputFilter RATE_LIMIT
            SetEnv rate-limit 400
            </Location>
            """
        let modules = ["filter", "deflate", "headers", "reqtimeout", "ratelimit", "env"]
        try await withServer(.waiting(lines, mpm: mpm, modules: modules)) { server in
            let compressed = try Curl.run(server.url("/wait/events?count=20&ms=5"), ["--compressed", "-i"])
            #expect(compressed.body.contains("Content-Encoding: gzip"))
            #expect(compressed.body.contains("X-Header: D="))
            #expect(compressed.body.hasSuffix("event 18\nevent 19\nend\n"))
            // Each piece can be read when it is sent: compression holds nothing back.
            let client = try server.connect()
            try client.request("GET /wait/events?count=2 HTTP/1.1", ["Host: localhost", "Accept-Encoding: gzip"])
            #expect(try client.response()["Content-Encoding"] == "gzip")
            try client.request("GET /wait/bytes?count=300000 HTTP/1.1")
            #expect(try client.response().body.count == 300_000)
            try client.request("POST /wait/echo HTTP/1.1", ["Host: localhost", "Content-Length: 4"])
            try client.send("echo")
            #expect(try client.response().text == "echo")
        }
    }

    @Test func compressedPiecesAreNotHeldBack() async throws {
        let lines = "<Location /wait>\nSetOutputFilter DEFLATE\n</Location>"
        try await withServer(.waiting(lines, modules: ["filter", "deflate"])) { server in
            let client = try server.connect()
            try client.request(
                "GET /wait/gate-midway?gate=\(server.gate()) HTTP/1.1", ["Host: localhost", "Accept-Encoding: gzip"])
            #expect(try client.head()["Content-Encoding"] == "gzip")
            // The ten bytes of gzip's header, and what stands for the first piece.
            var received = 0
            while received < 18 { received += try client.chunk()?.count ?? 18 }
            try server.open(gate: server.gate())
            while try client.chunk() != nil {}
        }
    }

    @Test func maxKeepAliveRequests() async throws {
        try await withServer(.waiting("MaxKeepAliveRequests 3")) { server in
            // As many as of plain requests.
            let counts = try ["/app/hello", "/wait/sleep"].map { target in
                let client = try server.connect()
                var count = 0
                var isLast = false
                while !isLast {
                    try client.request("GET \(target) HTTP/1.1")
                    let response = try client.response()
                    #expect(response.status == 200)
                    isLast = response["Connection"] == "close"
                    count += 1
                }
                #expect(try client.endsProperly())
                return count
            }
            #expect(counts[0] == counts[1])
        }
    }

    /// The child that is to be replaced goes on with what it has.
    @Test func maxConnectionsPerChild() async throws {
        try await withServer(.waiting("MaxConnectionsPerChild 12", threads: 3)) { server in
            let first = try #require(server.children.first)
            let clients = try (0..<14).map { _ in
                let client = try server.connect()
                try client.request("GET /wait/gate?gate=\(server.gate()) HTTP/1.1")
                return client
            }
            try server.waitForJournal("waiting", times: 14)
            try wait("another child") { server.children.contains { $0 != first } }
            #expect(server.children.contains(first))
            #expect(try server.get("/wait/sleep").text == "slept\n")
            try server.open(gate: server.gate())
            for client in clients { #expect(try client.response().text == "passed\n") }
            try wait("the first child to end") { !server.children.contains(first) }
        }
    }

    /// Without descriptors for wakers: a clean error, and the server lives on.
    ///
    /// There are more threads than clients: once all are busy, httpd closes connections that are kept,
    /// and one of these has to give the descriptors back.
    @Test(.embedded("Descriptors of httpd's own process run out."))
    func outOfDescriptors() async throws {
        try await withServer(.waiting(threads: 16), expecting: ["SGI0060", "SGI0217"]) { server in
            let child = try #require(server.children.first)
            // What a first waiting request makes is there, and a waker is spare.
            #expect(try server.get("/wait/sleep").text == "slept\n")
            let clients = try (0..<5).map { _ in
                let client = try server.connect()
                try client.request("GET /app/hello HTTP/1.1")
                #expect(try client.response().status == 200)
                return client
            }
            let last = clients[4]
            try last.request("GET /wait/take-descriptors HTTP/1.1")
            #expect(try last.response().text == "taken\n")
            for client in clients.prefix(4) {
                try client.request("GET /wait/gate?gate=\(server.gate()) HTTP/1.1")
            }
            try server.errorLog.wait(for: "SGI0060")
            try last.request("GET /app/hello HTTP/1.1")
            #expect(try last.response().status == 200)
            try server.open(gate: server.gate())
            let statuses = try clients.prefix(4).map { try $0.response().status }
            #expect(statuses.contains(503), "\(statuses)")
            #expect(statuses.allSatisfy { $0 == 200 || $0 == 503 }, "\(statuses)")
            try last.request("GET /wait/give-descriptors HTTP/1.1")
            #expect(try last.response().text == "given\n")
            #expect(try server.get("/wait/sleep").text == "slept\n")
            #expect(server.children == [child])
        }
    }
}

/// Targets that are suspended or not, and what they answer.
private let mixture: [(target: String, text: String)] = [
    ("/wait/sleep", "slept\n"), ("/app/hello", "Hello, world!\n"), ("/wait/hello", "Hello, world!\n"),
    ("/wait/events?count=2", "event 0\nevent 1\nend\n"), ("/app/push", "piece 0\npiece 1\npiece 2\n"),
    ("/wait/hops?count=3", "3\n"), ("/index.html", "static\n"),
]
