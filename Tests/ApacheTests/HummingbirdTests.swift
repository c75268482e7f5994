import Foundation
import Testing

/// An application of Hummingbird, unchanged: it answers the same on its own server, inside httpd, and
/// behind FastCGI.
@Suite(.serialized, .enabled(if: Applications.hasFrameworks, "`make frameworks` builds what this tests."))
struct HummingbirdTests {
    /// A request that is sent to both.
    struct Case: Sendable, CustomTestStringConvertible {
        var method = "GET"
        let path: String
        var fields: [String] = []
        var body: [UInt8]?
        /// Whether the body is sent in chunks.
        var isChunked = false
        /// The status that is expected, so that two wrong answers are not taken for a right one.
        var status = 200

        var testDescription: String { "\(method) \(path)" }
    }

    private static let large = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

    static let cases = [
        Case(path: "/"), Case(path: "/health"), Case(path: "/heart"), Case(path: "/task-local"),
        Case(path: "/hello/world"), Case(path: "/hello/J%C3%BCrgen%20%2F"), Case(path: "/number/41"),
        Case(path: "/number/x", status: 400),
        Case(path: "/query?name=%C3%A4&n=1&n=2"), Case(path: "/query"), Case(path: "/files/a/b/c"),
        Case(path: "/address"), Case(path: "/missing", status: 404),
        Case(method: "DELETE", path: "/hello/world", status: 404),
        // With a length, without one, and with no answer.
        Case(method: "HEAD", path: "/hello/world"), Case(method: "HEAD", path: "/items/7"),
        Case(method: "HEAD", path: "/known"), Case(method: "HEAD", path: "/stream/10"),
        Case(method: "HEAD", path: "/upload/one", status: 404), Case(method: "HEAD", path: "/missing", status: 404),
        // JSON.
        Case(path: "/items/7"),
        json("{\"id\": 1, \"title\": \"Brot\"}", status: 201), json("{\"id\": 1", status: 400),
        json("{\"id\": \"x\", \"title\": \"\"}", status: 400), json("{}", status: 400),
        Case(method: "DELETE", path: "/items/7", status: 204),
        // Streams.
        Case(path: "/stream/0"), Case(path: "/stream/1"), Case(path: "/stream/1000"), Case(path: "/known"),
        Case(path: "/events"),
        Case(method: "POST", path: "/echo", fields: ["Content-Type: text/x"], body: Array("Hello".utf8)),
        Case(method: "POST", path: "/echo", body: []), Case(method: "POST", path: "/echo", body: large),
        Case(method: "POST", path: "/echo", body: large, isChunked: true),
        Case(method: "POST", path: "/count", body: large),
        Case(method: "POST", path: "/count", body: large, isChunked: true),
        Case(method: "POST", path: "/collect", body: Array("Hello".utf8)),
        Case(method: "POST", path: "/collect", body: large, status: 413),
        // Files.
        Case(method: "PUT", path: "/upload/one", body: large, status: 201), Case(path: "/upload/one"),
        Case(path: "/upload/none", status: 404), Case(method: "PUT", path: "/upload/..", body: [1], status: 400),
        // Errors and authentication.
        Case(path: "/conflict", status: 409), Case(path: "/failure", status: 500),
        Case(path: "/private/name", status: 401),
        Case(path: "/private/name", fields: ["Authorization: Basic dXNlcjp3cm9uZw=="], status: 401),
        Case(path: "/private/name", fields: ["Authorization: Basic dXNlcjpzZWNyZXQ="]),
    ]

    private static func json(_ text: String, status: Int) -> Case {
        Case(
            method: "POST", path: "/items", fields: ["Content-Type: application/json"], body: Array(text.utf8),
            status: status)
    }

    /// What is the server's, and differs: see the page on Hummingbird.
    private static let serversFields: Set = ["date", "server", "connection", "keep-alive", "transfer-encoding"]

    /// What httpd logs of them at warning and above.
    private static let expected = ["the responder failed"]

