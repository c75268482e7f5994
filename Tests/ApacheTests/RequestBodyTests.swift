import Foundation
import Testing

/// Bodies of requests, however they are framed and whenever they are read.
@Suite struct RequestBodyTests {
    @Test(arguments: Configuration.MPM.allCases)
    func bodiesOfAllSizes(_ mpm: Configuration.MPM) async throws {
        try await withServer(.behaviour(mpm: mpm)) { server in
            for size in [0, 1, 11, 1024, 8192, 65536, 65537, 300_000] {
                let body = (0..<size).map { UInt8($0 % 251) }
                #expect(try server.request("POST", "/app/echo", body: body).body == body, "\(size) bytes")
                #expect(try server.request("POST", "/app/count", body: body).text == "\(size) intact\n")
                let client = try server.connect()
                try client.request("POST /app/echo HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
                for start in stride(from: 0, to: size, by: 7001) {
                    let chunk = Array(body[start..<min(size, start + 7001)])
                    try client.send(Array("\(String(chunk.count, radix: 16))\r\n".utf8) + chunk + Array("\r\n".utf8))
                }
                try client.send("0\r\nTrailer-Field: x\r\n\r\n")
                #expect(try client.response().body == body, "\(size) bytes, chunked")
            }
        }
    }

    @Test func bodyArrivesWhileItIsSent() async throws {
        try await withServer(.behaviour()) { server in
            let client = try server.connect()
            try client.request("POST /app/echo HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
            try client.send("5\r\nfirst\r\n")
            let head = try client.head()
            #expect(head["Transfer-Encoding"] == "chunked")
            #expect(try client.chunk() == Array("first".utf8))
            // Split in the middle of a chunk's size and of its end.
            for part in ["1", "0\r\n0123456789ab", "cdef\r", "\n0\r\n\r\n"] { try client.send(part) }
            var rest: [UInt8] = []
            while let chunk = try client.chunk() { rest += chunk }
            #expect(rest == Array("0123456789abcdef".utf8))
        }
    }

    @Test func chunkedHasNoLength() async throws {
        try await withServer(.behaviour()) { server in
            let client = try server.connect()
            try client.request("POST /app/variables HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
            try client.send("1\r\na\r\n0\r\n\r\n")
            let variables = try client.response().variables
            #expect(variables["CONTENT_LENGTH"] == nil)
            #expect(variables["HTTP_TRANSFER_ENCODING"] == "chunked")
        }
    }

    @Test func lines() async throws {
        try await withServer(.behaviour(), expecting: ["SGI0205"]) { server in
            #expect(try server.request("POST", "/app/lines", body: Array("a\nbb\n\nccc".utf8)).text == "2 3 1 3\n")
            let response = try server.request("POST", "/app/lines?limit=4", body: Array("abc\nabcd\n".utf8))
            #expect(response.status == 413)
            #expect(try server.request("POST", "/app/read-at-end", body: Array("abc".utf8)).text == "3 [0, 0, 0]\n")
            #expect(try server.get("/app/read-at-end").text == "0 [0, 0, 0]\n")
            #expect(try server.request("POST", "/app/collect?limit=3", body: Array("abcd".utf8)).status == 413)
        }
    }

    @Test func continueOnFirstRead() async throws {
        try await withServer(.behaviour()) { server in
            let fields = ["Host: localhost", "Content-Length: 4", "Expect: 100-continue"]
            // Who reads, invites the body.
            let reader = try server.connect()
            try reader.request("POST /app/collect HTTP/1.1", fields)
            #expect(try reader.anyHead().status == 100)
            try reader.send("body")
            let response = try reader.response()
            #expect(response.text == "body")
            #expect(response.interim.isEmpty)
            // Who does not, does not.
            let refused = try server.connect()
            try refused.request("POST /app/unread HTTP/1.1", fields)
            let unread = try refused.response()
            #expect(unread.interim.isEmpty)
            #expect(unread.text == "unread\n")
            // The first read may come late, after the head of the response: 100 can't be sent then.
            let late = try server.connect()
            try late.request("POST /app/read-after HTTP/1.1", fields)
            let head = try late.head()
            #expect(head.status == 200)
            #expect(head.interim.isEmpty)
            try late.send("body")
            #expect(String(decoding: try late.body(of: head), as: UTF8.self) == "before\n4\n")
            // A client that does not wait.
            let hasty = try server.connect()
            try hasty.request("POST /app/collect HTTP/1.1", fields)
            try hasty.send("body")
            #expect(try hasty.response().text == "body")
        }
    }

    @Test func unknownExpectation() async throws {
        try await withServer(.behaviour(), expecting: ["AH00570"]) { server in
            let response = try server.get("/app/hello", ["Expect: miracles"])
            #expect(response.status == 417)
        }
    }

    @Test(.embedded("A client that has closed its side is gone while its request waits for a process."))
    func malformedBodies() async throws {
        try await withServer(.behaviour(), expecting: ["SGI0206", "SGI0205"]) { server in
            for body in ["zz\r\nabc\r\n0\r\n\r\n", "3\r\nabcX\r\n0\r\n\r\n", "-1\r\n\r\n", "FFFFFFFFFFFFFFFFF\r\n"] {
                let client = try server.connect()
                try client.request("POST /app/collect HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
                try client.send(body)
                client.halfClose()
                let response = try client.response()
                #expect([400, 413].contains(response.status), "\(body.debugDescription): \(response.status)")
                #expect(response["Connection"] == "close")
            }
            // Not even the application's business.
            for fields in [
                ["Content-Length: x"], ["Content-Length: -1"], ["Content-Length: 1", "Content-Length: 2"],
            ] {
                let client = try server.connect()
                try client.request("POST /app/collect HTTP/1.1", ["Host: localhost"] + fields)
                #expect(try client.response().status == 400, "\(fields)")
            }
            #expect(try server.get("/app/hello").status == 200)
        }
    }

    @Test func transferEncodings() async throws {
        try await withServer(.behaviour()) { server in
            let client = try server.connect()
            try client.request("POST /app/collect HTTP/1.1", ["Host: localhost", "Transfer-Encoding: gzip"])
            #expect(try client.response().status == 400)
            // Both kinds of framing: chunked counts, and the connection ends.
            let both = try server.connect()
            try both.request(
                "POST /app/collect HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked", "Content-Length: 3"])
            try both.send("1\r\na\r\n0\r\n\r\n")
            #expect(try both.response().text == "a")
        }
    }

    @Test func bodyThatDoesNotCome() async throws {
        try await withServer(.behaviour("TimeOut 1"), expecting: ["SGI0207"]) { server in
            let client = try server.connect()
            try client.request("POST /app/collect HTTP/1.1", ["Host: localhost", "Content-Length: 10"])
            try client.send("some")
            #expect(try client.response().status == 408)
        }
    }

    @Test(.embedded("A request that is given up before a process took it up is never begun."))
    func clientGoneInTheBody() async throws {
        try await withServer(.behaviour()) { server in
            // Ends, resets, in the middle of both framings: nobody's error.
            for (fields, part) in [("Content-Length: 10", "some"), ("Transfer-Encoding: chunked", "5\r\nab")] {
                for resets in [false, true] {
                    let client = try server.connect()
                    try client.request("POST /app/collect HTTP/1.1", ["Host: localhost", fields])
                    try client.send(part)
                    if resets {
                        client.reset()
                    } else {
                        client.close()
                    }
                }
            }
            try wait("four abandoned requests") { server.errorLog.lines(with: "SGI0202").count == 4 }
            #expect(try server.get("/app/hello").status == 200)
        }
    }

    @Test func requestTimeoutModule() async throws {
        let configuration = Configuration.behaviour("RequestReadTimeout body=1", modules: ["reqtimeout"])
        try await withServer(configuration, expecting: ["SGI0207"]) { server in
            let client = try server.connect()
            try client.request("POST /app/collect HTTP/1.1", ["Host: localhost", "Content-Length: 10"])
            try client.send("some")
            #expect(try client.response().status == 408)
        }
    }
}
