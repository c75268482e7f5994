import Foundation
import Glibc
import Testing

/// HTTP servers that process groups run, with a server of the tests' own (Libraries/server.c) that knows
/// nothing of it, and that SIGTERM ends whatever it is doing.
@Suite(.embedded("They have groups of their own."))
struct HTTPServerTests {
    enum Listening: String, CaseIterable, CustomTestStringConvertible {
        case socket, port

        var testDescription: String { rawValue }
    }

    // MARK: What is refused

    typealias Malformed = DirectiveTests.Malformed

    @Test(arguments: [
        Malformed("SwiftGIDaemonProcess a command=server", "must begin with the absolute path of a program"),
        Malformed("SwiftGIDaemonProcess a command=", "command=: it has no value"),
        Malformed("SwiftGIDaemonProcess a command=\"/bin/x %{port}\"", "quotation marks around all of it"),
        Malformed("SwiftGIDaemonProcess a command=/bin/x", "the program must be told where to listen: put %{socket}"),
        Malformed("SwiftGIDaemonProcess a \"command=/bin/x %{port} %{socket}\"", "both %{socket} and %{port}"),
        Malformed("SwiftGIDaemonProcess a \"command=/bin/x %{port}\" env=A=%{socket}", "both %{socket} and %{port}"),
        Malformed("SwiftGIDaemonProcess a \"command=/bin/x %{port}\" threads=2", "threads: the command's own options"),
        Malformed("SwiftGIDaemonProcess a display-name=x \"command=/bin/x %{port}\"", "display-name: a command has"),
        Malformed("SwiftGIDaemonProcess a \"command=/bin/x %{port}\" request-timeout=5", "ProxyTimeout"),
        Malformed("SwiftGIDaemonProcess a \"command=/bin/x %{port}\" io-timeout=5", "ProxyTimeout"),
        Malformed("SwiftGIDaemonProcess a \"command=/bin/x %{port}\" maximum-requests=5", "use restart-interval"),
        Malformed("SwiftGIDaemonProcess a \"command=/bin/x %{port}\" inactivity-timeout=5", "use restart-interval"),
        Malformed("SwiftGIDaemonProcess a \"command=/bin/x %{port}\" ready-path=health", "must be a URL path"),
        Malformed("SwiftGIDaemonProcess a \"command=/bin/x %{port}\" \"ready-path=/a b\"", "must be a URL path"),
        Malformed("SwiftGIDaemonProcess a ready-path=/health", "ready-path: it is for groups with command="),
        Malformed("SwiftGIServerAlias /a", "SwiftGIServerAlias takes two or three arguments"),
        Malformed("SwiftGIServerAlias a shop", "must begin with a slash"),
        Malformed("SwiftGIServerAlias /a/../b shop", "must not have the segments"),
        Malformed("SwiftGIServerAlias /a %{GLOBAL}", "cannot name a process group"),
        Malformed("SwiftGIServerAlias /a shop path=x", "path: it must begin with a slash"),
        Malformed("SwiftGIServerAlias /a shop to=/x", "there is path="),
        Malformed(
            "SwiftGIServerAlias /a shop\nSwiftGIScriptAlias /a/ ${apps}/libHello.so", "already has an application"),
        Malformed("<Location />\nSwiftGIServerAlias /a shop\n</Location>", "not allowed"),
    ])
    func refused(_ malformed: Malformed) async throws { try await malformed.check() }

