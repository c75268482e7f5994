import Foundation
import Testing

/// Responses: their heads, their framing, and what befalls those that go wrong.
@Suite struct ResponseTests {
    @Test func heads() async throws {
        try await withServer(.behaviour()) { server in
            let hello = try server.get("/app/hello")
            #expect(hello.status == 200)
            #expect(hello.reason == "OK")
            #expect(hello["Content-Type"] == "text/plain")
            #expect(hello["Content-Length"] == "14")
            #expect(hello["Transfer-Encoding"] == nil)
            #expect(hello["Date"] != nil)
            #expect(hello["Server"]?.hasPrefix("Apache") == true)
            #expect(hello["Server"]?.contains("mod_swiftgi") == true)
            #expect(try server.get("/app/set-cookie").all("Set-Cookie") == ["a=1", "b=2"])
            #expect(try server.get("/app/redirect?to=/elsewhere")["Location"] == "/elsewhere")
            #expect(try server.get("/app/redirect?to=/elsewhere").status == 302)
            #expect(try server.get("/app/status?code=418&reason=teapot").reason == "teapot")
            #expect(try server.get("/app/status?code=299").status == 299)
            #expect(try server.get("/app/status?code=599").status == 599)
            #expect(try server.get("/app/chunks").text == "one\ntwo\n")
            #expect(try server.get("/app/chunks")["Content-Length"] == "8")
            let replaced = try server.get("/app/replace")
            #expect(replaced.status == 503)
            #expect(replaced["X-First"] == nil)
            #expect(replaced["Content-Type"] == "text/plain")
            #expect(replaced.text == "replaced\n")
        }
    }

