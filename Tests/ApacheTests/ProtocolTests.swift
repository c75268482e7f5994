import Foundation
import Testing

/// TLS and HTTP/2.
@Suite struct ProtocolTests {
    private func secure(_ lines: String = "", modules: [String] = [], mpm: Configuration.MPM = .event) -> Configuration
    {
        let all = """
            SSLSessionCache none
            SwiftGIScriptAlias /plain ${apps}/libBehaviour.so
            <VirtualHost *:${port2}>
            ServerName localhost
            SSLEngine On
            SSLCertificateFile ${root}/certificate.pem
            SSLCertificateKeyFile ${root}/key.pem
            <Location /plain>
            SSLOptions -StdEnvVars
            </Location>
            <Location /app>
            SSLOptions +StdEnvVars
            </Location>
            \(lines)
            </VirtualHost>
            """
        return Configuration.behaviour(
            all, mpm: mpm, modules: ["socache_shmcb", "ssl"] + modules, ports: 2,
            // What mod_ssl has to say of its OpenSSL is nobody's business here.
            logLevel: "info swiftgi:debug ssl:error"
        )
        .preparing { try Certificate.make(in: $0) }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func tls(_ mpm: Configuration.MPM) async throws {
        try await withServer(secure(mpm: mpm)) { server in
            let https = { (target: String) in server.url(target, scheme: "https", on: 1) }
            let variables = Response(text: try Curl.run(https("/app/variables")).body).variables
            #expect(variables["HTTPS"] == "on")
            #expect(variables["REQUEST_SCHEME"] == "https")
            #expect(variables["swiftgi.url_scheme"] == "https")
            #expect(variables["SERVER_PORT"] == "\(server.ports[1])")
            #expect(variables["SSL_PROTOCOL"]?.hasPrefix("TLSv1") == true)
            #expect(variables["SSL_CIPHER"] != nil)
            let bare = Response(text: try Curl.run(https("/plain/variables")).body).variables
            #expect(bare["HTTPS"] == "on")
            #expect(bare["SSL_CIPHER"] == nil)
            let open = try server.get("/app/variables").variables
            #expect(open["HTTPS"] == nil)
            #expect(open["SSL_CIPHER"] == nil)
            #expect(open["swiftgi.url_scheme"] == "http")
            #expect(try Curl.run(https("/app/push")).body == "piece 0\npiece 1\npiece 2\n")
            #expect(try Curl.run(https("/app/file?path=\(server.root)/htdocs/index.html")).body == "static\n")
            let upload = "\(server.root)/upload"
            try writeFile(upload, Data((0..<1_000_000).map { UInt8($0 % 251) }))
            #expect(try Curl.run(https("/app/count"), ["-T", upload]).body == "1000000 intact\n")
            #expect(
                try Curl.run(https("/app/count"), ["-T", upload, "-H", "Transfer-Encoding: chunked"]).body
                    == "1000000 intact\n")
        }
    }

    @Test func abortedUnderTLS() async throws {
        try await withServer(secure(), expecting: ["SGI0201", "SGI0204"]) { server in
            let late = try Curl.run(server.url("/app/throw-late", scheme: "https", on: 1))
            #expect(late.exitCode != 0, "\(late)")
            #expect(try Curl.run(server.url("/app/short", scheme: "https", on: 1)).exitCode == 18)
            let old = try Curl.run(server.url("/app/throw-late", scheme: "https", on: 1), ["--http1.0"])
            #expect(old.exitCode != 0, "\(old)")
        }
    }