    /// What is known only when all was read: with an id.
    @Test(arguments: [
        Malformed("SwiftGIServerAlias /b other", "SGI0440: SwiftGIServerAlias (/"),
        Malformed("SwiftGIDaemonProcess other\nSwiftGIServerAlias /b other", "SGI0446: SwiftGIServerAlias (/"),
        Malformed("SwiftGIScriptAlias /b ${apps}/libHello.so process-group=shop", "SGI0447: SwiftGIScriptAlias (/"),
        Malformed("<Location /b>\nSwiftGIProcessGroup shop\n</Location>", "SGI0447: SwiftGIProcessGroup (/"),
        Malformed("SwiftGIDaemonProcess x \"command=/no/such %{port}\"", "SGI0445: SwiftGIDaemonProcess x (/"),
        Malformed("SwiftGIDaemonProcess x \"command=/etc/passwd %{port}\"", "cannot be run: it is no program"),
        Malformed("SwiftGIDaemonProcess x \"command=${root}/open %{port}\"", "cannot be run: others may write to it"),
        Malformed("SwiftGIRestrictProcess other", "SGI0443: SwiftGIServerAlias (/"),
        Malformed(
            "SwiftGISocketDirectory /tmp/\(String(repeating: "long", count: 21))", "SGI0433: SwiftGISocketDirectory"),
    ])
    func refusedInTheEnd(_ malformed: Malformed) async throws {
        let configuration = Configuration.servers("", malformed.lines).preparing {
            try writeFile("\($0)/open", "")
            chmod("\($0)/open", 0o777)
        }
        try await withStoppedServer(configuration) { server in
            try malformed.check(at: server)
        }
    }

    /// mod_proxy is not there unless somebody loads it.
    @Test(arguments: [["proxy"], []]) func withoutProxy(_ modules: [String]) async throws {
        var configuration = Configuration.servers()
        configuration.modules = modules
        try await withStoppedServer(configuration) { server in
            let result = try server.configtest()
            #expect(result.status != 0)
            #expect(result.errors.contains("SGI0448: SwiftGIServerAlias (/"), "\(result)")
            #expect(result.errors.contains("mod_proxy_http, which is not there; load it"), "\(result)")
            #expect(result.errors.contains("mod_proxy, which is not there") == modules.isEmpty, "\(result)")
        }
    }

    /// No group runs libraries: nothing is needed that would run one.
    @Test func launcherIsNotNeeded() async throws {
        try await withServer(.servers("", "SwiftGILauncher /no/such/program")) { server in
            let answer = try server.get("/who")
            #expect(answer.status == 200)
        }
    }

    // MARK: Requests

    @Test(arguments: Listening.allCases, Configuration.MPM.allCases)
    func processIsWhatTheOptionsSay(_ listening: Listening, _ mpm: Configuration.MPM) async throws {
        let options = "umask=027 home=/tmp env=PLACE=<%{\(listening)}> env-file=${root}/variables"
        let configuration = Configuration.servers(options, listening: listening, mpm: mpm).preparing {
            try writeFile("\($0)/variables", "SECRET=\"a b\"\n")
            chmod("\($0)/variables", 0o600)
        }
        try await withServer(configuration) { server in
            let answer = try server.get("/who")
            let values = answer.variables
            #expect(answer.status == 200)
            #expect(values["uid"] == "\(ServedAs.userID)")
            #expect(values["umask"] == "027")
            #expect(values["home"] == "/tmp")
            let place = try #require(values["arguments"]?.split(separator: " ").last)
            #expect(try server.get("/env/PLACE").text == "<\(place)>")
            #expect(try server.get("/env/SECRET").text == "a b")
            #expect(try server.get("/env/LISTEN_FDS").text == "")
            #expect(place.hasPrefix("/") == (listening == .socket), "\(place)")
            let pid = try #require(values["pid"].flatMap { pid_t($0) })
            #expect(server.daemons == [pid])
            // Nothing of httpd's or the supervisor's.
            let descriptors = ProcessTable.descriptors(of: pid)
            #expect(!descriptors.contains { $0.hasPrefix(server.root) }, "\(descriptors)")
            #expect(descriptors.count <= 5, "\(descriptors)")
        }
    }

