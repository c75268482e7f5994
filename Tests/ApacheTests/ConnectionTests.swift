import Foundation
import Glibc
import Testing

/// Connections: kept alive, pipelined, old, broken.
@Suite struct ConnectionTests {
    @Test(arguments: Configuration.MPM.allCases)
    func keepAliveAndPipelining(_ mpm: Configuration.MPM) async throws {
        try await withServer(.behaviour(mpm: mpm)) { server in
            let client = try server.connect()
            for _ in 0..<5 {
                try client.request("GET /app/hello HTTP/1.1")
                #expect(try client.response().text == "Hello, world!\n")
            }
            // All at once, with bodies, bodies that nobody reads, and all kinds of responses.
            let requests = [
                "GET /app/push HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "POST /app/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\necho",
                "POST /app/unread HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nunread",
                "POST /app/unread HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                "POST /app/read-some?bytes=2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nsome",
                "HEAD /app/hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "GET /app/status?code=204 HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "GET /app/hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            ]
            try client.send(requests.joined())
            #expect(try client.response().text == "piece 0\npiece 1\npiece 2\n")
            #expect(try client.response().text == "echo")
            #expect(try client.response().text == "unread\n")
            #expect(try client.response().text == "unread\n")
            #expect(try client.response().text == "so")
            #expect(try client.response(to: "HEAD")["Content-Length"] == "14")
            #expect(try client.response().status == 204)
            let last = try client.response()
            #expect(last.text == "Hello, world!\n")
            #expect(last["Connection"] == "close")
            #expect(try client.endsProperly())
        }
    }

    @Test func largeUnreadBody() async throws {
        try await withServer(.behaviour()) { server in
            // The response comes though the body is still on its way; then the connection goes on
            // or ends, but is never out of step.
            let client = try server.connect()
            try client.request("POST /app/unread HTTP/1.1", ["Host: localhost", "Content-Length: 100000"])
            try client.send([UInt8](repeating: 0x78, count: 100_000))
            let response = try client.response()
            #expect(response.text == "unread\n")
            if response["Connection"] != "close" {
                try client.request("GET /app/hello HTTP/1.1")
                #expect(try client.response().text == "Hello, world!\n")
            }
        }
    }

    @Test func bytewise() async throws {
        try await withServer(.behaviour()) { server in
            let client = try server.connect()
            for byte in Array("POST /app/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello".utf8) {
                try client.send([byte])
            }
            #expect(try client.response().text == "hello")
        }
    }

    @Test func http10() async throws {
        try await withServer(.behaviour()) { server in
            let plain = try server.connect()
            try plain.request("GET /app/push HTTP/1.0", [])
            let response = try plain.response()
            #expect(response["Transfer-Encoding"] == nil)
            #expect(response["Content-Length"] == nil)
            #expect(response.text == "piece 0\npiece 1\npiece 2\n")
            // Kept alive where the length is known.
            let kept = try server.connect()
            for _ in 0..<2 {
                try kept.request("GET /app/hello HTTP/1.0", ["Connection: keep-alive"])
                let response = try kept.response()
                #expect(response["Connection"]?.lowercased() == "keep-alive")
                #expect(response.text == "Hello, world!\n")
            }
            let variables = try server.connect()
            try variables.request("GET /app/variables HTTP/1.0", [])
            #expect(try variables.response().variables["SERVER_PROTOCOL"] == "HTTP/1.0")
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func clientGoneInTheResponse(_ mpm: Configuration.MPM) async throws {
        try await withServer(.behaviour(mpm: mpm), expecting: ["writing failed: clientGone", "closed", "finished"]) {
            server in
            for (round, resets) in [false, true].enumerated() {
                let client = try server.connect()
                try client.request("GET /app/client-gone HTTP/1.1")
                _ = try client.head()
                _ = try client.chunk()
                if resets {
                    client.reset()
                } else {
                    client.close()
                }
                // Writing fails, the body is closed, the request finished: once each, and no
                // error in the log but the application's own words.
                try wait("the application to notice") { server.errorLog.lines(with: "finished").count == round + 1 }
                #expect(server.errorLog.lines(with: "writing failed: clientGone").count == round + 1)
                // What is said late in a process of a group has the process's words before it.
                let closed = server.errorLog.lines(with: "closed").filter { $0.message.hasSuffix("closed") }
                #expect(closed.count == round + 1)
            }
            let line = try server.errorLog.wait(for: "SGI0202")
            #expect(line.level == "debug")
            #expect(try server.get("/app/hello").status == 200)
        }
    }

    @Test func clientGoneIsSeenWhileWaiting() async throws {
        try await withServer(.behaviour(), expecting: ["watching", "client is gone"]) { server in
            let client = try server.connect()
            try client.request("GET /app/watch-client HTTP/1.1")
            try server.errorLog.wait(for: "watching")
            client.close()
            try server.errorLog.wait(for: "client is gone")
        }
        try await withServer(.behaviour(), expecting: ["watching", "client is gone"]) { server in
            // A client that stays is not gone, also if it has sent more than this request.
            let client = try server.connect()
            try client.send(
                "GET /app/watch-client HTTP/1.1\r\nHost: x\r\n\r\nGET /app/hello HTTP/1.1\r\nHost: x\r\n\r\n")
            try server.errorLog.wait(for: "watching")
            #expect(try server.get("/app/hello").status == 200)
            #expect(server.errorLog.lines(with: "client is gone").isEmpty)
            client.reset()
            try server.errorLog.wait(for: "client is gone")
        }
    }

    @Test func slowReaderIsServed() async throws {
        try await withServer(.behaviour()) { server in
            let client = try server.connect()
            // More than all buffers between the two hold.
            try client.request("GET /app/big?bytes=64000000&length=yes HTTP/1.1")
            let head = try client.head()
            #expect(head["Content-Length"] == "64000000")
            // Others are served meanwhile.
            #expect(try server.get("/app/hello").status == 200)
            #expect(try client.drain(64_000_000, matching: bytePattern))
        }
    }

    @Test func manyAtATime() async throws {
        try await withServer(.behaviour(threads: 16)) { server in
            let port = server.port
            // Each waits for all the others: they run at the same time or never end.
            let requests = (0..<12).map { _ in
                Background {
                    let client = try RawClient(port: port)
                    try client.request(
                        "GET /app/together?others=11 HTTP/1.1", ["Host: localhost", "Connection: close"])
                    return try client.response().text
                }
            }
            for request in requests {
                let text = try request.get()
                #expect(text == "together\n")
            }
        }
    }

    /// Every route a hundred times: nothing may be kept open, and not much may be kept in memory.
    @Test func nothingIsLeaked() async throws {
        let configuration = Configuration.behaviour(logLevel: "info").preparing {
            try writeFile("\($0)/htdocs/data", String(repeating: "data", count: 10_000))
        }
        try await withServer(configuration, expecting: ["SGI0201", "SGI0204", "SGI0203", "SGI0208"]) { server in
            let child = try #require(server.children.first)
            func round() throws {
                for target in [
                    "hello", "push", "chunks", "variables", "headers", "throw-early", "throw-late", "short", "long",
                    "pipe", "start-twice",
                    "file?path=\(server.root)/htdocs/data", "file?path=\(server.root)/htdocs/data&keep=yes",
                    "file?path=/absent",
                    "file?path=\(server.root)/htdocs/data&declared=90000", "big?bytes=300000",
                ] {
                    _ = try? server.get("/app/\(target)")
                    _ = try? server.request("HEAD", "/app/\(target)")
                }
                _ = try server.request("POST", "/app/echo", body: Array("body".utf8))
                let gone = try server.connect()
                try gone.request("GET /app/file?path=\(server.root)/htdocs/data HTTP/1.1")
                gone.reset()
            }
            for _ in 0..<20 { try round() }
            let before = DescriptorCount(of: child)
            let memory = try #require(ProcessTable.memory("VmRSS", of: child))
            for _ in 0..<80 { try round() }
            try wait("descriptors to be closed: \(DescriptorCount(of: child)) after \(before)") {
                DescriptorCount(of: child).growth(since: before).isEmpty
            }
            #expect(try #require(ProcessTable.memory("VmRSS", of: child)) - memory < 4096)
            #expect(server.children == [child])
        }
    }
}
