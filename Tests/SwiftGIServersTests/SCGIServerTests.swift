import GatewayClients
import Glibc
import SwiftGICore
import SwiftGIServers
import Testing

private let application: Application = { environ, startResponse in
    let count = try environ.input.collect(upTo: 1 << 20).count
    try startResponse(.ok, [.contentType: "text/plain"], nil)
    return .string("\(count)")
}

/// What web servers, and others, send to an SCGI server.
struct SCGIServerTests {
    /// - Returns: All that the server answers, until it closes the connection.
    private func answer(
        _ bytes: [UInt8], ends: Bool = false, _ options: ServerOptions = ServerOptions()
    ) async throws -> (text: String, log: [String]) {
        var options = options
        options.protocolName = .scgi
        let final = options
        return try await onThread {
            let server = try TestServer(.application(application), final)
            defer { server.stop() }
            let client = try ClientSocket(path: server.socket.path)
            try client.send(bytes)
            if ends { client.endSending() }
            var all: [UInt8] = []
            while true {
                let more = try client.receive()
                if more.isEmpty { break }
                all += more
            }
            return (String(decoding: all, as: UTF8.self), server.log.map(\.message))
        }
    }

    private static func request(_ length: String, _ body: String, more: String = "") -> [UInt8] {
        let header = "CONTENT_LENGTH\0\(length)\0SCGI\0" + "1\0REQUEST_METHOD\0POST\0\(more)"
        return Array("\(header.utf8.count):\(header),\(body)".utf8)
    }

    @Test("A request is answered, and the connection closed")
    func sound() async throws {
        let (text, log) = try await answer(Self.request("4", "body"))
        #expect(text.hasPrefix("Status: 200") && text.hasSuffix("\r\n\r\n4"), "\(text)")
        #expect(log == [])
    }

    @Test("A body that is too long is 400")
    func long() async throws {
        let (text, _) = try await answer(Self.request("3", "body"))
        #expect(text.hasPrefix("Status: 400"), "\(text)")
    }

    @Test("A web server that leaves within the body gets no answer")
    func cut() async throws {
        let (text, log) = try await answer(Self.request("5", "body"), ends: true)
        #expect(text == "")
        #expect(log == [])
    }

    @Test("A body over the limit is 413")
    func large() async throws {
        var options = ServerOptions()
        options.maxBodySize = 3
        let (text, _) = try await answer(Self.request("4", "body"), options)
        #expect(text.hasPrefix("Status: 413"), "\(text)")
    }

    @Test(
        "What breaks the protocol closes the connection, with a line in the log",
        arguments: [
            "GET / HTTP/1.1\r\n\r\n", "-1:,", "99999999999999999999:", "3:abc,", "5:abcdefgh",
            "24:CONTENT_LENGTH\0x\0SCGI\01\0,", "70000000:",
        ])
    func hostile(_ bytes: String) async throws {
        let (text, log) = try await answer(Array(bytes.utf8))
        #expect(text == "")
        #expect(log.contains { $0.hasPrefix("SGI0303") }, "\(log)")
    }

    @Test("A connection on which no request comes in time is closed", arguments: ["", "20:CONTENT"])
    func slow(_ begin: String) async throws {
        var options = ServerOptions()
        options.headerTimeout = 100
        let (text, log) = try await answer(Array(begin.utf8), options)
        #expect(text == "")
        #expect(log.contains { $0.hasPrefix("SGI0305") }, "\(log)")
    }
}