    @Test func anotherUser() async throws {
        guard ServedAs.isRoot else { return }
        for listening in Listening.allCases {
            try await withServer(.servers("user=games", listening: listening)) { server in
                let answer = try server.get("/who").variables
                #expect(answer["uid"] == "\(getpwnam("games").pointee.pw_uid)")
                guard listening == .socket, let place = answer["arguments"]?.split(separator: " ").last else { return }
                // Only httpd's user may connect.
                var status = stat()
                #expect(stat(String(place), &status) == 0)
                #expect(status.st_mode & 0o777 == 0o600)
                #expect(status.st_uid == ServedAs.userID)
            }
        }
    }

    /// The server sees what the client asked for, and who it is.
    @Test(arguments: Listening.allCases)
    func heads(_ listening: Listening) async throws {
        let lines = "SwiftGIServerAlias /below/it shop path=/head/\nSwiftGIServerAlias /same shop path=/\n"
        try await withServer(.servers("", lines, listening: listening)) { server in
            let fields = [
                "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /evil", "Proxy: evil", "Authorization: Basic eDp5",
                "X-Own: 1",
            ]
            let head = try server.request("GET", "/head/a%20b%3Fc?d=%2F&e", fields, host: "shop.example:8080").text
            let lines = head.split(separator: "\r\n").map(String.init)
            #expect(lines.first == "GET /head/a%20b%3Fc?d=%2F&e HTTP/1.1")
            for line in [
                "Host: shop.example:8080", "X-Forwarded-Proto: http", "X-Forwarded-For: 127.0.0.1",
                "X-Forwarded-Host: shop.example:8080", "Authorization: Basic eDp5", "X-Own: 1",
            ] { #expect(lines.contains(line), "no “\(line)”: \(head)") }
            #expect(!head.contains("evil"), "\(head)")
            #expect(!head.contains("swiftgi.invalid"), "\(head)")
            #expect(!head.contains("X-Forwarded-Prefix"), "\(head)")
            for (path, seen) in [
                ("/below/it/x?y", "/head/x?y"), ("/below/it", "/head"), ("/below/it/", "/head/"),
                ("/same/head", "/head"),
            ] {
                let head = try server.get(path).text
                #expect(head.hasPrefix("GET \(seen) HTTP/1.1\r\n"), "\(path): \(head)")
                let prefix = path.hasPrefix("/same") ? "/same" : "/below/it"
                #expect(head.contains("X-Forwarded-Prefix: \(prefix)\r\n"), "\(path): \(head)")
            }
            #expect(try server.get("/same").text == "/")
            #expect(try server.get("/below/item").text == "/below/item")
        }
    }

    @Test func passwordsOfHTTPD() async throws {
        let lines = """
            <Location /head/closed>
            AuthType Basic
            AuthName test
            AuthBasicProvider file
            AuthUserFile ${root}/users
            Require valid-user
            </Location>
            <Location /head/closed/passed>
            SwiftGIPassAuthorization On
            </Location>
            """
        let modules = ["authn_core", "authn_file", "auth_basic", "authz_user"]
        let configuration = Configuration.servers("", lines, modules: modules).preparing {
            try writeFile("\($0)/users", "x:{SHA}lcsL/Sl3x2EpjZYk5LTUxyo5l0o=\n")
        }
        try await withServer(configuration) { server in
            let without = try server.get("/head/closed")
            #expect(without.status == 401)
            let with = try server.get("/head/closed", ["Authorization: Basic eDp5"])
            #expect(with.text.hasPrefix("GET /head/closed "), "\(with)")
            #expect(!with.text.contains("Authorization"), "\(with)")
            let passed = try server.get("/head/closed/passed", ["Authorization: Basic eDp5"])
            #expect(passed.text.contains("Authorization: Basic eDp5"), "\(passed)")
        }
    }

    @Test(arguments: Listening.allCases)
    func bodies(_ listening: Listening) async throws {
        try await withServer(.servers("", listening: listening)) { server in
            let body = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) }
            #expect(try server.request("POST", "/body", body: body).body == body)
            #expect(try server.request("POST", "/body", body: []).body == [])
            let client = try server.connect()
            try client.request("POST /body HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
            try client.sendChunk("slow")
            usleep(300_000)
            try client.sendChunk("ly")
            try client.send("0\r\n\r\n")
            #expect(try client.response().text == "slowly")
            #expect(try server.request("POST", "/body", ["Expect: 100-continue"], body: [1, 2, 3]).body == [1, 2, 3])
        }
    }

