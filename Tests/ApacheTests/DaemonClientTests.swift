import Foundation
import Glibc
import Synchronization
import Testing

/// What connections have seen, for a test to look at.
private final class Journal<Entry: Sendable>: Sendable {
    private let entries = Mutex<[Entry]>([])

    func note(_ entry: Entry) { entries.withLock { $0.append(entry) } }
    var all: [Entry] { entries.withLock { $0 } }
}

/// More of them than httpd accepts for so few threads.
private let manyConnections = "AsyncRequestWorkerFactor 100"

private typealias Record = FakeConnection.RecordType

/// The module's side of daemon mode, against servers right and wrong.
@Suite(.embedded("They have groups of their own."))
struct DaemonClientTests {
    // MARK: Requests

    @Test(arguments: Configuration.MPM.allCases)
    func variablesAndReuse(_ mpm: Configuration.MPM) async throws {
        let requests = Journal<FakeRequest>()
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                requests.note(request)
                try connection.body()
                try connection.answer(
                    request, "\(connection.number)\n", "Content-Type: text/plain\r\nX-Field: a\r\nX-Field: b\r\n")
            }
        }
        try await withFakeDaemon(mpm: mpm, serve: serve) { server, daemon async throws in
            let long = String(repeating: "v", count: 300)
            let client = try server.connect()
            for _ in 0..<3 {
                try client.request("GET /c/path?query HTTP/1.1", ["Host: localhost", "X-Long: \(long)", "X_Odd: odd"])
                let response = try client.response()
                #expect(response.status == 200)
                #expect(response.text == "1\n")
                #expect(response.all("X-Field") == ["a", "b"])
                #expect(response["Content-Type"] == "text/plain")
            }
            #expect(daemon.connectionCount == 1)
            let all = requests.all
            #expect(Set(all.map(\.id)).count == 3)
            let request = try #require(all.first)
            #expect(request.role == 1)
            #expect(request.flags == 1)
            let variables = request.variables
            #expect(variables["REQUEST_METHOD"] == "GET")
            #expect(variables["SCRIPT_NAME"] == "/c")
            #expect(variables["PATH_INFO"] == "/path")
            #expect(variables["QUERY_STRING"] == "query")
            #expect(variables["HTTP_X_LONG"] == long)
            #expect(variables["SWIFTGI_EXTENSIONS"] == "1")
            #expect(variables["SWIFTGI_FIELDS"] == "X_Odd: odd\r\n")
            #expect(variables["swiftgi.request_id"] == nil)
            let logged = server.accessLog.first { $0.contains("/c/path") }
            #expect(logged?.hasSuffix("|\(variables["SWIFTGI_REQUEST_ID"] ?? "none")") == true, "\(logged ?? "")")
        }
    }

    /// More than one record holds, and more than is taken.
    @Test func manyVariables() async throws {
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                try connection.body()
                let isWhole = (0..<3).allSatisfy {
                    request.variables["HTTP_X_\($0)"] == String(repeating: "\($0)", count: 300_000)
                }
                try connection.answer(request, isWhole ? "whole" : "torn")
            }
        }
        let lines = "LimitRequestFieldSize 2000000\n"
        try await withFakeDaemon("", lines, expecting: ["SGI0474"], serve: serve) { server, _ async throws in
            let fields = (0..<3).map { "X-\($0): " + String(repeating: "\($0)", count: 300_000) }
            #expect(try server.get("/c/", fields).text == "whole")
            #expect(try server.get("/c/", ["X-Large: " + String(repeating: "l", count: 1_100_000)]).status == 431)
            #expect(try server.get("/c/", fields).text == "whole")
        }
    }

    /// Both directions at once, much more than any buffer has, on every MPM.
    @Test(arguments: Configuration.MPM.allCases)
    func echo(_ mpm: Configuration.MPM) async throws {
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                try connection.send(FakeConnection.out(request.id, "Status: 200 OK\r\n\r\n"))
                while true {
                    let part = try connection.record(.stdin)
                    if part.content.isEmpty { break }
                    try connection.send(FakeConnection.record(Record.stdout.rawValue, request.id, part.content))
                }
                try connection.send(FakeConnection.end(request.id))
            }
        }
        try await withFakeDaemon(mpm: mpm, serve: serve) { server, daemon async throws in
            let pattern = (0..<251).map { UInt8($0) }
            let size = 251 * 20000
            for _ in 0..<2 {
                let client = try server.connect()
                // The client sends all before it reads anything, as far as it can.
                try client.request("POST /c/ HTTP/1.0", ["Content-Length: \(size)"])
                // Only this thread sends, and only the test receives.
                nonisolated(unsafe) let writing = client
                let sender = Thread {
                    for _ in 0..<200 { try? writing.send((0..<100).flatMap { _ in pattern }) }
                }
                sender.start()
                let head = try client.head()
                #expect(head.status == 200)
                #expect(try client.drain(size, matching: pattern))
            }
            // Sizes around the first message's.
            for size in [0, 1, 100, 14000, 15400, 15500, 16000, 16384, 17000, 32768, 65535, 65536, 100_000] {
                let body = (0..<size).map { UInt8($0 % 251) }
                let response = try server.request("POST", "/c/", body: body)
                #expect(response.body == body, "\(size) bytes")
            }
            let chunked = try server.connect()
            try chunked.request("POST /c/ HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
            try chunked.send("3\r\nabc\r\n")
            try chunked.send("4\r\ndefg\r\n0\r\n\r\n")
            #expect(try chunked.response().text == "abcdefg")
            #expect(daemon.failures == [])
        }
    }

    // MARK: Heads

    /// As the daemon sends them, and what the client gets.
    @Test func heads() async throws {
        let heads: [(String, Int, String)] = [
            ("Status: 201 Made\r\nX-A: 1\r\n\r\n", 201, "Made"),
            ("Status: 299 Own Words\n\n", 299, "Own Words"),
            ("Content-Type: text/plain\r\n\r\n", 200, "OK"),
            ("Location: http://elsewhere/\r\n\r\n", 302, "Found"),
            ("status: 404\r\n\r\n", 404, "Not Found"),
            ("Status: 200 OK\r\nContent-Length: 4\r\n\r\n", 200, "OK"),
        ]
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                try connection.body()
                let head = heads[Int(request.variables["QUERY_STRING"] ?? "") ?? 0].0
                // Byte by byte, with padding, and as a whole.
                if request.path == "/bytes" {
                    for byte in head.utf8 {
                        try connection.send(
                            FakeConnection.record(Record.stdout.rawValue, request.id, [byte], padding: 7))
                    }
                    try connection.send(FakeConnection.out(request.id, "body", padding: 255))
                } else {
                    try connection.send(FakeConnection.out(request.id, head + "body"))
                }
                try connection.send(FakeConnection.out(request.id, "") + FakeConnection.end(request.id, padding: 3))
            }
        }
        try await withFakeDaemon(serve: serve) { server, daemon async throws in
            for (index, (head, status, reason)) in heads.enumerated() {
                for path in ["/c/bytes", "/c/whole"] {
                    let response = try server.get("\(path)?\(index)")
                    #expect(response.status == status, "\(head)")
                    #expect(response.reason == reason, "\(head)")
                    #expect(response.text == "body", "\(head)")
                }
            }
            #expect(daemon.connectionCount == 1)
        }
    }

    @Test func badHeads() async throws {
        let large = "X-Large: " + String(repeating: "l", count: 60000) + "\r\n"
        let heads = [
            "no colon\r\n\r\n", "Status: 2000\r\n\r\n", "Status: abc\r\n\r\n", "\r\n", "\n", ": empty\r\n\r\n",
            "Status: 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length: 99999999999999999999\r\n\r\n",
            "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "X-A: 1\r\n folded\r\n\r\n", "X-A : 1\r\n\r\n",
            "Status: 200 OK\r\nStatus: 201 OK\r\n\r\n", String(repeating: large, count: 5) + "\r\n",
            String(repeating: large, count: 5),
        ]
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            let request = try connection.request()
            try connection.body()
            let head = Array(heads[Int(request.variables["QUERY_STRING"] ?? "") ?? 0].utf8)
            for start in stride(from: 0, to: head.count, by: 50000) {
                try connection.send(
                    FakeConnection.record(
                        Record.stdout.rawValue, request.id, Array(head[start..<min(start + 50000, head.count)])))
            }
            try connection.send(FakeConnection.end(request.id))
            _ = try connection.record()
        }
        try await withFakeDaemon(expecting: ["SGI0469"], serve: serve) { server, _ async throws in
            for (index, head) in heads.enumerated() {
                #expect(try server.get("/c/?\(index)").status == 502, "\(head.prefix(50))")
            }
            #expect(server.errorLog.lines(with: "SGI0469").count == heads.count)
        }
    }

    /// What an application must not say is its own fault in either mode.
    @Test func forbiddenFields() async throws {
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                try connection.body()
                let field = request.path == "/control" ? "X-A: a\u{1}b" : "Transfer-Encoding: chunked"
                try connection.answer(request, "body", field + "\r\n")
            }
        }
        try await withFakeDaemon(expecting: ["SGI0035"], serve: serve) { server, _ async throws in
            #expect(try server.get("/c/control").status == 500)
            #expect(try server.get("/c/hop").status == 500)
        }
    }

    /// The way through httpd is that of embedded mode.
    @Test func sharedWithEmbeddedMode() async throws {
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                try connection.body()
                switch request.path {
                case "/missing":
                    try connection.send(
                        FakeConnection.out(request.id, "Status: 404 Not Found\r\nRetry-After: 9\r\n\r\nown")
                            + FakeConnection.end(request.id))
                case "/early":
                    try connection.send(
                        FakeConnection.out(
                            request.id, "Status: 103 Early Hints\r\nLink: </a>\r\n\r\nStatus: 103\r\nLink: </b>\r\n\r\n"
                        ))
                    let trailers = Array("X-After: all\r\n".utf8)
                    try connection.send(
                        FakeConnection.out(request.id, "Status: 200 OK\r\nTrailer-To-Come: yes\r\n\r\nbody")
                            + FakeConnection.record(Record.trailers.rawValue, request.id, trailers)
                            + FakeConnection.out(request.id, "") + FakeConnection.end(request.id))
                default: try connection.answer(request, "body", "ETag: \"1\"\r\n")
                }
            }
        }
        let lines = """
            <Location /c/missing>
            SwiftGIErrorOverride On
            ErrorDocument 404 "replaced"
            </Location>
            """
        try await withFakeDaemon("", lines, serve: serve) { server, _ async throws in
            let overridden = try server.get("/c/missing")
            #expect(overridden.status == 404)
            #expect(overridden.text == "replaced")
            #expect(overridden["Retry-After"] == "9")
            #expect(try server.get("/c/", ["If-None-Match: \"1\""]).status == 304)
            #expect(try server.get("/c/", ["Range: bytes=1-2"]).text == "od")
            let head = try server.request("HEAD", "/c/")
            #expect(head.status == 200)
            #expect(head["ETag"] == "\"1\"")
            let early = try server.get("/c/early")
            #expect(early.interim == [103, 103])
            #expect(early.text == "body")
        }
    }

    // MARK: Broken responses

    /// What the daemon sends after the request.
    @Test func brokenProtocol() async throws {
        let head = "Status: 200 OK\r\n\r\npart"
        let broken: [(String, @Sendable (UInt16) -> [UInt8])] = [
            ("another id", { FakeConnection.out($0 &+ 1, head) }),
            ("id 0", { _ in FakeConnection.out(0, head) }),
            (
                "another version",
                {
                    var record = FakeConnection.out($0, head); record[0] = 2; return record
                }
            ),
            ("a web server's record", { FakeConnection.record(Record.params.rawValue, $0, []) }),
            ("an unknown type", { FakeConnection.record(200, $0, []) }),
            ("a short end", { FakeConnection.record(Record.end.rawValue, $0, [0, 0, 0, 0]) }),
            ("no head", { FakeConnection.end($0) }),
            ("half a head", { FakeConnection.out($0, "Status: 200 OK\r\n") + FakeConnection.end($0) }),
            ("an unknown role", { FakeConnection.end($0, protocol: 3) }),
            (
                "more behind the end of the stream",
                { FakeConnection.out($0, head) + FakeConnection.out($0, "") + FakeConnection.out($0, "x") }
            ),
            ("a refusal behind the head", { FakeConnection.out($0, head) + FakeConnection.end($0, protocol: 2) }),
            ("rubbish", { FakeConnection.out($0, head) + [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] }),
            (
                "trailers without a head",
                { FakeConnection.record(Record.trailers.rawValue, $0, Array("A: b\r\n".utf8)) }
            ),
            (
                "a file without a descriptor",
                {
                    FakeConnection.out($0, head)
                        + FakeConnection.record(Record.file.rawValue, $0, [UInt8](repeating: 0, count: 16))
                }
            ),
        ]
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            let request = try connection.request()
            try connection.body()
            try connection.send(broken[Int(request.variables["QUERY_STRING"] ?? "") ?? 0].1(request.id))
            // The connection is given up.
            while true { _ = try connection.record() }
        }
        try await withFakeDaemon(expecting: ["SGI0468"], serve: serve) { server, daemon async throws in
            // What httpd has not sent yet it replaces, though the head had come.
            for (index, (what, _)) in broken.enumerated() {
                #expect(try server.get("/c/?\(index)").status == 502, "\(what)")
            }
            #expect(server.errorLog.lines(with: "SGI0468").count == broken.count)
            #expect(daemon.connectionCount == broken.count)
        }
    }

    /// After the head nothing but the end of the connection tells the client.
    @Test(arguments: Configuration.MPM.allCases)
    func brokenAfterTheHead(_ mpm: Configuration.MPM) async throws {
        let endings: [@Sendable (FakeConnection, UInt16) throws -> Void] = [
            { connection, _ in connection.close() },
            { connection, id in
                try connection.send(FakeConnection.out(id, "")); connection.close()
            },
            { connection, id in
                try connection.send(Array(FakeConnection.out(id, "cut").prefix(9))); connection.close()
            },
            { connection, id in
                try connection.send(Array(FakeConnection.end(id).prefix(15))); connection.close()
            },
            { connection, id in try connection.send(FakeConnection.end(id, status: 2)) },
            { connection, id in try connection.send([9, 9, 9, 9, 9, 9, 9, 9]) },
        ]
        let gates = Journal<String>()
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                try connection.body()
                try connection.send(FakeConnection.out(request.id, "Status: 200 OK\r\n\r\npart"))
                let gate = request.variables["QUERY_STRING"] ?? ""
                try wait("the client to have the head") { gates.all.contains(gate) }
                try endings[Int(gate) ?? 0](connection, request.id)
                // A failed application leaves its process, and the connection, as they are.
                if gate == "4" { continue }
                while connection.isOpen, try connection.record().type != nil {}
            }
        }
        try await withFakeDaemon(mpm: mpm, expecting: ["SGI0467", "SGI0468"], serve: serve) { server, _ async throws in
            for index in endings.indices {
                let client = try server.connect()
                try client.request("GET /c/?\(index) HTTP/1.1")
                #expect(try client.head().status == 200)
                #expect(try client.chunk() == Array("part".utf8))
                gates.note("\(index)")
                #expect(throws: WireError.self) { while try client.chunk() != nil {} }
            }
            #expect(server.errorLog.lines(with: "SGI0467").count == 4)
        }
    }

    /// An end that says what the application came to is answered as embedded mode would.
    @Test func outcomes() async throws {
        let statuses: [UInt32: Int] = [2: 500, 3: 500, 4: 413, 5: 400, 6: 408, 7: 500, 10: 504, 11: 503, 99: 500]
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                try connection.body()
                let status = UInt32(request.variables["QUERY_STRING"] ?? "") ?? 0
                try connection.send(FakeConnection.end(request.id, status: status))
            }
        }
        try await withFakeDaemon(serve: serve) { server, daemon async throws in
            for (status, answer) in statuses.sorted(by: { $0.key < $1.key }) {
                #expect(try server.get("/c/?\(status)").status == answer, "status \(status)")
            }
            #expect(daemon.connectionCount == 1)
        }
    }

    // MARK: Connections

    /// A daemon may close a connection that it has kept at any time; nobody sees that.
    @Test func closedWhileIdle() async throws {
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            let request = try connection.request()
            let body = try connection.body()
            try connection.answer(request, "\(connection.number) \(body.count)")
        }
        try await withFakeDaemon(serve: serve) { server, daemon async throws in
            for number in 1...5 {
                let body = [UInt8](repeating: 0x62, count: number * 9000)
                #expect(try server.request("POST", "/c/", body: body).text == "\(number) \(body.count)")
            }
            try wait("the connection's end") { !daemon.hasOpenConnections }
            #expect(try server.get("/c/").text == "6 0")
        }
    }

    /// A request that was not read is sent again; one that was read never is.
    @Test func sentAgainOnlyIfUnread() async throws {
        let requests = Journal<String>()
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            let first = try connection.request()
            try connection.body()
            requests.note(first.path)
            try connection.answer(first, "\(connection.number)")
            connection.waitUntilReadable()
            if connection.number == 1 { return }
            let second = try connection.request()
            try connection.body()
            requests.note(second.path)
        }
        try await withFakeDaemon(expecting: ["SGI0467"], serve: serve) { server, _ async throws in
            #expect(try server.get("/c/1").text == "1")
            // The first connection ends with the request unread.
            #expect(try server.get("/c/2").text == "2")
            #expect(server.errorLog.lines(with: "SGI0472").count == 1)
            // The second one with the request read.
            #expect(try server.get("/c/3").status == 502)
            #expect(requests.all == ["/1", "/2", "/3"])
        }
    }

    @Test func refusedByOneProcess() async throws {
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                let body = try connection.body()
                if connection.number == 1 || request.path == "/never" {
                    try connection.send(FakeConnection.end(request.id, protocol: connection.number % 2 == 0 ? 1 : 2))
                } else {
                    try connection.answer(request, String(decoding: body, as: UTF8.self))
                }
            }
        }
        try await withFakeDaemon(expecting: ["SGI0470"], serve: serve) { server, daemon async throws in
            #expect(try server.request("POST", "/c/", body: Array("body".utf8)).text == "body")
            #expect(daemon.connectionCount == 2)
            let refused = try server.get("/c/never")
            #expect(refused.status == 503)
            #expect(refused["Retry-After"] != nil)
        }
    }

    @Test func nobodyListens() async throws {
        try await withFakeDaemon(expecting: ["SGI0460"], serve: { _ in }) { server, _ async throws in
            let socket = try #require(server.sockets().first)
            try #require(unlink(socket) == 0)
            let refused = try server.get("/c/")
            #expect(refused.status == 503)
            #expect(refused["Retry-After"] != nil)
        }
    }

    /// Whoever puts a socket of his own into the directory gets nothing.
    @Test(.enabled(if: ServedAs.isRoot)) func socketOfAnotherUser() async throws {
        try await withFakeDaemon(expecting: ["SGI0462"], serve: { _ in }) { server, _ async throws in
            let socket = try #require(server.sockets().first)
            try #require(unlink(socket) == 0)
            let script = """
                use Socket; socket(my $s, PF_UNIX, SOCK_STREAM, 0); chdir "/"; $) = "65534 65534"; $< = $> = 65534;
                bind($s, sockaddr_un("$ARGV[0]")) or die $!; listen($s, 5); chmod(0777, $ARGV[0]);
                accept(my $c, $s); sysread($c, my $x, 1) and die "a byte came";
                """
            chmod(server.socketDirectory, 0o777)
            let intruder = try Command("perl", ["-e", script, socket])
            try wait("the intruder's socket") { access(socket, F_OK) == 0 }
            #expect(try server.get("/c/").status == 503)
            let left = try intruder.finish()
            #expect(left.status == 0, "\(left)")
        }
    }

    // MARK: Limits

    /// A connection that is accepted is not a request that is taken up.
    @Test func queue() async throws {
        let isOpen = Journal<Bool>()
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            try wait("the gate") { !isOpen.all.isEmpty }
            while true {
                let request = try connection.request()
                try connection.body()
                try connection.answer(request, "answer")
            }
        }
        try await withFakeDaemon("queue-limit=3", manyConnections, threads: 4, expecting: ["SGI0463"], serve: serve) {
            server, daemon async throws in
            let waiting = try (0..<3).map { _ in
                let client = try server.connect()
                try client.request("GET /c/ HTTP/1.1")
                return client
            }
            try wait("three connections") { daemon.connectionCount == 3 }
            for _ in 0..<2 {
                let refused = try server.get("/c/")
                #expect(refused.status == 503)
                #expect(refused["Retry-After"] != nil)
            }
            isOpen.note(true)
            for client in waiting { #expect(try client.response().text == "answer") }
            #expect(try server.get("/c/").text == "answer")
        }
    }

    /// What a daemon works at does not wait, however much it is.
    @Test func takenUpIsNotQueued() async throws {
        let requests = Journal<String>()
        let isOpen = Journal<Bool>()
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            let request = try connection.request()
            try connection.body()
            requests.note(request.path)
            try wait("the gate") { !isOpen.all.isEmpty }
            try connection.answer(request, "answer")
        }
        try await withFakeDaemon("queue-limit=2", manyConnections, threads: 4, serve: serve) { server, _ async throws in
            // One after the other, since each waits for the moment until it is read.
            let clients = try (1...12).map { number in
                let client = try server.connect()
                try client.request("GET /c/\(number) HTTP/1.1")
                try wait("the request") { requests.all.count == number }
                return client
            }
            isOpen.note(true)
            for client in clients { #expect(try client.response().text == "answer") }
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func queueTimeout(_ mpm: Configuration.MPM) async throws {
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            // Never reads it.
            while !connection.isAtEnd { usleep(5000) }
        }
        try await withFakeDaemon("queue-timeout=100ms", mpm: mpm, expecting: ["SGI0464"], serve: serve) {
            server, _ async throws in
            #expect(try server.get("/c/").status == 504)
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func requestTimeout(_ mpm: Configuration.MPM) async throws {
        let ends = Journal<FakeConnection.RecordType?>()
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            _ = try connection.request()
            try connection.body()
            // The head does not come; the request is cancelled, and aborted if it does not end.
            ends.note(try connection.record().type)
        }
        let lines = "<Location /c/own>\nSwiftGIRequestTimeout 100ms\n</Location>"
        try await withFakeDaemon(
            "request-timeout=200ms", lines, mpm: mpm, expecting: ["SGI0465", "SGI0475"], serve: serve
        ) { server, daemon async throws in
            #expect(try server.get("/c/").status == 504)
            #expect(try server.get("/c/own").status == 504)
            try wait("the daemon to hear of it") { ends.all.count == 2 }
            #expect(ends.all == [.cancelled, .cancelled])
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func ioTimeout(_ mpm: Configuration.MPM) async throws {
        let ends = Journal<FakeConnection.RecordType?>()
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            let request = try connection.request()
            try connection.body()
            try connection.send(FakeConnection.out(request.id, "Status: 200 OK\r\n\r\npart"))
            ends.note(try connection.record().type)
        }
        try await withFakeDaemon("io-timeout=100ms", mpm: mpm, expecting: ["SGI0466"], serve: serve) {
            server, _ async throws in
            let client = try server.connect()
            try client.request("GET /c/ HTTP/1.1")
            #expect(try client.chunk(after: client.head().body.count) == Array("part".utf8))
            #expect(throws: WireError.self) { while try client.chunk() != nil {} }
            try wait("the daemon to hear of it") { ends.all == [.cancelled] }
        }
    }

    /// A client that leaves is noticed while its request waits, on every MPM.
    @Test(arguments: Configuration.MPM.allCases)
    func clientLeaves(_ mpm: Configuration.MPM) async throws {
        let seen = Journal<FakeConnection.RecordType?>()
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            let request = try connection.request()
            try connection.body()
            if request.path == "/streaming" {
                try connection.send(FakeConnection.out(request.id, "Status: 200 OK\r\n\r\npart"))
            }
            seen.note(.begin)
            seen.note(try connection.record().type)
        }
        try await withFakeDaemon(mpm: mpm, serve: serve) { server, _ async throws in
            for (index, path) in ["/c/", "/c/streaming"].enumerated() {
                let client = try server.connect()
                try client.request("GET \(path) HTTP/1.1")
                try wait("the request") { seen.all.count == 2 * index + 1 }
                client.close()
                try wait("the daemon to hear of it") { seen.all.count == 2 * index + 2 }
            }
            #expect(seen.all == [.begin, .abort, .begin, .abort])
        }
    }

    // MARK: Waiting

    /// Many more requests wait than there are threads, and another is served meanwhile.
    @Test func waitingHoldsNoThread() async throws {
        let opened = Journal<Int>()
        let waiting = Journal<Int>()
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                let body = try connection.body()
                if request.path == "/wait" {
                    waiting.note(body.count)
                    try wait("the gate") { opened.all.contains(body.count) }
                }
                try connection.answer(request, "\(body.count)")
            }
        }
        try await withFakeDaemon("queue-limit=1000", manyConnections, threads: 4, serve: serve) {
            server, _ async throws in
            func clients(_ numbers: Range<Int>) throws -> [(Int, RawClient)] {
                try numbers.map { number in
                    let client = try server.connect()
                    try client.request("POST /c/wait HTTP/1.1", ["Host: localhost", "Content-Length: \(number)"])
                    try client.send([UInt8](repeating: 0x62, count: number))
                    return (number, client)
                }
            }
            let waiters = try clients(0..<60)
            try wait("all requests") { waiting.all.count == 60 }
            #expect(try server.get("/c/").text == "0")
            #expect(try server.get("/index.html").text == "static\n")
            // Each goes on as any other connection. One at a time: when so many come at once that all
            // threads are busy, httpd closes those that are kept.
            for (number, client) in waiters {
                opened.note(number)
                #expect(try client.response().text == "\(number)")
                try client.request("GET /c/ HTTP/1.1")
                #expect(try client.response().text == "0")
            }
            // All that wait come back at once.
            let others = try clients(60..<120)
            try wait("all requests") { waiting.all.count == 120 }
            for (number, _) in others { opened.note(number) }
            for (number, client) in others { #expect(try client.response().text == "\(number)") }
        }
    }

    /// Clients that don't read and clients that send slowly hold no thread either.
    @Test func slowClients() async throws {
        let size = 8 << 20
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                if request.path == "/down" {
                    try connection.body()
                    try connection.send(
                        FakeConnection.out(request.id, "Status: 200 OK\r\nContent-Length: \(size)\r\n\r\n"))
                    let piece = FakeConnection.record(
                        Record.stdout.rawValue, request.id, [UInt8](repeating: 0x64, count: 65536 / 2))
                    for _ in 0..<(size / 32768) { try connection.send(piece) }
                    try connection.send(FakeConnection.end(request.id))
                } else {
                    try connection.answer(request, "\(try connection.body().count)")
                }
            }
        }
        try await withFakeDaemon("queue-limit=1000", manyConnections, threads: 4, serve: serve) {
            server, _ async throws in
            let readers = try (0..<12).map { _ in
                let client = try server.connect()
                try client.request("GET /c/down HTTP/1.1")
                return client
            }
            let writers = try (0..<12).map { _ in
                let client = try server.connect()
                try client.request("POST /c/up HTTP/1.1", ["Host: localhost", "Content-Length: 5"])
                try client.send("12")
                return client
            }
            #expect(try server.request("POST", "/c/", body: [1, 2, 3]).text == "3")
            for client in writers { try client.send("345") }
            for client in writers { #expect(try client.response().text == "5") }
            for client in readers {
                #expect(try client.head().status == 200)
                #expect(try client.drain(size, matching: [0x64]))
            }
        }
    }

    /// A stream that says nothing for longer than httpd lets a connection wait.
    @Test func silentStream() async throws {
        let isOpen = Journal<Bool>()
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            let request = try connection.request()
            try connection.body()
            try connection.send(FakeConnection.out(request.id, "Status: 200 OK\r\n\r\nfirst"))
            try wait("the gate") { !isOpen.all.isEmpty }
            try connection.send(FakeConnection.out(request.id, "last") + FakeConnection.end(request.id))
        }
        try await withFakeDaemon("io-timeout=1h", "TimeOut 1", serve: serve) { server, _ async throws in
            let client = try server.connect()
            try client.request("GET /c/ HTTP/1.1")
            _ = try client.head()
            #expect(try client.chunk() == Array("first".utf8))
            let start = Date.now
            try wait("httpd's limit to be over") { Date.now.timeIntervalSince(start) > 2.5 }
            isOpen.note(true)
            #expect(try client.chunk() == Array("last".utf8))
            #expect(try client.chunk() == nil)
        }
    }

    /// A child that is to end tells the daemon, and waits for the request.
    @Test func gracefulRestart() async throws {
        let seen = Journal<FakeConnection.RecordType?>()
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            let request = try connection.request()
            try connection.body()
            try connection.send(FakeConnection.out(request.id, "Status: 200 OK\r\n\r\nfirst"))
            seen.note(.begin)
            seen.note(try connection.record().type)
            try connection.send(FakeConnection.out(request.id, "last") + FakeConnection.end(request.id))
        }
        try await withFakeDaemon(serve: serve) { server, _ async throws in
            let client = try server.connect()
            try client.request("GET /c/ HTTP/1.1")
            _ = try client.head()
            #expect(try client.chunk() == Array("first".utf8))
            server.graceful()
            #expect(try client.chunk() == Array("last".utf8))
            #expect(try client.chunk() == nil)
            #expect(seen.all == [.begin, .stopping])
            try server.waitUntilResumed(2)
        }
    }

    // MARK: Beside FastCGI

    @Test func errorStream() async throws {
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                try connection.body()
                let id = request.variables["SWIFTGI_REQUEST_ID"] ?? ""
                func error(_ text: String) -> [UInt8] {
                    FakeConnection.record(Record.stderr.rawValue, request.id, Array(text.utf8))
                }
                try connection.send(
                    error(
                        "[warning] [\(id)] careful\n[info] [\(id)] by the way\nplain\n[other] bracket\n[debug] [else] x\n"
                    )
                        + error("in ") + error("") + error("pieces") + error("\nunended"))
                try connection.send(FakeConnection.out(request.id, "Status: 200 OK\r\n\r\n"))
                try connection.send(error(String(repeating: "long", count: 4000) + "\n"))
                try connection.send(FakeConnection.end(request.id))
            }
        }
        let expecting = ["careful", "plain", "[other] bracket", "in pieces", "unended", "longlong"]
        try await withFakeDaemon(expecting: expecting, serve: serve) { server, _ async throws in
            #expect(try server.get("/c/logged").status == 200)
            // httpd writes it when the client has its answer already.
            let access = try wait("the access log") { server.accessLog.first { $0.contains("logged") } }
            let id = access.split(separator: "|").last ?? ""
            func line(_ text: String) throws -> LogLine {
                try #require(server.errorLog.lines(with: text).first, "\(text)")
            }
            for (text, level) in [
                ("careful", "warn"), ("by the way", "info"), ("plain", "error"), ("[other] bracket", "error"),
                ("[else] x", "debug"), ("in pieces", "error"),
            ] {
                let line = try line(text)
                #expect(line.message == text)
                #expect(line.level == level)
                #expect(line.requestID == id)
                #expect(line.module == "swiftgi")
            }
            #expect(
                server.errorLog.lines(with: "longlong").map(\.message.count).reduce(0, +) == 16000 + "unended".count)
        }
    }

    @Test func files() async throws {
        let content = (0..<200_000).map { UInt8($0 % 251) }
        let path = "\(Paths.temporary)/file-\(UUID().uuidString)"
        try writeFile(path, Data(content))
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                try connection.body()
                func part(_ offset: UInt64, _ length: UInt64) -> [UInt8] {
                    let numbers = [offset, length].flatMap { number in
                        (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64(56 - 8 * $0)) }
                    }
                    return FakeConnection.record(Record.file.rawValue, request.id, numbers)
                }
                let name = request.path == "/directory" ? "/" : request.path == "/device" ? "/dev/zero" : path
                let file = open(name, O_RDONLY | O_CLOEXEC)
                defer { close(file) }
                try connection.send(FakeConnection.out(request.id, "Status: 200 OK\r\n\r\nbefore"))
                switch request.path {
                case "/parts":
                    try connection.send(part(0, 100_000), descriptor: file)
                    try connection.send(FakeConnection.out(request.id, "between"))
                    try connection.send(part(199_999, 1) + FakeConnection.out(request.id, "after"), descriptor: file)
                case "/beyond": try connection.send(part(199_999, 2), descriptor: file)
                case "/huge": try connection.send(part(.max, .max), descriptor: file)
                case "/nothing": try connection.send(part(0, 0), descriptor: file)
                case "/unannounced": try connection.send(FakeConnection.out(request.id, "x"), descriptor: file)
                default: try connection.send(part(0, 10), descriptor: file)
                }
                try connection.send(FakeConnection.end(request.id))
            }
        }
        try await withFakeDaemon(expecting: ["SGI0468"], serve: serve) { server, _ async throws in
            let expected =
                Array("before".utf8) + content[..<100_000] + Array("between".utf8) + content[199_999...]
                + Array("after".utf8)
            for _ in 0..<3 {
                let response = try server.get("/c/parts")
                #expect(response.body == expected)
            }
            for wrong in ["beyond", "huge", "nothing", "directory", "device"] {
                let client = try server.connect()
                try client.request("GET /c/\(wrong) HTTP/1.1")
                let isWhole = (try? client.response())?.status == 200
                #expect(!isWhole, "\(wrong)")
            }
            // Of no use, and no harm.
            #expect(try server.get("/c/unannounced").text == "beforex")
            #expect(server.errorLog.lines(with: "SGI0468").count == 5)
        }
    }

    /// A body that breaks off is told the application, which decides what to answer.
    @Test func brokenBody() async throws {
        let seen = Journal<[UInt8]>()
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                while true {
                    let record = try connection.record()
                    if record.type == .stdin, !record.content.isEmpty { continue }
                    seen.note([record.type?.rawValue ?? 0] + record.content)
                    break
                }
                if request.path == "/plain" {
                    try connection.send(
                        FakeConnection.record(Record.unknownType.rawValue, 0, [66, 0, 0, 0, 0, 0, 0, 0]))
                    _ = try? connection.record()
                    return
                }
                try connection.send(
                    FakeConnection.out(request.id, "Status: 422 Own\r\n\r\n") + FakeConnection.end(request.id))
            }
        }
        try await withFakeDaemon("", "LimitRequestBody 10", serve: serve) { server, _ async throws in
            func post(_ path: String, _ body: String) throws -> Response {
                let client = try server.connect()
                try client.request("POST \(path) HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
                try client.send(body)
                return try client.response()
            }
            #expect(try post("/c/", "3\r\nabc\r\nzz\r\n").status == 422)
            #expect(try post("/c/", "b\r\nabcdefghijk\r\n").status == 422)
            #expect(try post("/c/plain", "3\r\nabc\r\nzz\r\n").status == 400)
            // SWIFTGI_BAD_REQUEST and SWIFTGI_TOO_LARGE.
            #expect(seen.all == [[66, 5], [66, 4], [66, 5]])
        }
    }

    @Test func requestTrailers() async throws {
        let seen = Journal<String>()
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            let request = try connection.request()
            var record = try connection.record()
            while record.type == .stdin, !record.content.isEmpty { record = try connection.record() }
            if record.type == .trailers {
                seen.note(String(decoding: record.content, as: UTF8.self))
                record = try connection.record()
            }
            try connection.answer(request, "\(record)")
        }
        try await withFakeDaemon("", "MergeTrailers Off", serve: serve) { server, _ async throws in
            let client = try server.connect()
            try client.request("POST /c/ HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
            try client.send("3\r\nabc\r\n0\r\nX-After: all\r\n\r\n")
            #expect(try client.response().text.hasPrefix("stdin of 0"))
            #expect(seen.all == ["X-After: all\r\n"])
        }
    }

    /// The client is asked for a body that it holds back when the application wants it, or when
    /// nobody says so for a while; not if it is refused.
    @Test func heldBackBody() async throws {
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                switch request.path {
                case "/refused":
                    try connection.send(
                        FakeConnection.out(request.id, "Status: 403 No\r\n\r\n") + FakeConnection.end(request.id))
                    _ = try connection.record()
                case "/wanted":
                    try connection.send(FakeConnection.record(Record.inputWanted.rawValue, request.id, []))
                    try connection.answer(request, String(decoding: try connection.body(), as: UTF8.self))
                default: try connection.answer(request, String(decoding: try connection.body(), as: UTF8.self))
                }
            }
        }
        try await withFakeDaemon(serve: serve) { server, _ async throws in
            let fields = ["Host: localhost", "Content-Length: 4", "Expect: 100-continue"]
            for path in ["/c/wanted", "/c/plain"] {
                let client = try server.connect()
                try client.request("POST \(path) HTTP/1.1", fields)
                #expect(try client.anyHead().status == 100)
                try client.send("body")
                #expect(try client.response().text == "body")
            }
            let client = try server.connect()
            try client.request("POST /c/refused HTTP/1.1", fields)
            let response = try client.response()
            #expect(response.status == 403)
            #expect(response.interim.isEmpty)
        }
    }

    /// A daemon that answers before it has read all.
    @Test func earlyAnswer() async throws {
        let serve: @Sendable (FakeConnection) throws -> Void = { connection in
            while true {
                let request = try connection.request()
                try connection.answer(request, "early")
                if request.path == "/close" { return }
                // The connection serves another request if all of the body comes.
                var record: FakeConnection.Record
                repeat {
                    record = try connection.record()
                    if record.type == .abort { return }
                } while !record.content.isEmpty
            }
        }
        try await withFakeDaemon(serve: serve) { server, _ async throws in
            for path in ["/c/close", "/c/"] {
                for size in [10, 100_000, 2_000_000] {
                    let client = try server.connect()
                    try client.request("POST \(path) HTTP/1.1", ["Host: localhost", "Content-Length: \(size)"])
                    // Only this thread sends, and only the test receives.
                    nonisolated(unsafe) let writing = client
                    let sender = Thread { try? writing.send([UInt8](repeating: 0x62, count: size)) }
                    sender.start()
                    let response = try client.response()
                    #expect(response.text == "early", "\(path) \(size)")
                }
            }
        }
    }
}