    /// HTTP/2, in the clear and under TLS.
    @Test(arguments: [Configuration.MPM.event, .worker], [false, true])
    func http2(_ mpm: Configuration.MPM, _ isSecure: Bool) async throws {
        let configuration =
            isSecure
            ? secure("Protocols h2 http/1.1", modules: ["http2"], mpm: mpm)
            : Configuration.behaviour("Protocols h2c http/1.1", mpm: mpm, modules: ["http2"])
        try await withServer(configuration, expecting: ["SGI0201", "SGI0204", "SGI0205"]) { server in
            func curl(_ target: String, _ arguments: [String] = []) throws -> Curl.Transfer {
                isSecure
                    ? try Curl.run(server.url(target, scheme: "https", on: 1), ["--http2"] + arguments)
                    : try Curl.run(server.url(target), ["--http2-prior-knowledge"] + arguments)
            }
            let hello = try curl("/app/hello")
            #expect(hello.version == "2")
            #expect(hello.status == 200)
            #expect(hello.body == "Hello, world!\n")
            let variables = Response(text: try curl("/app/variables?q=1", ["-H", "X-One: a"]).body).variables
            #expect(variables["SERVER_PROTOCOL"] == "HTTP/2.0")
            #expect(variables["HTTP_X_ONE"] == "a")
            #expect(variables["HTTP_HOST"] == "localhost:\(server.ports[isSecure ? 1 : 0])")
            #expect(variables["QUERY_STRING"] == "q=1")
            if isSecure { #expect(variables["HTTPS"] == "on") }
            #expect(try curl("/app/push").body == "piece 0\npiece 1\npiece 2\n")
            #expect(try curl("/app/status?code=204").status == 204)
            #expect(try curl("/app/throw-early").status == 500)
            let upload = "\(server.root)/upload"
            try writeFile(upload, Data((0..<1_000_000).map { UInt8($0 % 251) }))
            #expect(try curl("/app/count", ["-T", upload]).body == "1000000 intact\n")
            // Small: mod_http2 resets streams of which much is unread.
            try writeFile("\(server.root)/small", "more than ten bytes")
            #expect(try curl("/app/collect?limit=10", ["-T", "\(server.root)/small"]).status == 413)
            #expect(try curl("/app/file?path=\(upload)", ["-o", "\(server.root)/download"]).exitCode == 0)
            #expect(FileManager.default.contentsEqual(atPath: upload, andPath: "\(server.root)/download"))
            let head = try curl("/app/hello", ["--head"])
            #expect(head.status == 200)
            #expect(head.body.lowercased().contains("content-length: 14"))
            // An incomplete response ends with RST_STREAM: curl's 92, or 18 for a short body.
            for target in ["/app/throw-late", "/app/short"] {
                let cut = try curl(target)
                #expect([92, 18, 56].contains(cut.exitCode), "\(target): \(cut)")
            }
            #expect(try curl("/app/hello").status == 200)
        }
    }

    /// As under HTTP/1: what a filter has kept back the client has not seen.
    @Test func failureBehindDeflateUnderHTTP2() async throws {
        let lines = "Protocols h2c http/1.1\nAddOutputFilterByType DEFLATE text/plain"
        let configuration = Configuration.compiled("response.c", lines, modules: ["http2", "deflate", "filter"])
        try await withServer(configuration) { server in
            for arguments in [[], ["--head"]] {
                let response = try Curl.run(
                    server.url("/c/cut/unflushed"),
                    ["--http2-prior-knowledge", "-H", "Accept-Encoding: gzip"] + arguments)
                #expect(response.status == 500, "\(response)")
                #expect(response.version == "2", "\(response)")
            }
        }
    }

    @Test func http2StreamsAreServedAtOnce() async throws {
        try await withServer(.behaviour("Protocols h2c http/1.1", modules: ["http2"], threads: 16)) { server in
            let url = server.url("/app/together?others=3")
            let result = try Command.run(
                "curl",
                ["-sS", "--http2-prior-knowledge", "--parallel", "--parallel-immediate", "--max-time", "30"] + [
                    url, url, url, url,
                ])
            #expect(result.output == String(repeating: "together\n", count: 4), "\(result)")
        }
    }

    @Test func http2ClientGone() async throws {
        try await withServer(
            .behaviour("Protocols h2c http/1.1", modules: ["http2"]),
            expecting: ["writing failed", "closed", "finished"]
        ) { server in
            let output = "\(server.root)/output"
            let command = try Command(
                "curl", ["-sSN", "--http2-prior-knowledge", "-o", output, server.url("/app/client-gone")])
            try wait("the response to flow") {
                let attributes = try? FileManager.default.attributesOfItem(atPath: output)
                return (attributes?[.size] as? Int ?? 0) > 0
            }
            kill(command.pid, SIGKILL)
            _ = try command.finish()
            try server.errorLog.wait(for: "finished")
            #expect(try server.get("/app/hello").status == 200)
        }
    }
}

extension Response {
    init(text: String) { body = Array(text.utf8) }
}