    @Test(arguments: Listening.allCases, Configuration.MPM.allCases)
    func webSocket(_ listening: Listening, _ mpm: Configuration.MPM) async throws {
        try await withServer(.servers("", listening: listening, mpm: mpm)) { server in
            let client = try server.connect()
            let fields = [
                "Host: localhost", "Upgrade: WebSocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ]
            try client.request("GET /socket HTTP/1.1", fields)
            let head = try client.anyHead()
            #expect(head.status == 101)
            #expect(head["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            for text in ["hello", "", String(repeating: "x", count: 125)] {
                let mask: [UInt8] = [1, 2, 3, 250]
                let masked = text.utf8.enumerated().map { $1 ^ mask[$0 % 4] }
                try client.send([0x81, 0x80 | UInt8(text.utf8.count)] + mask + masked)
                #expect(try client.bytes(2 + text.utf8.count) == [0x81, UInt8(text.utf8.count)] + Array(text.utf8))
            }
            try client.send([0x88, 0x80, 0, 0, 0, 0])
            #expect(try client.bytes(2) == [0x88, 0])
            client.close()
            // Without the fields it is a request as any other.
            #expect(try server.get("/socket").status == 426)
        }
    }

    @Test func processesTakeTurns() async throws {
        try await withServer(.servers("processes=3")) { server in
            try wait("three processes") { server.errorLog.lines(with: "SGI0411").count == 3 }
            var seen: [String: Int] = [:]
            for _ in 0..<30 { seen[try server.get("/sleep/0").text, default: 0] += 1 }
            #expect(seen.count == 3, "\(seen)")
            #expect(seen.values.allSatisfy { $0 >= 5 }, "\(seen)")
        }
    }

    /// It runs, but not for everybody.
    @Test func groupsThatAreNotPermitted() async throws {
        let lines = "<Location /sleep>\nSwiftGIRestrictProcess other\n</Location>"
        try await withServer(.servers("", lines), expecting: ["SGI0452"]) { server in
            let refused = try server.get("/sleep/0"), answer = try server.get("/who")
            #expect(refused.status == 500)
            #expect(answer.status == 200)
        }
    }

    /// Access to the location is httpd's business, as for everything.
    @Test func deniedLocation() async throws {
        let lines = "<Location /sleep>\nRequire all denied\n</Location>"
        try await withServer(.servers("", lines), permitting: ["AH01630"]) { server in
            let refused = try server.get("/sleep/0"), answer = try server.get("/who")
            #expect(refused.status == 403)
            #expect(answer.status == 200)
        }
    }

    // MARK: Replacement

    /// Graceful and hard reading of the configuration under load, with a stream that goes through all of it.
    @Test(arguments: Listening.allCases, Configuration.MPM.allCases)
    func noRequestIsLostByRestarts(_ listening: Listening, _ mpm: Configuration.MPM) async throws {
        try await withServer(.servers("processes=2", listening: listening, mpm: mpm)) { server in
            let first = try server.get("/who").variables["pid"]
            let load = Load(clients: 4) { [port = server.port] in
                let client = try RawClient(port: port)
                try client.request("GET /sleep/20 HTTP/1.1", ["Host: localhost", "Connection: close"])
                let answer = try client.response()
                return answer.status == 200 && pid_t(answer.text) != nil ? nil : "\(answer)"
            }
            let stream = Background { [port = server.port] in
                let client = try RawClient(port: port)
                try client.request("GET /stream/300 HTTP/1.1", ["Host: localhost", "Connection: close"])
                return try client.response().text
            }
            var before = server.daemons
            for restart in 1...3 {
                try load.waitForMore(20)
                server.graceful()
                try server.waitUntilResumed(restart + 1)
                try wait("two other processes") {
                    let now = server.daemons
                    return now.count == 2 && Set(now).isDisjoint(with: before)
                }
                before = server.daemons
            }
            try load.waitForMore(20)
            let (answered, failures) = try load.stop()
            #expect(failures == [])
            #expect(answered > 60)
            let lines = try stream.get().split(separator: "\n")
            #expect(lines.count == 300)
            #expect(Set(lines).count == 1)
            #expect(try server.get("/who").variables["pid"] != first)
        }
    }

