import Foundation
import Glibc
import Testing

/// What applications of the async contract can do, whether their requests are suspended or not.
@Suite struct AsyncTests {
    @Test(arguments: Configuration.MPM.allCases)
    func requestsAndResponses(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm)) { server in
            let hello = try server.get("/wait/hello")
            #expect(hello.text == "Hello, world!\n")
            #expect(hello["Content-Length"] == "14")
            #expect(try server.get("/wait/nowhere").status == 404)
            #expect(try server.get("/wait/sleep?ms=20").text == "slept\n")
            #expect(try server.get("/wait/events?count=3").text == "event 0\nevent 1\nevent 2\nend\n")
            #expect(try server.request("POST", "/wait/collect", body: Array("all of it".utf8)).text == "all of it")
            #expect(try server.request("POST", "/wait/echo", body: Array("echo".utf8)).text == "echo")
            let head = try server.request("HEAD", "/wait/events")
            #expect(head.status == 200)
            #expect(head.body == [])
            let big = try server.connect()
            try big.request("GET /wait/bytes?count=3000000&length=yes HTTP/1.1")
            #expect(try big.head()["Content-Length"] == "3000000")
            #expect(try big.drain(3_000_000, matching: bytePattern))
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func bodyOverTheLimit(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm), expecting: ["SGI0205"]) { server in
            let response = try server.request("POST", "/wait/collect?limit=3", body: Array("four".utf8))
            #expect(response.status == 413)
        }
    }

    /// The client reads the answer to a piece before it sends the next one.
    @Test(arguments: Configuration.MPM.allCases)
    func fullDuplex(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm)) { server in
            let client = try server.connect()
            try client.request("POST /wait/echo HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
            // The head comes before there is anything to answer.
            #expect(try client.head().status == 200)
            for word in ["one", "two", "three"] {
                try client.sendChunk(word)
                #expect(try client.chunk().map { String(decoding: $0, as: UTF8.self) } == word)
            }
            try client.send("0\r\n\r\n")
            #expect(try client.chunk() == nil)
            // The connection is as good as new.
            try client.request("GET /wait/hello HTTP/1.1")
            #expect(try client.response().text == "Hello, world!\n")
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func expectsContinue(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm)) { server in
            let client = try server.connect()
            try client.request(
                "POST /wait/collect HTTP/1.1", ["Host: localhost", "Content-Length: 4", "Expect: 100-continue"])
            #expect(try client.anyHead().status == 100)
            try client.send("body")
            #expect(try client.response().text == "body")
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func earlyHints(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm)) { server in
            let client = try server.connect()
            try client.request("GET /wait/hints?gate=\(server.gate()) HTTP/1.1")
            // They are there while the response is being made.
            let hints = try client.anyHead()
            #expect(hints.status == 103)
            #expect(hints["Link"] == "</style.css>; rel=preload")
            try server.errorLog.wait(for: "waiting")
            #expect(client.isSilent)
            try server.open(gate: server.gate())
            let response = try client.response()
            #expect(response.status == 200)
            #expect(response["Link"] == nil)
            #expect(response.text == "hinted\n")
            // HTTP/1.0 does not know them.
            let old = try server.connect()
            try old.request("GET /wait/hints?gate=\(server.gate()) HTTP/1.0", [])
            let first = try old.anyHead()
            #expect(first.status == 200)
            #expect(try old.body(of: first) == Array("hinted\n".utf8))
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func trailersOfTheRequest(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm)) { server in
            let client = try server.connect()
            try client.request(
                "POST /wait/request-trailers HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
            try client.sendChunk("body")
            try client.send("0\r\nX-One: a\r\nX-Two: b\r\n\r\n")
            let text = try client.response().text
            #expect(text.hasPrefix("0 before\n"), "\(text)")
            #expect(Response(text: text).variables == ["X-One": "a", "X-Two": "b"], "\(text)")
            try client.request("POST /wait/request-trailers HTTP/1.1", ["Host: localhost", "Content-Length: 0"])
            #expect(try client.response().text == "0 before\n")
        }
    }

    /// A client of HTTP/1.1 gets the body and none of what it did not ask for.
    @Test(arguments: Configuration.MPM.allCases)
    func trailersOfTheResponseOverHTTP1(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm)) { server in
            let client = try server.connect()
            for _ in 0..<2 {
                try client.request("GET /wait/trailers HTTP/1.1")
                #expect(try client.response().text == "body\n")
            }
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func concurrency(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm)) { server in
            let children = try server.get("/wait/child-tasks").text
            #expect(children == "3\n")
            #expect(try server.get("/wait/task-group?count=100").text == "5050\n")
            #expect(try server.get("/wait/actor").text == "counted\n")
            #expect(try server.request("POST", "/wait/two-tasks", body: Array("four".utf8)).text == "begin\n4\n")
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func mainActor(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting("SwiftGIRequestTimeout 10s", mpm: mpm)) { server in
            let text = try server.get("/wait/main-actor").text
            #expect(text == "main\n")
        }
    }

    /// Wakes come while the thread is still leaving, and are lost if anybody loses them.
    @Test(arguments: [Configuration.MPM.event, .worker])
    func wakesAtEveryMoment(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm, threads: mpm == .event ? 2 : 10)) { server in
            let port = server.port
            let requests = (0..<8).map { _ in
                Background {
                    let client = try RawClient(port: port)
                    try client.request(
                        "GET /wait/hops?count=2000 HTTP/1.1", ["Host: localhost", "Connection: close"])
                    return try client.response().text
                }
            }
            for request in requests {
                let text = try request.get()
                #expect(text == "2000\n")
            }
        }
    }

    /// A quarter of the threads is for requests that come back, however they are woken.
    @Test func resumesAtATime() async throws {
        let configuration = Configuration.compiled("waiting.c").with(threads: 16)
        try await withServer(configuration) { server in
            let client = try server.connect()
            for _ in 0..<10 {
                try client.request("GET /c/wakes?200 HTTP/1.1")
                #expect(try client.response().text == "done\n")
            }
            let port = server.port
            let requests = (0..<4).map { _ in
                Background {
                    let client = try RawClient(port: port)
                    try client.request("GET /c/together?3 HTTP/1.1", ["Host: localhost", "Connection: close"])
                    return try client.response().text
                }
            }
            for request in requests {
                let text = try request.get()
                #expect(text == "done\n")
            }
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func tasksThatOutliveTheRequest(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm), expecting: ["SGI0208"]) { server in
            let client = try server.connect()
            try client.request("GET /wait/outlived?gate=\(server.gate()) HTTP/1.1")
            #expect(try client.response().text == "answered\n")
            let cut = try server.connect()
            try cut.request("GET /wait/outlived-writer?gate=\(server.gate()) HTTP/1.1")
            #expect(try cut.head().status == 200)
            #expect(try cut.chunk() == Array("begin\n".utf8))
            #expect(throws: WireError.self) { _ = try cut.chunk() }
            // The request's memory is another's now.
            for _ in 0..<20 {
                try client.request("GET /wait/hello HTTP/1.1")
                #expect(try client.response().text == "Hello, world!\n")
            }
            try server.open(gate: server.gate())
            let line = try server.errorLog.wait(for: "afterwards: method")
            #expect(
                line.message.contains("method none, reading finished, environ finished, stop finished"), "\(line)")
            let other = try server.errorLog.wait(for: "afterwards: writing")
            #expect(other.message.contains("writing finished"), "\(other)")
            #expect(try server.get("/wait/hello").status == 200)
        }
    }

    /// Requests inside requests, and those that httpd passes on, wait on their thread.
    @Test func subrequestsAndErrorDocuments() async throws {
        let lines = """
            AddOutputFilter INCLUDES .shtml
            Options +Includes
            ErrorDocument 404 /wait/events?count=2
            RewriteEngine On
            RewriteCond %{LA-U:REMOTE_USER} ^$
            RewriteRule ^/looked-up$ /wait/sleep [PT,QSA]
            <Directory ${root}/htdocs>
            RewriteEngine On
            RewriteRule ^in-directory$ /wait/sleep?ms=10 [L]
            </Directory>
            """
        let configuration = Configuration.waiting(lines, modules: ["include", "rewrite", "mime"], threads: 3)
            .preparing { root in
                try writeFile(
                    "\(root)/htdocs/page.shtml",
                    "(<!--#include virtual=\"/wait/sleep?ms=10\" -->)(<!--#include virtual=\"/wait/events\" -->)")
            }
        try await withServer(configuration) { server in
            let client = try server.connect()
            for _ in 0..<2 {
                try client.request("GET /page.shtml HTTP/1.1")
                #expect(try client.response().text == "(slept\n)(event 0\nevent 1\nevent 2\nend\n)")
                try client.request("GET /nowhere HTTP/1.1")
                let missing = try client.response()
                #expect(missing.status == 404)
                #expect(missing.text == "event 0\nevent 1\nend\n")
                try client.request("GET /looked-up?ms=10 HTTP/1.1")
                #expect(try client.response().text == "slept\n")
                try client.request("GET /in-directory HTTP/1.1")
                #expect(try client.response().text == "slept\n")
                try client.request("GET /wait/sleep HTTP/1.1")
                #expect(try client.response().text == "slept\n")
            }
        }
    }
}