    @Test(arguments: Configuration.Execution.allCases, Configuration.MPM.allCases)
    func sameAnswers(_ execution: Configuration.Execution, _ mpm: Configuration.MPM) async throws {
        try Applications.addFramework("HummingbirdEmbedded")
        let own = try OwnServer()
        defer { own.stop() }
        var configuration = Configuration(
            """
            SwiftGIScriptAlias / ${apps}/libHummingbirdEmbedded.so
            SwiftGIPassAuthorization On
            AllowEncodedSlashes NoDecode
            """, mpm: mpm,
            environment: OwnServer.environment(uploads: own.uploads).merging(["SWIFTGI_VALIDATE": "1"]) { $1 })
        configuration.execution = execution
        try await withServer(configuration, expecting: Self.expected) { server in
            for one in Self.cases { try Self.compare(one, own.port, server.port) }
            // What was there before the first request, and what is logged by the application's logger.
            #expect(!server.errorLog.lines(with: "template: about to start").isEmpty)
            #expect(server.children.count == 1 || mpm == .prefork)
            #expect(server.daemons.count == (execution == .daemon ? 1 : 0))
        }
    }

    @Test func sameAnswersBehindFastCGI() async throws {
        try Applications.addFramework("HummingbirdEmbedded")
        let own = try OwnServer()
        defer { own.stop() }
        let socket = "\(own.uploads)/app.sock"
        let launched = try Launched(
            "HummingbirdEmbedded", ["--fastcgi", "unix:\(socket)", "--threads", "4"], address: socket,
            environment: OwnServer.environment(uploads: own.uploads))
        chmod(socket, 0o777)
        let lines = """
            SetEnv ap_trust_cgilike_cl 1
            SetEnv proxy-sendcl 1
            ProxyPass / "unix:\(socket)|fcgi://hummingbird/" retry=0
            <Location />
            CGIPassAuth On
            </Location>
            """
        let configuration = Configuration(lines, modules: ["env", "proxy", "proxy_fcgi"])
        try await withServer(configuration, expecting: Self.expected) { server in
            // httpd answers by itself what it takes for a broken path.
            for one in Self.cases where !one.path.contains("%2F") && !one.path.contains("..") {
                try Self.compare(one, own.port, server.port)
            }
        }
        let result = try launched.stop()
        #expect(result.status == 0, "\(result)")
        #expect(result.errors.contains("the service has ended"))
    }

    private static func compare(_ one: Case, _ ownPort: Int, _ port: Int) throws {
        let own = try send(one, ownPort)
        let ours = try send(one, port)
        #expect(own.status == one.status, "\(one.testDescription) on its own server: \(own)")
        #expect(ours.status == own.status, "\(one.testDescription): \(ours)")
        let isSame = ours.body == own.body
        #expect(isSame, "\(one.testDescription): \(ours)\n\(own)")
        // How a body is framed is the server's as well: where one sends chunks, the length may be known to
        // the other, and httpd sends no length of 0 in answer to HEAD.
        let isFramed =
            [own, ours].contains { $0["Transfer-Encoding"] != nil }
            || (one.method == "HEAD" && (own["Content-Length"] ?? "0") == "0")
        #expect(fields(ours, withLength: !isFramed) == fields(own, withLength: !isFramed), "\(one.testDescription)")
        #expect(ours.all("Date").count == 1 && ours.all("Server").count == 1, "\(one.testDescription): \(ours)")
    }

    private static func fields(_ response: Response, withLength: Bool) -> [String] {
        response.fields.map { ($0.name.lowercased(), $0.value) }
            .filter { !serversFields.contains($0.0) && (withLength || $0.0 != "content-length") }
            .map { "\($0.0): \($0.1)" }.sorted()
    }