    /// Two clients whose requests take ten milliseconds each.
    private func shortWaits(of server: Server) -> Load {
        Load(clients: 2) { [port = server.port] in
            let client = try RawClient(port: port)
            try client.request("GET /sleep/10 HTTP/1.1", ["Host: localhost", "Connection: close"])
            let answer = try client.response()
            return answer.status == 200 ? nil : "\(answer)"
        }
    }

    @Test func programThatIsReplaced() async throws {
        try await withServer(.servers("", "SwiftGIReload On")) { server in
            let old = try #require(server.get("/who").variables["pid"])
            let load = shortWaits(of: server)
            try FileManager.default.copyItem(atPath: "\(server.root)/server", toPath: "\(server.root)/new")
            try #require(rename("\(server.root)/new", "\(server.root)/server") == 0)
            let line = try server.errorLog.wait(for: "SGI0415")
            #expect(line.level == "notice")
            try wait("the old one's end") { !ProcessTable.isAlive(pid_t(old) ?? 0) }
            let (_, failures) = try load.stop()
            #expect(failures == [])
            #expect(try server.get("/who").variables["pid"] != old)
            #expect(server.errorLog.lines(with: "resuming normal operations").count == 1)
        }
    }

    /// Another command in the place of a group's is a new generation: nothing is away meanwhile.
    @Test func commandThatIsReplaced() async throws {
        let configuration = Configuration.servers()
        try await withServer(configuration) { server in
            let first = try server.get("/who").variables["arguments"] ?? ""
            #expect(first.hasPrefix("\(server.root)/server --socket /"), "\(first)")
            let load = shortWaits(of: server)
            try FileManager.default.copyItem(atPath: "\(server.root)/server", toPath: "\(server.root)/next")
            let lines = configuration.lines.replacing(
                "${root}/server --socket %{socket}\"",
                with: "${root}/next --port %{port}\" env=SERVER_GATE=${root}/scratch/gate")
            try server.writeConfiguration(lines)
            server.graceful()
            // As long as the other is not ready the first serves, though it listens at a socket.
            try server.waitUntilResumed(2)
            for _ in 0..<20 { #expect(try server.get("/who").variables["arguments"] == first) }
            try writeFile("\(server.root)/scratch/gate", "")
            try wait("the other program") {
                try server.get("/who").variables["arguments"]?.hasPrefix("\(server.root)/next --port ") == true
            }
            try wait("one process") { server.daemons.count == 1 }
            let (_, failures) = try load.stop()
            #expect(failures == [])
        }
    }

    /// Whoever is connected for longer than drain-timeout is cut off.
    @Test func streamThatDoesNotEnd() async throws {
        try await withServer(.servers("drain-timeout=1500ms"), permitting: ["AH0", "AH1"]) { server in
            let client = try server.connect()
            try client.request("GET /stream/100000 HTTP/1.1")
            #expect(try client.head().status == 200)
            let old = try #require(pid_t(String(decoding: client.chunk() ?? [], as: UTF8.self).dropLast()))
            server.graceful()
            try server.errorLog.wait(for: "SGI0414")
            usleep(1_000_000)
            #expect(ProcessTable.isAlive(old))
            #expect(try client.chunk() != nil)
            try wait("the end of the process") { !ProcessTable.isAlive(old) }
            #expect(throws: (any Error).self) {
                while try client.chunk() != nil { continue }
            }
        }
    }

