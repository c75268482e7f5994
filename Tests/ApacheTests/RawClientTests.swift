import Foundation
import Glibc
import Synchronization
import Testing

/// The raw client against a peer that sends exactly what a test says.
@Suite struct RawClientTests {
    @Test func readsFramedBodies() throws {
        let client = try peer(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: 1\r\nx-a: 2\r\n\r\nabcHTTP/1.1 404 Not Found\r\n\r\nrest")
        let first = try client.response()
        #expect(first.text == "abc")
        #expect(first["X-A"] == "1, 2")
        let second = try client.response()
        #expect(second.status == 404)
        #expect(second.text == "rest")
    }

    @Test func readsChunkedBodies() throws {
        let client = try peer(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n")
        #expect(try client.response().text == "abc0123456789")
    }

    @Test func skipsInterimResponses() throws {
        let client = try peer(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        let response = try client.response()
        #expect(response.interim == [100, 103])
        #expect(response.status == 204)
    }

    @Test func noticesMissingLastChunk() throws {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for (sent, received) in [("3\r\nabc\r\n", 3), ("3\r\nab", 2), ("", 0), ("3\r\nabc\r\n0\r\n", 3)] {
            #expect(throws: WireError.noLastChunk(received: received)) { try peer(head + sent).response() }
        }
    }

    @Test func noticesShortBody() throws {
        #expect(throws: WireError.shortBody(received: 2, of: 3)) {
            try peer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").response()
        }
        #expect(throws: WireError.shortBody(received: 2, of: 3)) {
            _ = try peer("ab").drain(3, matching: Array("ab".utf8))
        }
    }

    @Test func noticesChangedBytes() throws {
        #expect(try peer("abcabca").drain(7, matching: Array("abc".utf8)))
        #expect(try !peer("abcabxa").drain(7, matching: Array("abc".utf8)))
    }

    @Test func noticesReset() throws {
        let client = try peer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na", resets: true)
        #expect(throws: WireError.reset) { try client.response() }
        #expect(try !peer("", resets: true).endsProperly())
        #expect(try peer("").endsProperly())
    }

    @Test func noticesNonsense() throws {
        #expect(throws: WireError.malformed("SMTP 220")) { try peer("SMTP 220\r\n\r\n").response() }
        #expect(throws: WireError.self) { try peer("HTTP/1.1 200 OK\r\n").response() }
    }

    @Test func noticesSilence() throws {
        let client = try peer("", closes: false, timeout: 1)
        #expect(client.isSilent)
        #expect(throws: WireError.timedOut) { try client.response() }
    }

    /// A client whose peer sends the text and then ends the connection in the manner told.
    private func peer(_ text: String, resets: Bool = false, closes: Bool = true, timeout: Int = 10) throws -> RawClient
    {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(listener) }
        var address = loopback(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(listener, $0, length)
                _ = getsockname(listener, $0, &length)
            }
        }
        listen(listener, 1)
        let client = try RawClient(port: Int(in_port_t(bigEndian: address.sin_port)), timeout: timeout)
        let connection = accept(listener, nil, nil)
        _ = send(connection, text, text.utf8.count, Int32(MSG_NOSIGNAL))
        if resets {
            if !text.isEmpty { _ = try client.head() }
            var abort = linger(l_onoff: 1, l_linger: 0)
            setsockopt(connection, SOL_SOCKET, SO_LINGER, &abort, socklen_t(MemoryLayout<linger>.size))
        }
        if closes { close(connection) }
        return client
    }
}
