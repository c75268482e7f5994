import Foundation
import Glibc
import Testing

/// A gigabyte each way: complete, and not in memory.
@Suite(.serialized) struct LargeTransferTests {
    private static let size = 1 << 30
    private static let growth = 16 * 1024

    /// Runs a transfer on a connection and looks at the memory of its process at the peak.
    private func transfer(_ configuration: Configuration, _ body: (Server, RawClient) throws -> Void) async throws {
        try await withServer(configuration, alone: true) { server in
            let client = try server.connect()
            try client.request("GET /app/big?bytes=100000 HTTP/1.1")
            _ = try client.response()
            try client.request("POST /app/count HTTP/1.1", ["Host: localhost", "Content-Length: 1"])
            try client.send("a")
            _ = try client.response()
            try client.request("GET /app/pid HTTP/1.1")
            let child = try #require(pid_t(client.response().text.dropLast()))
            ProcessTable.resetPeak(of: child)
            let before = try #require(ProcessTable.memory("VmRSS", of: child))
            try body(server, client)
            let peak = try #require(ProcessTable.memory("VmHWM", of: child))
            #expect(peak - before < Self.growth, "KiB")
            try client.request("GET /app/pid HTTP/1.1")
            #expect(try client.response().text == "\(child)\n")
        }
    }

    @Test func download() async throws {
        try await transfer(.behaviour()) { server, client in
            try client.request("GET /app/big?length=yes&bytes=\(Self.size) HTTP/1.1")
            let head = try client.head()
            #expect(head["Content-Length"] == "\(Self.size)")
            #expect(try client.drain(Self.size, matching: bytePattern))
        }
    }

    @Test func downloadOfAFile() async throws {
        let configuration = Configuration.behaviour().preparing { root in
            // Sparse: zeros that take no room.
            try writeFile("\(root)/htdocs/large", "")
            guard truncate("\(root)/htdocs/large", Self.size) == 0 else { throw WireError.system("truncate") }
        }
        try await transfer(configuration) { server, client in
            try client.request("GET /app/file?path=\(server.root)/htdocs/large HTTP/1.1")
            let head = try client.head()
            #expect(head["Content-Length"] == "\(Self.size)")
            #expect(try client.drain(Self.size, matching: [0]))
        }
    }

    @Test func upload() async throws {
        try await transfer(.behaviour()) { server, client in
            try client.request("POST /app/count HTTP/1.1", ["Host: localhost", "Content-Length: \(Self.size)"])
            // Whole periods of the pattern.
            let piece = [UInt8](unsafeUninitializedCapacity: 251 * 4096) { buffer, count in
                for index in buffer.indices { buffer[index] = UInt8(index % 251) }
                count = buffer.count
            }
            var left = Self.size
            while left >= piece.count {
                try client.send(piece)
                left -= piece.count
            }
            try client.send(Array(piece.prefix(left)))
            #expect(try client.response().text == "\(Self.size) intact\n")
        }
    }

    @Test func echo() async throws {
        try await transfer(.behaviour()) { server, _ in
            // Both at a time: neither side waits for the other's end.
            let size = 1 << 26
            let body = "\(server.root)/body"
            try writeFile(body, "")
            try #require(truncate(body, size) == 0)
            let result = try Command.run(
                "curl", ["-sS", "-T", body, "-H", "Expect:", "-o", "\(server.root)/echo", server.url("/app/echo")])
            #expect(result.status == 0, "\(result)")
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(server.root)/echo")
            #expect(attributes[.size] as? Int == size)
        }
    }
}