    @Test func processOfAnAge() async throws {
        try await withServer(.servers("restart-interval=1s")) { server in
            let old = try server.get("/who").variables["pid"]
            let line = try server.errorLog.wait(for: "SGI0413")
            #expect(line.message.contains("restart-interval"))
            try wait("another process") { try server.get("/who").variables["pid"] != old }
        }
    }

    // MARK: Starts and deaths

    @Test(arguments: Listening.allCases)
    func crash(_ listening: Listening) async throws {
        try await withServer(.servers("", listening: listening), expecting: ["SGI0421"], permitting: ["AH0", "AH1"]) {
            server in
            let old = try server.get("/who").variables["pid"]
            #expect(try server.get("/end/139").status == 502)
            // Who comes while none is ready waits for the next.
            let answer = try server.get("/who")
            #expect(answer.status == 200)
            #expect(answer.variables["pid"] != old)
            let killed = try #require(answer.variables["pid"].flatMap { pid_t($0) })
            // Even while the supervisor does not know yet.
            let supervisor = try #require(server.supervisor)
            kill(supervisor, SIGSTOP)
            kill(killed, SIGKILL)
            try wait("its end") { !ProcessTable.isAlive(killed) }
            let body = [UInt8](repeating: 65, count: 200_000)
            let late = Background { [port = server.port] in
                let client = try RawClient(port: port)
                try client.request("POST /body HTTP/1.1", ["Host: localhost", "Content-Length: \(body.count)"])
                try client.send(body)
                return try client.response().body
            }
            try wait("a connection that is refused") { server.errorLog.lines(with: "AH01114").count == 1 }
            kill(supervisor, SIGCONT)
            #expect(try late.get() == body)
            let line = try server.errorLog.wait(for: "SGI0421")
            #expect(line.message.contains("signal 11"), "\(line)")
            #expect("\(line.pid)" == old)
            #expect(line.message.contains("[group shop]"), "\(line)")
        }
    }

    /// Starts are tried later and later; meanwhile nobody is kept waiting.
    @Test func programThatCannotStart() async throws {
        let configuration = Configuration.servers("env=SERVER_REFUSES=${root}/scratch/refuses").preparing {
            try writeFile("\($0)/scratch/refuses", "")
        }
        try await withServer(configuration, expecting: ["SGI0423", "SGI0424", "SGI0456"]) { server in
            try server.errorLog.wait(for: "SGI0424")
            let line = try #require(server.errorLog.lines(with: "SGI0423").first)
            #expect(line.message.contains("status 3, before it was ready"), "\(line)")
            let began = Date.now
            let answer = try wait("a refusal") {
                let answer = try server.get("/who")
                return answer.status == 503 ? answer : nil
            }
            #expect(answer["Retry-After"] == "30")
            #expect(Date.now.timeIntervalSince(began) < 10)
            try wait("five attempts") { server.errorLog.lines(with: "SGI0423").count >= 5 }
            try FileManager.default.removeItem(atPath: "\(server.root)/scratch/refuses")
            try wait("an answer") { try server.get("/who").status == 200 }
        }
    }

    @Test(arguments: Listening.allCases)
    func programThatIsNotReadyInTime(_ listening: Listening) async throws {
        let options = "startup-timeout=300ms env=SERVER_GATE=${root}/scratch/gate"
        let expected = ["SGI0412", "SGI0424", "SGI0456"]
        try await withServer(.servers(options, listening: listening), expecting: expected) { server in
            try server.errorLog.wait(for: "SGI0424")
            try wait("a refusal") { try server.get("/who").status == 503 }
            try server.open(gate: server.gate())
            try wait("an answer") { try server.get("/who").status == 200 }
        }
    }