    @Test func statusesWithoutBody() async throws {
        try await withServer(.behaviour()) { server in
            let client = try server.connect()
            for status in [204, 304] {
                try client.request("GET /app/status?code=\(status)&body=ignored HTTP/1.1")
                let response = try client.response()
                #expect(response.status == status)
                #expect(response["Content-Length"] == nil)
                #expect(response["Transfer-Encoding"] == nil)
                if status == 204 { #expect(response["Content-Type"] == nil) }
            }
            // The connection is still in step.
            try client.request("GET /app/hello HTTP/1.1")
            #expect(try client.response().text == "Hello, world!\n")
            // Empty bodies of other statuses have a length.
            #expect(try server.get("/app/status?code=404")["Content-Length"] == "0")
            #expect(try server.get("/app/status?code=205").body.isEmpty)
        }
    }

    @Test func head() async throws {
        try await withServer(.behaviour()) { server in
            let client = try server.connect()
            for path in [
                "/hello", "/push", "/big?bytes=1000000&length=yes", "/file?path=/etc/passwd", "/status?code=404&body=x",
            ] {
                let get = try server.get("/app\(path)")
                try client.request("HEAD /app\(path) HTTP/1.1")
                let head = try client.response(to: "HEAD")
                #expect(head.status == get.status)
                #expect(head["Content-Type"] == get["Content-Type"])
                if get["Content-Length"] != nil { #expect(head["Content-Length"] == get["Content-Length"], "\(path)") }
            }
            try client.request("GET /app/hello HTTP/1.1")
            #expect(try client.response().text == "Hello, world!\n")
        }
    }

    @Test func informational() async throws {
        try await withServer(.behaviour(), expecting: ["SGI0208"]) { server in
            for code in [100, 101, 103, 199, 600, 999] {
                #expect(try server.get("/app/bad-status?code=\(code)").status == 500, "\(code)")
            }
            let response = try server.get("/app/hello")
            #expect(response.status == 200)
        }
    }

    @Test func contractBreaches() async throws {
        try await withServer(.behaviour(), expecting: ["SGI0208", "SGI0201"]) { server in
            for path in [
                "bad-field?name=Connection&value=close", "bad-field?name=Transfer-Encoding&value=chunked",
                "bad-field?name=Keep-Alive", "bad-field?name=Upgrade&value=x", "start-twice", "never-started",
                "throw-early",
                "throw-started", "throw-body",
            ] {
                let response = try server.get("/app/\(path)")
                #expect(response.status == 500, "\(path)")
                #expect(response.text.contains("Internal Server Error"), "\(path)")
                #expect(!response.text.contains("thrown"), "\(path)")
            }
            let line = try server.errorLog.wait(for: "thrown early")
            #expect(line.message.contains("SGI0201"))
            #expect(line.requestID.count > 5)
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func abortedResponses(_ mpm: Configuration.MPM) async throws {
        try await withServer(.behaviour(mpm: mpm), expecting: ["SGI0201", "SGI0204"]) { server in
            // Chunked: no last chunk.
            let chunked = try server.connect()
            try chunked.request("GET /app/throw-late HTTP/1.1")
            let head = try chunked.head()
            #expect(head.status == 200)
            #expect(throws: WireError.noLastChunk(received: 7)) { try chunked.body(of: head) }
            // Content-Length: too few bytes.
            let counted = try server.connect()
            try counted.request("GET /app/throw-late?length=yes HTTP/1.1")
            #expect(throws: WireError.shortBody(received: 7, of: 1000)) { try counted.response() }
            // HTTP/1.0: only a reset tells.
            let old = try server.connect()
            try old.request("GET /app/throw-late HTTP/1.0")
            #expect(throws: WireError.reset) { try old.response() }
            // The application itself sends too little.
            let short = try server.connect()
            try short.request("GET /app/short HTTP/1.1")
            #expect(throws: WireError.shortBody(received: 5, of: 10)) { try short.response() }
        }
    }

    @Test func tooLong() async throws {
        try await withServer(.behaviour(), expecting: ["SGI0203"]) { server in
            let client = try server.connect()
            try client.request("GET /app/long HTTP/1.1")
            #expect(try client.response().text == "long")
            try client.request("GET /app/hello HTTP/1.1")
            #expect(try client.response().text == "Hello, world!\n")
        }
    }

    /// What an application in C announced, the module holds it to.
    @Test func announcedLength() async throws {
        try await withServer(.compiled("response.c"), expecting: ["SGI0039", "SGI0042"]) { server in
            for path in ["", "/pieces"] {
                let client = try server.connect()
                try client.request("GET /c/long\(path) HTTP/1.1")
                let response = try client.response()
                #expect(response["Content-Length"] == "5")
                #expect(response.text == "01234")
                try client.request("GET /c/short\(path) HTTP/1.1")
                #expect(throws: WireError.shortBody(received: 5, of: 500)) { try client.response() }
            }
            let reports = server.errorLog.lines(with: "SGI0039").map(\.message)
            #expect(reports.count == 4)
            for (report, difference) in zip(reports, [40, -495, 40, -495]) {
                #expect(report.contains("by \(difference) bytes"))
            }
        }
    }

    /// The answer to HEAD is complete with its head: there is nothing to cut short.
    @Test(arguments: ["1.0", "1.1"])
    func failureBehindTheHead(_ version: String) async throws {
        try await withServer(.compiled("response.c")) { server in
            for path in ["/c/cut/unflushed", "/c/cacheable/cut"] {
                let client = try server.connect()
                try client.request("HEAD \(path) HTTP/\(version)")
                #expect(try client.response(to: "HEAD").status == 200, "\(path)")
                #expect(try client.endsProperly(), "\(path)")
            }
        }
    }

    /// What an application comes to after its response is complete does not concern the client.
    @Test func failureAfterTheLastPiece() async throws {
        try await withServer(.compiled("response.c")) { server in
            let client = try server.connect()
            for _ in 0..<2 {
                try client.request("GET /c/complete/failed HTTP/1.1")
                let response = try client.response()
                #expect(response.status == 200)
                #expect(response.text == "complete\n")
                #expect(response["Connection"] == nil)
            }
        }
    }

    @Test func piecesAreSentAtOnce() async throws {
        try await withServer(.behaviour()) { server in
            let gate = server.gate()
            let client = try server.connect()
            try client.request("GET /app/gated?path=\(gate) HTTP/1.1")
            let head = try client.head()
            #expect(head["Transfer-Encoding"] == "chunked")
            #expect(try client.chunk() == Array("first\n".utf8))
            #expect(client.isSilent)
            try server.open(gate: gate)
            #expect(try client.chunk() == Array("second\n".utf8))
            #expect(try client.chunk() == nil)
        }
    }

    // MARK: Files

    private func file(_ size: Int) -> Configuration {
        Configuration.behaviour("EnableSendfile On\nEnableMMAP On").preparing { root in
            try writeFile("\(root)/htdocs/data", Data((0..<size).map { UInt8($0 % 251) }))
        }
    }

    @Test func files() async throws {
        try await withServer(file(200_000)) { server in
            let path = "\(server.root)/htdocs/data"
            let content = (0..<200_000).map { UInt8($0 % 251) }
            let whole = try server.get("/app/file?path=\(path)")
            #expect(whole.body == content)
            #expect(whole["Content-Length"] == "200000")
            #expect(try server.get("/app/file?path=\(path)&offset=1000&length=5").body == Array(content[1000..<1005]))
            #expect(try server.get("/app/file?path=\(path)&offset=199999").body == [content[199_999]])
            #expect(try server.get("/app/file?path=\(path)&offset=200000").body == [])
            #expect(try server.get("/app/file?path=\(path)&length=300000").body.count == 200_000)
            #expect(try server.get("/app/file?path=\(path)&keep=yes").body == content)
            #expect(try server.get("/app/file?path=\(server.root)/absent").status == 404)
            #expect(try server.get("/app/pipe").text == "through a pipe\n")
            // On one connection, small and large.
            let client = try server.connect()
            for length in [0, 1, 200_000, 7] {
                try client.request("GET /app/file?path=\(path)&length=\(length) HTTP/1.1")
                #expect(try client.response().body == Array(content.prefix(length)))
            }
        }
    }

    @Test func fileThatIsShorterThanDeclared() async throws {
        try await withServer(file(1000), expecting: ["SGI0204"]) { server in
            let client = try server.connect()
            try client.request("GET /app/file?path=\(server.root)/htdocs/data&declared=2000 HTTP/1.1")
            #expect(throws: WireError.shortBody(received: 1000, of: 2000)) { try client.response() }
        }
    }

    /// What httpd gives up as if the client had gone is the file's fault, and is said to be.
    @Test(arguments: ["EnableMMAP On", "EnableMMAP Off"])
    func fileThatBecameShorter(_ lines: String) async throws {
        try await withServer(.compiled("response.c", lines), expecting: ["SGI0038"]) { server in
            let client = try server.connect()
            try client.request("GET /c/file/behind HTTP/1.1")
            #expect(throws: (any Error).self) { try client.response() }
            try server.errorLog.wait(for: "SGI0038")
            #expect(server.errorLog.lines(with: "SGI0036").isEmpty)
        }
    }

    /// File bodies are sent by the system, or mapped: nothing reads them.
    @Test(arguments: [
        ("EnableSendfile On", ["sendfile"]), ("EnableMMAP On", ["mmap"]), ("EnableMMAP Off\nEnableSendfile Off", []),
    ])
    func filesAreNotCopied(_ lines: String, _ calls: [String]) async throws {
        var configuration = Configuration.behaviour(lines).preparing { root in
            try writeFile("\(root)/htdocs/data", Data((0..<200_000).map { UInt8($0 % 251) }))
            try Applications.compile("calls.c", to: "\(root)/libCalls.so")
            // Others may map something before: the one who makes the file must not be its only writer.
            try writeFile("\(root)/scratch/calls", "", mode: 0o666)
        }
        configuration.environment = ["LD_PRELOAD": "${root}/libCalls.so", "CALLS": "${root}/scratch/calls"]
        try await withServer(configuration) { server in
            let path = "\(server.root)/htdocs/data"
            let whole = try server.get("/app/file?path=\(path)")
            #expect(whole.body == (0..<200_000).map { UInt8($0 % 251) })
            let made = readText("\(server.root)/scratch/calls").split(separator: "\n").filter { $0.hasSuffix(path) }
            #expect(made == calls.map { "\($0) \(path)" })
        }
    }

    @Test func ranges() async throws {
        try await withServer(file(1000)) { server in
            let target = "/app/file?path=\(server.root)/htdocs/data"
            let content = (0..<1000).map { UInt8($0 % 251) }
            let part = try server.get(target, ["Range: bytes=10-19"])
            #expect(part.status == 206)
            #expect(part["Content-Range"] == "bytes 10-19/1000")
            #expect(part.body == Array(content[10...19]))
            let end = try server.get(target, ["Range: bytes=-5"])
            #expect(end.body == Array(content.suffix(5)))
            let several = try server.get(target, ["Range: bytes=0-1,500-501"])
            #expect(several.status == 206)
            #expect(several["Content-Type"]?.hasPrefix("multipart/byteranges") == true)
            let outside = try server.get(target, ["Range: bytes=5000-"])
            #expect(outside.status == 416)
            // Where the application does not allow it.
            let whole = try server.get(target + "&ranges=none", ["Range: bytes=10-19"])
            #expect(whole.status == 200)
            #expect(whole.body == content)
            // Bodies of known length can be cut too.
            #expect(try server.get("/app/hello", ["Range: bytes=0-4"]).text == "Hello")
        }
    }

    @Test func conditions() async throws {
        try await withServer(file(1000)) { server in
            let target = "/app/file?path=\(server.root)/htdocs/data"
            let tagged = try server.get(target + "&etag=abc")
            #expect(tagged.status == 200)
            #expect(tagged["ETag"] == "\"abc\"")
            let client = try server.connect()
            try client.request("GET \(target)&etag=abc HTTP/1.1", ["Host: localhost", "If-None-Match: \"abc\""])
            let same = try client.response()
            #expect(same.status == 304)
            #expect(same["ETag"] == "\"abc\"")
            #expect(same["Content-Length"] == nil)
            try client.request("GET \(target)&etag=abc HTTP/1.1", ["Host: localhost", "If-None-Match: \"xyz\""])
            #expect(try client.response().status == 200)
            try client.request("GET \(target)&etag=abc HTTP/1.1", ["Host: localhost", "If-Match: \"xyz\""])
            #expect(try client.response().status == 412)
            let date = "Sun,+06+Nov+1994+08:49:37+GMT"
            let modified = ["Host: localhost", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"]
            try client.request("GET \(target)&modified=\(date) HTTP/1.1", modified)
            #expect(try client.response().status == 304)
            try client.request("GET \(target) HTTP/1.1", modified)
            #expect(try client.response().status == 200)
            // If-Range
            try client.request(
                "GET \(target)&etag=abc HTTP/1.1", ["Host: localhost", "Range: bytes=0-1", "If-Range: \"abc\""])
            #expect(try client.response().status == 206)
            try client.request(
                "GET \(target)&etag=abc HTTP/1.1", ["Host: localhost", "Range: bytes=0-1", "If-Range: \"xyz\""])
            #expect(try client.response().status == 200)
        }
    }
}