    private static func send(_ one: Case, _ port: Int) throws -> Response {
        // Two threads use it, each one direction.
        nonisolated(unsafe) let client = try RawClient(port: port)
        var fields = ["Host: localhost:8080", "Connection: close"] + one.fields
        if let body = one.body {
            fields.append(one.isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(body.count)")
        }
        try client.request("\(one.method) \(one.path) HTTP/1.1", fields)
        if let body = one.body {
            // A server that has answered need not take the rest; both directions at once otherwise.
            let sender = Thread {
                if one.isChunked {
                    for start in stride(from: 0, to: body.count, by: 50_000) {
                        let piece = Array(body[start..<min(body.count, start + 50_000)])
                        try? client.send(
                            Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + Array("\r\n".utf8))
                    }
                    try? client.send("0\r\n\r\n")
                } else {
                    try? client.send(body)
                }
            }
            sender.start()
        }
        return try client.response(to: one.method)
    }

    /// A body that fails behind its beginning is not taken for a whole one, on either server.
    @Test(arguments: Configuration.Execution.allCases)
    func lateFailureAborts(_ execution: Configuration.Execution) async throws {
        try Applications.addFramework("HummingbirdEmbedded")
        var configuration = Configuration(
            "SwiftGIScriptAlias /below/it ${apps}/libHummingbirdEmbedded.so", environment: ["UPLOADS": "/tmp"])
        configuration.execution = execution
        try await withServer(configuration, expecting: ["SGI0201"]) { server in
            #expect(throws: WireError.noLastChunk(received: 6)) { try server.get("/below/it/late-failure") }
            // It does not know that it is not at the root.
            for (path, text) in [("/hello/you", "Hello, you!\n"), ("?x=1", "Hello!\n"), ("", "Hello!\n")] {
                let response = try server.get("/below/it\(path)")
                #expect(response.text == text, "\(path)")
            }
        }
    }

    /// What waits for the client to go is told when it goes, and the process lives.
    @Test(arguments: Configuration.Execution.allCases, Configuration.MPM.allCases)
    func clientThatGoesIsNoticed(_ execution: Configuration.Execution, _ mpm: Configuration.MPM) async throws {
        try Applications.addFramework("HummingbirdEmbedded")
        var configuration = Configuration(
            "SwiftGIScriptAlias / ${apps}/libHummingbirdEmbedded.so", mpm: mpm, environment: ["UPLOADS": "/tmp"])
        configuration.execution = execution
        try await withServer(configuration) { server in
            let daemons = server.daemons
            let child = try #require(server.children.first)
            for _ in 0..<3 {
                let client = try server.connect()
                try client.request("GET /wait-for-close HTTP/1.1")
                _ = try client.head()
                let chunk = try client.chunk() ?? []
                #expect(String(decoding: chunk, as: UTF8.self) == "data: begin\n\n")
                client.close()
            }
            try wait("the handlers to be told") { server.errorLog.lines(with: "closed while waiting").count == 3 }
            #expect(try server.get("/events").text == "data: 1\n\ndata: 2\n\ndata: 3\n\n")
            if mpm != .prefork { #expect(server.children == [child]) }
            #expect(server.daemons == daemons)
        }
    }

    /// The application with room for many connections, and few threads.
    private static func threeThreads(_ execution: Configuration.Execution) throws -> Configuration {
        try Applications.addFramework("HummingbirdEmbedded")
        var configuration = Configuration(
            "SwiftGIScriptAlias / ${apps}/libHummingbirdEmbedded.so\nAsyncRequestWorkerFactor 100", threads: 3,
            environment: ["UPLOADS": "/tmp"])
        configuration.execution = execution
        return configuration
    }

    /// What waits holds no thread.
    @Test(arguments: Configuration.Execution.allCases)
    func waitingHoldsNoThread(_ execution: Configuration.Execution) async throws {
        try await withServer(Self.threeThreads(execution)) { server in
            let clients = try (0..<12).map { _ in
                let client = try server.connect()
                try client.request("GET /wait-for-close HTTP/1.1")
                return client
            }
            for client in clients {
                _ = try client.head()
                #expect(String(decoding: try client.chunk() ?? [], as: UTF8.self) == "data: begin\n\n")
            }
            #expect(try server.get("/hello/world").text == "Hello, world!\n")
            for client in clients { client.close() }
            try wait("the handlers to be told") { server.errorLog.lines(with: "closed while waiting").count == 12 }
        }
    }

    /// Bodies of clients that don't read come to a stand, and hold no thread.
    @Test(arguments: Configuration.Execution.allCases)
    func clientsThatNeverRead(_ execution: Configuration.Execution) async throws {
        try await withServer(Self.threeThreads(execution)) { server in
            let process = try #require(execution == .daemon ? server.daemons.first : server.children.first)
            for _ in 0..<20 { #expect(try server.get("/hello/you").status == 200) }
            let before = try #require(ProcessTable.memory("VmRSS", of: process))
            let clients = try (0..<12).map { _ in
                let client = try server.connect()
                try client.request("GET /endless HTTP/1.1")
                _ = try client.head()
                return client
            }
            // Without an end to what is kept it would be more each time.
            var last = before
            try wait("the memory to stand still") {
                for _ in 0..<50 { _ = try server.get("/hello/you") }
                let now = ProcessTable.memory("VmRSS", of: process) ?? 0
                defer { last = now }
                return now == last
            }
            #expect(last - before < 12 * 1024, "\(last - before) KiB for 12 clients")
            for client in clients { client.reset() }
            #expect(try server.get("/hello/you").status == 200)
        }
    }

    /// A service that takes no notice of a graceful shutdown is cancelled before the time is over.
    @Test func stubbornServiceEnds() async throws {
        try Applications.addFramework("HummingbirdEmbedded")
        let configuration = Configuration(
            "SwiftGIScriptAlias / ${apps}/libHummingbirdEmbedded.so",
            environment: ["UPLOADS": "/tmp", "STUBBORN": "yes"])
        try await withServer(configuration, permitting: ["SGI0213"]) { server in
            #expect(try server.get("/heart").text == "true\n")
            server.graceful()
            try server.errorLog.wait(for: "the stubborn service was cancelled")
        }
    }

    /// Its own server, started by httpd, behind mod_proxy.
    @Test func ownServerInAGroup() async throws {
        let own = try OwnServer()
        defer { own.stop() }
        let lines = """
            SwiftGIDaemonProcess hummingbird "command=\(Applications.frameworks)/HummingbirdServer %{port} \(own.uploads)" \
                ready-path=/health
            SwiftGIServerAlias / hummingbird
            AllowEncodedSlashes NoDecode
            """
        let configuration = Configuration(
            lines, modules: ["proxy", "proxy_http"], environment: OwnServer.environment(uploads: own.uploads)
        ).embedded
        // What it writes to standard error is an error to httpd.
        try await withServer(configuration, permitting: ["template:"]) { server in
            // httpd answers by itself what it takes for a broken path.
            for one in Self.cases where !one.path.contains("%2F") && !one.path.contains("..") {
                try Self.compare(one, own.port, server.port)
            }
        }
    }

    /// The services end before the process does, within its grace period.
    @Test(arguments: Configuration.Execution.allCases)
    func servicesEnd(_ execution: Configuration.Execution) async throws {
        try Applications.addFramework("HummingbirdEmbedded")
        var configuration = Configuration(
            "SwiftGIScriptAlias / ${apps}/libHummingbirdEmbedded.so", environment: ["UPLOADS": "/tmp"])
        configuration.execution = execution
        try await withServer(configuration) { server in
            #expect(try server.get("/heart").text == "true\n")
            server.graceful()
            try server.errorLog.wait(for: "the service has ended")
            #expect(try server.get("/heart").text == "true\n")
        }
    }
}

/// The application on Hummingbird's server.
private final class OwnServer {
    let port = Ports.next()
    let uploads: String
    private let command: Command

    init() throws {
        uploads = "\(Paths.temporary)/uploads-\(UUID().uuidString.prefix(8))"
        try makeDirectory(uploads, mode: 0o777)
        let port = port
        command = try Command(
            "\(Applications.frameworks)/HummingbirdServer", ["\(port)", uploads],
            environment: Self.environment(uploads: uploads))
        try wait("Hummingbird's server") { (try? RawClient(port: port)) != nil }
    }

    /// The order of an object's members in JSON depends on the process's hashing.
    static func environment(uploads: String) -> [String: String] {
        ["UPLOADS": uploads, "SWIFT_DETERMINISTIC_HASHING": "1"]
    }

    func stop() {
        kill(command.pid, SIGTERM)
        _ = try? command.finish()
        Ports.release(port)
    }
}