    @Test func requestsWaitForTheFirstProcess() async throws {
        let options = "queue-limit=2 env=SERVER_GATE=${root}/scratch/gate"
        try await withServer(.servers(options), expecting: ["SGI0454"]) { server in
            let waiting = [try server.connect(), try server.connect()]
            for client in waiting { try client.request("GET /sleep/0 HTTP/1.1") }
            let refused = try wait("a refusal") {
                let answer = try? server.connect(0, timeout: 1).asked("GET /sleep/0 HTTP/1.1")
                return answer?.status == 503 ? answer : nil
            }
            #expect(refused["Retry-After"] == "30")
            try server.open(gate: server.gate())
            // One of the probes may have taken a place.
            for client in waiting {
                let status = try client.response().status
                #expect(status == 200 || status == 503)
            }
            #expect(try server.get("/sleep/0").status == 200)
        }
    }

    @Test func requestsDoNotWaitForEver() async throws {
        let options = "queue-timeout=300ms env=SERVER_GATE=${root}/scratch/gate"
        try await withServer(.servers(options), expecting: ["SGI0455"]) { server in
            #expect(try server.get("/who").status == 504)
            try server.open(gate: server.gate())
            try wait("an answer") { try server.get("/who").status == 200 }
        }
    }

    /// It listens, but does not serve yet.
    @Test(arguments: Listening.allCases)
    func readyPath(_ listening: Listening) async throws {
        let options = "ready-path=/health queue-timeout=200ms env=SERVER_ILL=${root}/scratch/ill"
        let configuration = Configuration.servers(options, listening: listening).preparing {
            try writeFile("\($0)/scratch/ill", "")
        }
        try await withServer(configuration, expecting: ["SGI0455"]) { server in
            try server.errorLog.wait(for: "serving")
            #expect(try server.get("/who").status == 504)
            #expect(server.errorLog.lines(with: "SGI0411").isEmpty)
            try FileManager.default.removeItem(atPath: "\(server.root)/scratch/ill")
            try server.errorLog.wait(for: "SGI0411")
            #expect(try server.get("/who").status == 200)
        }
    }

    /// A new process that is not well does not take over.
    @Test func newGenerationThatIsIll() async throws {
        let options = "ready-path=/health startup-timeout=500ms env=SERVER_ILL=${root}/scratch/ill"
        try await withServer(.servers(options), expecting: ["SGI0412"]) { server in
            let old = try server.get("/who").variables["pid"]
            try writeFile("\(server.root)/scratch/ill", "")
            server.graceful()
            try wait("two attempts") { server.errorLog.lines(with: "SGI0412").count >= 2 }
            #expect(try server.get("/who").variables["pid"] == old)
            try FileManager.default.removeItem(atPath: "\(server.root)/scratch/ill")
            try wait("another process") { try server.get("/who").variables["pid"] != old }
        }
    }

    // MARK: Addresses

    /// What the supervisor made goes with it; what a killed one left, with the next.
    @Test func filesAreRemoved() async throws {
        try await withServer(.servers("processes=2"), expecting: ["SGI0406"]) { server in
            try wait("two processes") { server.errorLog.lines(with: "SGI0411").count == 2 }
            let before = server.addresses()
            #expect(before.count == 4, "\(before)")
            let supervisor = try #require(server.supervisor)
            kill(supervisor, SIGKILL)
            try wait("another supervisor") { server.supervisor.map { $0 != supervisor } ?? false }
            try wait("two other processes") {
                let now = server.addresses()
                return now.count == 4 && Set(now).intersection(before).count == 2
            }
            #expect(try server.get("/who").status == 200)
            let remaining = "\(server.root)/run/swiftgi"
            #expect(await server.stop() == [])
            try wait("an empty directory") { try FileManager.default.contentsOfDirectory(atPath: remaining).isEmpty }
            try server.start()
        }
    }

