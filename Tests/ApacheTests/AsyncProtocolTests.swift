import Foundation
import Glibc
import Testing

/// Requests that wait, under TLS and HTTP/2.
@Suite struct AsyncProtocolTests {
    private func secure(_ lines: String = "", modules: [String] = [], mpm: Configuration.MPM = .event) -> Configuration
    {
        let host = """
            SSLSessionCache none
            <VirtualHost *:${port2}>
            ServerName localhost
            SSLEngine On
            SSLCertificateFile ${root}/certificate.pem
            SSLCertificateKeyFile ${root}/key.pem
            \(lines)
            </VirtualHost>
            """
        return Configuration.waiting(
            host, mpm: mpm, modules: ["socache_shmcb", "ssl"] + modules, threads: 4, ports: 2,
            logLevel: "info swiftgi:debug ssl:error"
        )
        .preparing { try Certificate.make(in: $0) }
    }

    private func clear(_ lines: String = "", mpm: Configuration.MPM = .event) -> Configuration {
        .waiting("Protocols h2c http/1.1\nKeepAliveTimeout 20\n" + lines, mpm: mpm, modules: ["http2"], threads: 8)
    }

    // MARK: TLS

    @Test(arguments: Configuration.MPM.allCases)
    func tls(_ mpm: Configuration.MPM) async throws {
        try await withServer(secure(mpm: mpm)) { server in
            let url = { (target: String) in server.url(target, scheme: "https", on: 1) }
            #expect(try Curl.run(url("/wait/sleep?ms=10")).body == "slept\n")
            #expect(try Curl.run(url("/wait/events?count=3")).body == "event 0\nevent 1\nevent 2\nend\n")
            let upload = "\(server.root)/upload"
            try writeFile(upload, Data((0..<1_000_000).map { UInt8($0 % 251) }))
            #expect(try Curl.run(url("/wait/count"), ["-T", upload]).body == "1000000 intact\n")
            #expect(
                try Curl.run(url("/wait/count"), ["-T", upload, "-H", "Transfer-Encoding: chunked"]).body
                    == "1000000 intact\n")
            #expect(
                try Curl.run(url("/wait/bytes?count=1000000"), ["-o", "\(server.root)/download"]).exitCode == 0)
            #expect(FileManager.default.contentsEqual(atPath: upload, andPath: "\(server.root)/download"))
            // One connection, suspended requests and plain ones.
            let result = try Command.run(
                "curl",
                ["-sS", "--insecure", "--max-time", "30", "--write-out", "%{num_connects}\n"]
                    + ["/wait/sleep", "/app/hello", "/wait/events?count=1", "/wait/sleep"].map(url))
            #expect(result.output == "slept\n1\nHello, world!\n0\nevent 0\nend\n0\nslept\n0\n", "\(result)")
        }
    }

    /// Several requests in one record.
    @Test func pipeliningUnderTLS() async throws {
        try await withServer(secure()) { server in
            let requests = ["/wait/sleep", "/app/hello", "/wait/events?count=1", "/wait/hops?count=5"].map {
                "GET \($0) HTTP/1.1\r\nHost: localhost\r\n\r\n"
            }
            try writeFile(
                "\(server.root)/requests",
                requests.joined() + "GET /wait/sleep HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            let result = try Command.run(
                "openssl", ["s_client", "-connect", "127.0.0.1:\(server.ports[1])", "-quiet", "-ign_eof"],
                input: "\(server.root)/requests")
            let texts = ["slept\n", "Hello, world!\n", "event 0\n", "end\n", "5\n", "slept\n"]
            var rest = result.output[...]
            for text in texts {
                let found = try #require(rest.range(of: text), "\(text) in \(result)")
                rest = rest[found.upperBound...]
            }
        }
    }

    @Test func waitingRequestsUnderTLSHoldNoThread() async throws {
        try await withServer(secure()) { server in
            let commands = try (0..<15).map { number in
                try Command(
                    "curl",
                    [
                        "-sS", "--insecure", "--max-time", "60",
                        server.url(
                            "/wait/gate\(number % 2 == 0 ? "" : "-midway")?gate=\(server.gate())", scheme: "https",
                            on: 1),
                    ])
            }
            try server.waitForJournal("waiting", times: 15)
            #expect(try server.get("/app/hello").status == 200)
            #expect(try Curl.run(server.url("/wait/sleep", scheme: "https", on: 1)).body == "slept\n")
            try server.open(gate: server.gate())
            for (number, command) in commands.enumerated() {
                #expect(try command.finish().output == (number % 2 == 0 ? "passed\n" : "before\nafter\n"))
            }
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func clientGoesUnderTLS(_ mpm: Configuration.MPM) async throws {
        try await withServer(secure(mpm: mpm)) { server in
            for (round, route) in ["hold", "hold-midway", "endless"].enumerated() {
                let output = "\(server.root)/output-\(round)"
                let command = try Command(
                    "curl",
                    ["-sSN", "--insecure", "-o", output, server.url("/wait/\(route)", scheme: "https", on: 1)])
                if route == "endless" {
                    try wait("the stream to flow") { !readText(output).isEmpty }
                } else {
                    try server.waitForJournal("waiting", times: round + 1)
                }
                kill(command.pid, SIGKILL)
                _ = try command.finish()
                if route != "endless" {
                    try wait("the handler to end") { server.errorLog.lines(with: "held: Canc").count == round + 1 }
                }
            }
            try server.errorLog.wait(for: "endless ended: clientGone")
            #expect(try server.get("/wait/sleep").text == "slept\n")
        }
    }

    @Test func abortedUnderTLS() async throws {
        try await withServer(secure("SwiftGIRequestTimeout 200ms"), expecting: ["SGI0216"]) { server in
            let url = { (target: String) in server.url(target, scheme: "https", on: 1) }
            #expect(try Curl.run(url("/wait/hold")).status == 504)
            let cut = try Curl.run(url("/wait/hold-midway"))
            #expect(cut.exitCode != 0, "\(cut)")
            let old = try Curl.run(url("/wait/hold-midway"), ["--http1.0"])
            #expect(old.exitCode != 0, "\(old)")
        }
    }

    // MARK: HTTP/2

    @Test(arguments: [Configuration.MPM.event, .worker], [false, true])
    func http2(_ mpm: Configuration.MPM, _ isSecure: Bool) async throws {
        let configuration =
            isSecure ? secure("Protocols h2 http/1.1", modules: ["http2"], mpm: mpm) : clear(mpm: mpm)
        try await withServer(configuration) { server in
            func curl(_ target: String, _ arguments: [String] = []) throws -> Curl.Transfer {
                isSecure
                    ? try Curl.run(server.url(target, scheme: "https", on: 1), ["--http2"] + arguments)
                    : try Curl.run(server.url(target), ["--http2-prior-knowledge"] + arguments)
            }
            let hello = try curl("/wait/hello")
            #expect(hello.version == "2")
            #expect(hello.body == "Hello, world!\n")
            #expect(try curl("/wait/sleep?ms=20").body == "slept\n")
            #expect(try curl("/wait/events?count=3").body == "event 0\nevent 1\nevent 2\nend\n")
            #expect(try curl("/wait/task-group").body == "55\n")
            let upload = "\(server.root)/upload"
            try writeFile(upload, Data((0..<1_000_000).map { UInt8($0 % 251) }))
            #expect(try curl("/wait/count", ["-T", upload]).body == "1000000 intact\n")
            #expect(try curl("/wait/bytes?count=1000000", ["-o", "\(server.root)/download"]).exitCode == 0)
            #expect(FileManager.default.contentsEqual(atPath: upload, andPath: "\(server.root)/download"))
            #expect(try curl("/wait/echo", ["-T", upload, "-o", "\(server.root)/echo"]).exitCode == 0)
            #expect(FileManager.default.contentsEqual(atPath: upload, andPath: "\(server.root)/echo"))
            // A stream that is complete is not one that was left.
            #expect(server.errorLog.lines(with: "SGI0202").isEmpty)
        }
    }

    @Test func http2Streams() async throws {
        try await withServer(clear()) { server in
            let client = try HTTP2Client(port: server.port)
            // Several wait at once on one connection, and a plain one is answered meanwhile.
            for stream in [1, 3, 5] {
                try client.request("GET", "/wait/gate?gate=\(server.gate())", stream: stream)
            }
            try server.waitForJournal("waiting", times: 3)
            try client.request("GET", "/app/hello", stream: 7)
            #expect(try client.body(stream: 7) == Array("Hello, world!\n".utf8))
            try server.open(gate: server.gate())
            #expect(try client.body(stream: 5) == Array("passed\n".utf8))
        }
    }

    @Test(arguments: [Configuration.MPM.event, .worker])
    func http2FullDuplex(_ mpm: Configuration.MPM) async throws {
        try await withServer(clear(mpm: mpm)) { server in
            let client = try HTTP2Client(port: server.port)
            try client.request("POST", "/wait/echo", stream: 1, hasBody: true)
            #expect(try client.next(stream: 1).kind == .headers)
            for word in ["one", "two", "three"] {
                try client.sendData(word, stream: 1)
                let frame = try client.next(stream: 1)
                #expect(frame.kind == .data)
                #expect(frame.payload == Array(word.utf8))
            }
            try client.sendData("", stream: 1, isLast: true)
            #expect(try client.body(stream: 1) == [])
        }
    }

    @Test(arguments: [Configuration.MPM.event, .worker])
    func http2StreamReset(_ mpm: Configuration.MPM) async throws {
        try await withServer(clear(mpm: mpm)) { server in
            let client = try HTTP2Client(port: server.port)
            for (round, route) in ["hold", "hold-midway"].enumerated() {
                let stream = 2 * round + 1
                try client.request("GET", "/wait/\(route)", stream: stream)
                try server.waitForJournal("waiting", times: round + 1)
                // A reset while it sends a head makes mod_http2 close the connection.
                if route == "hold-midway" { #expect(try client.next(stream: stream).kind == .headers) }
                try client.reset(stream: stream)
                try wait("the handler to end") { server.errorLog.lines(with: "held:").count == round + 1 }
                let line = try #require(server.errorLog.lines(with: "held:").last)
                #expect(line.message.contains("CancellationError(), cancelled true, writing clientGone"), "\(line)")
            }
            // While it waits for its body, and for the rest of it. Without a length httpd can't always
            // tell a stream that was reset from one that has ended.
            for (stream, part) in [(5, ""), (7, "a part")] {
                try client.request("POST", "/wait/await-body", stream: stream, hasBody: true, length: 10)
                try client.sendData(part, stream: stream)
                try server.waitForJournal("waiting", times: (stream + 1) / 2)
                try client.reset(stream: stream)
                try wait("reading to fail") {
                    server.errorLog.lines(with: "reading failed: clientGone").count == (stream - 3) / 2
                }
            }
            // While nobody takes what it writes.
            try client.request("GET", "/wait/endless", stream: 9)
            #expect(try client.next(stream: 9).kind == .headers)
            try client.reset(stream: 9)
            try server.errorLog.wait(for: "endless ended: clientGone")
            // The connection goes on.
            try client.request("GET", "/wait/sleep", stream: 11)
            #expect(try client.body(stream: 11) == Array("slept\n".utf8))
        }
    }

    @Test(arguments: [Configuration.MPM.event, .worker])
    func http2ClientGoes(_ mpm: Configuration.MPM) async throws {
        try await withServer(clear(mpm: mpm)) { server in
            let client = try HTTP2Client(port: server.port)
            for stream in [1, 3, 5] { try client.request("GET", "/wait/hold", stream: stream) }
            try server.waitForJournal("waiting", times: 3)
            client.close()
            try wait("the handlers to end") { server.errorLog.lines(with: "held: Canc").count == 3 }
            #expect(try server.get("/wait/sleep").text == "slept\n")
        }
    }

    @Test(arguments: [Configuration.MPM.event, .worker])
    func http2Deadline(_ mpm: Configuration.MPM) async throws {
        try await withServer(clear("SwiftGIRequestTimeout 300ms", mpm: mpm), expecting: ["SGI0216"]) { server in
            let url = server.url("/wait/hold")
            #expect(try Curl.run(url, ["--http2-prior-knowledge"]).status == 504)
            let cut = try Curl.run(server.url("/wait/hold-midway"), ["--http2-prior-knowledge"])
            #expect([92, 18, 56].contains(cut.exitCode), "\(cut)")
            // With a body that does not come.
            let client = try HTTP2Client(port: server.port)
            try client.request("POST", "/wait/await-body", stream: 1, hasBody: true)
            let text = try client.body(stream: 1).map { String(decoding: $0, as: UTF8.self) }
            #expect(text?.contains("504 Gateway Timeout") == true, "\(text ?? "reset")")
            try client.request("GET", "/wait/sleep", stream: 3)
            #expect(try client.body(stream: 3) == Array("slept\n".utf8))
        }
    }

    /// A stream that nobody reads holds back its handler, and no other stream.
    @Test(arguments: [Configuration.MPM.event, .worker])
    func http2Backpressure(_ mpm: Configuration.MPM) async throws {
        try await withServer(clear(mpm: mpm)) { server in
            let child = try #require(server.children.first)
            let client = try HTTP2Client(port: server.port)
            try client.request("GET", "/wait/endless", stream: 1)
            let accepted = try server.accepted()
            // The window, what mod_http2 keeps of a stream, and what is on its way.
            #expect(accepted > 65535 && accepted < 1_000_000, "\(accepted)")
            #expect(server.children == [child])
            client.close()
            try server.errorLog.wait(for: "endless ended: clientGone")
        }
    }

    /// 103 and trailers, as a client of HTTP/2 sees them.
    @Test(arguments: [Configuration.MPM.event, .worker])
    func http2HintsAndTrailers(_ mpm: Configuration.MPM) async throws {
        try await withServer(clear("H2EarlyHints On", mpm: mpm)) { server in
            try server.open(gate: server.gate())
            let hints = try Command.run(
                "nghttp", ["--verbose", "http://127.0.0.1:\(server.port)/wait/hints?gate=\(server.gate())"])
            let first = try #require(hints.output.range(of: ":status: 103"), "\(hints)")
            let link = try #require(hints.output.range(of: "link: </style.css>; rel=preload"), "\(hints)")
            let final = try #require(hints.output.range(of: ":status: 200"), "\(hints)")
            #expect(first.lowerBound < link.lowerBound && link.lowerBound < final.lowerBound)
            #expect(hints.output.contains("hinted\n"))
            let trailers = try Command.run(
                "nghttp", ["--verbose", "http://127.0.0.1:\(server.port)/wait/trailers"])
            let body = try #require(trailers.output.range(of: "body\n"), "\(trailers)")
            let trailer = try #require(trailers.output.range(of: "x-checksum: 42"), "\(trailers)")
            #expect(body.lowerBound < trailer.lowerBound)
            // Those of a request.
            let upload = "\(server.root)/upload"
            try writeFile(upload, "body")
            let sent = try Command.run(
                "nghttp",
                [
                    "--data", upload, "--trailer", "x-one: a",
                    "http://127.0.0.1:\(server.port)/wait/request-trailers",
                ])
            #expect(Response(text: sent.output).variables["X-One"] == "a", "\(sent)")
        }
    }

    @Test(arguments: [false, true])
    func http2Restart(_ isSlow: Bool) async throws {
        let configuration = clear("GracefulShutdownTimeout 2")
        try await withServer(configuration, expecting: isSlow ? ["SGI0217"] : []) { server in
            let before = server.children
            let client = try HTTP2Client(port: server.port)
            try client.request("GET", isSlow ? "/wait/hold" : "/wait/until-stop", stream: 1)
            try server.waitForJournal("waiting", times: 1)
            server.graceful()
            let text = try client.body(stream: 1).map { String(decoding: $0, as: UTF8.self) } ?? "reset"
            if isSlow {
                #expect(text.contains("503 Service Unavailable"))
            } else {
                #expect(text == "begin\ngoodbye\n")
            }
            client.close()
            try wait("the old processes to end") { server.children.allSatisfy { !before.contains($0) } }
        }
    }
}
