import Foundation
import Glibc
import Testing

/// A trap takes its process down and nothing else.
@Suite(.embedded("It is httpd's child that crashes; DaemonTests has processes that do."))
struct CrashTests {
    /// The words of the runtime, of us, and of httpd's parent.
    private static let kinds = [
        ("bounds", "SIG"), ("unwrap", "SIG"), ("fatal", "SIG"), ("abort", "SIGABRT"), ("segv", "SIGSEGV"),
    ]

    @Test(arguments: Configuration.MPM.allCases)
    func nextRequestIsServed(_ mpm: Configuration.MPM) async throws {
        try await withServer(.behaviour(mpm: mpm), expecting: ["SGI0041", "Fatal error"]) { server in
            for (count, kind) in Self.kinds.enumerated() {
                let client = try server.connect()
                try client.request("GET /app/trap?kind=\(kind.0) HTTP/1.1")
                // The client is not kept waiting, and does not get half an answer.
                #expect(throws: (any Error).self) { try client.response() }
                let lines = try wait("the report") {
                    let lines = server.errorLog.rawLines.filter { $0.contains("SGI0041") }
                    return lines.count == count + 1 ? lines : nil
                }
                let report = String(lines[count])
                for part in ["Behaviour", kind.1, "GET", "/app/trap"] { #expect(report.contains(part), "\(report)") }
                #expect(try server.get("/app/hello").text == "Hello, world!\n")
            }
        }
    }

    @Test func reportNamesTheRequest() async throws {
        try await withServer(.behaviour(), expecting: ["SGI0041", "Fatal error: trapped on purpose"]) { server in
            _ = try? server.get("/app/trap?kind=fatal")
            let report = try wait("the report") { server.errorLog.rawLines.first { $0.contains("SGI0041") } }
            // The request's id is the one of its other lines.
            let message = try server.errorLog.wait(for: "trapped on purpose")
            #expect(message.requestID.count > 5)
            #expect(report.contains(message.requestID), "\(report)")
            #expect(try server.get("/app/hello").status == 200)
        }
    }

    @Test func trapInTheBody() async throws {
        try await withServer(.behaviour(), expecting: ["SGI0041"]) { server in
            let client = try server.connect()
            try client.request("GET /app/trap-late HTTP/1.1")
            let head = try client.head()
            #expect(head.status == 200)
            #expect(throws: (any Error).self) { try client.body(of: head) }
            #expect(try server.get("/app/hello").status == 200)
        }
    }

    /// Requests of other processes go on.
    @Test func otherProcessesGoOn() async throws {
        let configuration = Configuration.behaviour(mpm: .prefork, children: 2, threads: 4)
        try await withServer(configuration, expecting: ["SGI0041", "waiting for"]) { server in
            let gate = server.gate()
            let port = server.port
            let waiting = Background {
                let client = try RawClient(port: port)
                try client.request("GET /app/wait-for?path=\(gate) HTTP/1.1", ["Host: localhost", "Connection: close"])
                return try client.response().text
            }
            try server.errorLog.wait(for: "waiting for")
            _ = try? server.get("/app/trap?kind=unwrap")
            #expect(try server.get("/app/hello").status == 200)
            try server.open(gate: gate)
            let text = try waiting.get()
            #expect(text == "waited\n")
        }
    }

    /// An application that cannot start does not take the others down for ever.
    @Test(arguments: Configuration.MPM.allCases)
    func trapAtStart(_ mpm: Configuration.MPM) async throws {
        let lines = "SwiftGIScriptAlias /hello ${apps}/libHello.so"
        let configuration = Configuration.compiled("lifecycle.c", lines, defining: ["TRAPS"], mpm: mpm)
        try await withServer(configuration, expecting: ["SGI0041", "SGI0024"]) { server in
            let line = try server.errorLog.wait(for: "SGI0024")
            #expect(line.message.contains("libC.so"), "\(line)")
            for _ in 0..<3 {
                let response = try server.get("/c")
                #expect(response.status == 503)
                #expect(response["Retry-After"] == "30")
                #expect(try server.get("/hello").text == "Hello, world!\n")
            }
            let reports = server.errorLog.rawLines.filter { $0.contains("SGI0041") }
            // Prefork may start two at a time.
            #expect(mpm.isThreaded ? reports.count == 3 : reports.count >= 3)
            for report in reports {
                for part in ["application lifecycle", "SIG", "while it was being started"] {
                    #expect(report.contains(part), "\(report)")
                }
            }
            #expect(!mpm.isThreaded || server.children == [line.pid])
        }
    }

    /// Threads of an application report their crashes too.
    @Test(arguments: Configuration.MPM.allCases)
    func trapOnAnotherThread(_ mpm: Configuration.MPM) async throws {
        try await withServer(.compiled("lifecycle.c", mpm: mpm), expecting: ["SGI0041"]) { server in
            _ = try? server.get("/c/trap")
            let report = try wait("the report in\n\(readText(server.errorLog.path))") {
                server.errorLog.rawLines.first { $0.contains("SGI0041") }
            }
            #expect(report.contains("on a thread that served no request"), "\(report)")
            // The report comes first: until it is dead the process may accept a connection.
            try wait("a new process to answer") { (try? server.get("/c"))?.text == "alive\n" }
        }
    }

    /// The toolchain's, or what the tests are told.
    private static let backtracer: String? = {
        if let path = Paths.environment("SWIFTGI_BACKTRACER") { return path }
        let swift =
            (try? Command.run(
                "sh", ["-c", "readlink -f $(command -v swift)"], environment: ["PATH": Paths.environment("PATH") ?? ""]))?
            .output ?? ""
        let path = swift.split(separator: "\n").first.map { String($0) }.map {
            ($0 as NSString).deletingLastPathComponent + "/../libexec/swift/linux/swift-backtrace-static"
        }
        guard let path, access(path, X_OK) == 0 else { return nil }
        return URL(filePath: path).standardized.path(percentEncoded: false)
    }()

    @Test(arguments: Configuration.MPM.allCases)
    func backtrace(_ mpm: Configuration.MPM) async throws {
        let backtracer = try #require(Self.backtracer, "the toolchain has no swift-backtrace-static")
        try await withServer(
            .behaviour("SwiftGIBacktrace \(backtracer)", mpm: mpm), expecting: ["SGI0041"], rawLines: true
        ) { server in
            let client = try server.connect()
            try client.request("GET /app/trap?kind=bounds HTTP/1.1")
            #expect(throws: (any Error).self) { try client.response() }
            try wait("the backtrace in\n\(readText(server.errorLog.path))", for: 60) {
                readText(server.errorLog.path).contains("trapOutOfBounds")
            }
            #expect(server.errorLog.rawLines.contains { $0.contains("SGI0041") })
            #expect(try server.get("/app/hello").status == 200)
            // The process is gone in the end.
            try wait("one process") { server.children.count == 1 || mpm == .prefork }
        }
    }

    @Test func backtraceOff() async throws {
        try await withServer(.behaviour(), expecting: ["SGI0041"]) { server in
            _ = try? server.get("/app/trap?kind=unwrap")
            let next = try server.get("/app/hello")
            #expect(next.status == 200)
            #expect(!readText(server.errorLog.path).contains("trapUnwrapping"))
        }
    }

    @Test func backtracerThatIsNotThere() async throws {
        try await withServer(.behaviour("SwiftGIBacktrace /no/such/program"), expecting: ["SGI0040"]) { server in
            let line = try server.errorLog.wait(for: "SGI0040")
            #expect(line.message.contains("/no/such/program"))
            #expect(try server.get("/app/hello").status == 200)
        }
    }
}