    /// Somebody else listens at the port that was meant for the process.
    @Test func portOfAnotherUser() async throws {
        guard ServedAs.isRoot else { return }
        let options = "startup-timeout=5s env=SERVER_GATE=${root}/scratch/gate"
        let configuration = Configuration.servers(options, listening: .port)
        try await withServer(
            configuration, expecting: ["SGI0426"], permitting: ["SGI0412", "SGI0423", "Address already"]
        ) {
            server in
            let arguments = try wait("a process") {
                server.daemons.first.map { ProcessTable.commandLine(of: $0) }.flatMap {
                    $0.contains("--port") ? $0 : nil
                }
            }
            let port = try #require(
                arguments.split(whereSeparator: { " \0".contains($0) }).last.flatMap { Int($0) }, "\(arguments)")
            let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            var place = loopback(port)
            let size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let bound = withUnsafePointer(to: &place) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, size) }
            }
            #expect(bound == 0 && listen(listener, 1) == 0)
            try server.errorLog.wait(for: "SGI0426")
            #expect(server.errorLog.lines(with: "SGI0411").isEmpty)
            close(listener)
            try server.open(gate: server.gate())
            try wait("an answer") { try server.get("/who").status == 200 }
        }
    }

    /// A program that has a link at the place of its socket could lead requests anywhere.
    @Test func linkInThePlaceOfASocket() async throws {
        let script = "#!/bin/sh\nln -s \"$LEADS_TO\" \"$2\"\nexec sleep 600\n"
        let options = "startup-timeout=1s env=LEADS_TO=${root}/run/swiftgi/target.sock"
        let configuration = Configuration.servers(options).preparing {
            try FileManager.default.removeItem(atPath: "\($0)/server")
            try writeFile("\($0)/server", script)
            chmod("\($0)/server", 0o755)
            try makeDirectory("\($0)/run/swiftgi")
            let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            #expect(withAddress("\($0)/run/swiftgi/target.sock") { bind(listener, $0, $1) } == 0)
            #expect(listen(listener, 16) == 0)
        }
        try await withServer(configuration, expecting: ["SGI0425", "SGI0412"], permitting: ["SGI0424", "SGI0456"]) {
            server in
            let line = try server.errorLog.wait(for: "SGI0425")
            #expect(line.message.contains("/s is no socket"), "\(line)")
            try server.errorLog.wait(for: "SGI0412")
            #expect(server.errorLog.lines(with: "SGI0411").isEmpty)
            #expect(server.errorLog.lines(with: "SGI0425").count <= server.errorLog.lines(with: "SGI0412").count + 1)
        }
    }

    @Test func linkThatCannotBeMade() async throws {
        let configuration = Configuration.servers("queue-timeout=200ms").preparing {
            try makeDirectory("\($0)/run/swiftgi/shop.http.0")
        }
        try await withServer(configuration, expecting: ["SGI0427", "SGI0455"]) { server in
            let line = try server.errorLog.wait(for: "SGI0427")
            #expect(line.message.contains("shop.http.0"), "\(line)")
            #expect(try server.get("/who").status == 504)
        }
    }
}

extension Configuration {
    /// A process group, `shop`, of an HTTP server that has every path.
    ///
    /// - Parameter options: Of the group.
    static func servers(
        _ options: String = "", _ lines: String = "", listening: HTTPServerTests.Listening = .socket,
        mpm: MPM = .event, modules: [String] = []
    ) -> Configuration {
        let own = """
            SwiftGIDaemonProcess shop "command=${root}/server --\(listening) %{\(listening)}" \(options)
            SwiftGIServerAlias / shop

            """
        let all = ["proxy", "proxy_http"] + modules
        return Configuration(own + lines, mpm: mpm, modules: all).preparing {
            try FileManager.default.copyItem(atPath: Applications.server, toPath: "\($0)/server")
            chmod("\($0)/server", 0o755)
        }.embedded
    }
}

extension Server {
    /// What there is of the processes of a group with a command: directories of sockets, and links.
    func addresses(_ group: String = "shop") -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: socketDirectory)) ?? []
        return names.filter { $0.hasPrefix("\(group).http") }.sorted()
    }
}

extension RawClient {
    fileprivate func asked(_ requestLine: String) throws -> Response {
        try request(requestLine)
        return try response()
    }
}
