import Foundation
import Glibc
import Testing

/// Slow clients: they hold no thread, and nothing piles up for them.
@Suite struct BackpressureTests {
    /// More clients that never read than there are threads: the handlers come to a stand, the memory
    /// does not grow, and others are served.
    @Test func clientsThatNeverRead() async throws {
        try await withServer(.waiting(threads: 3)) { server in
            let child = try #require(server.children.first)
            for _ in 0..<20 { #expect(try server.get("/wait/hello").status == 200) }
            let memory = try #require(ProcessTable.memory("VmRSS", of: child))
            let clients = try (0..<40).map { _ in
                let client = try server.connect()
                try client.request("GET /wait/endless HTTP/1.1")
                return client
            }
            let accepted = try server.accepted()
            // Each has had more than the buffers of the sockets take, which is what the rest waits for.
            #expect(accepted > 40 * 32768)
            let growth = try #require(ProcessTable.memory("VmRSS", of: child)) - memory
            #expect(growth < 40 * 256, "\(growth) KiB for 40 clients")
            // Each piece that a client takes lets the handler go on.
            for client in clients.prefix(3) {
                _ = try client.head()
                for _ in 0..<200 { _ = try client.chunk() }
            }
            #expect(try server.accepted() > accepted)
            #expect(try server.get("/app/hello").status == 200)
            for client in clients { client.reset() }
            try wait("the handlers to end") { server.errorLog.lines(with: "endless ended").count == 40 }
        }
    }

    /// Elsewhere a writer waits on its thread; it, too, takes no more than there is room for.
    @Test(arguments: [Configuration.MPM.worker, .prefork])
    func attachedWriter(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting(mpm: mpm, threads: 4)) { server in
            let client = try server.connect()
            try client.request("GET /wait/endless HTTP/1.1")
            _ = try client.head()
            // Prefork's other processes know nothing of this one.
            if mpm == .worker { _ = try server.accepted() }
            for _ in 0..<400 { _ = try client.chunk() }
            #expect(try server.get("/app/hello").status == 200)
            client.reset()
            try server.errorLog.wait(for: "endless ended: clientGone")
        }
    }

    /// All comes, however slowly it is read.
    @Test(arguments: Configuration.MPM.allCases)
    func slowReaders(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting("KeepAliveTimeout 20", mpm: mpm, threads: 4)) { server in
            let clients = try (0..<(mpm == .event ? 8 : 2)).map { _ in
                let client = try server.connect()
                try client.request("GET /wait/bytes?count=6000000&length=yes HTTP/1.1")
                return client
            }
            #expect(try server.get("/app/hello").status == 200)
            for client in clients {
                #expect(try client.head()["Content-Length"] == "6000000")
                #expect(try client.drain(6_000_000, matching: bytePattern))
            }
            let client = clients[0]
            try client.request("GET /wait/bytes?count=700000&piece=70000 HTTP/1.1")
            let body = try client.response().body
            #expect(body.count == 700_000)
            #expect(body.enumerated().allSatisfy { $1 == UInt8($0 % 251) })
        }
    }

    /// The answer does not wait for a body that nobody wants, nor does a thread.
    @Test func bodiesThatNobodyReads() async throws {
        try await withServer(.waiting(threads: 3)) { server in
            func post(_ gate: String) throws -> RawClient {
                let client = try server.connect()
                try client.request(
                    "POST /wait/gate?gate=\(server.gate(gate)) HTTP/1.1", ["Host: localhost", "Content-Length: 10"])
                return client
            }
            let clients = try (0..<19).map { _ in try post("gate") }
            let whole = try post("other")
            try server.waitForJournal("waiting", times: 20)
            try whole.send("all of it.")
            try server.open(gate: server.gate("other"))
            #expect(try whole.response().text == "passed\n")
            // Who has sent it all can go on; as long as threads are idle httpd keeps its connection.
            try whole.request("GET /wait/sleep HTTP/1.1")
            #expect(try whole.response().text == "slept\n")
            try server.open(gate: server.gate())
            for client in clients { #expect(try client.response().text == "passed\n") }
            #expect(try server.get("/app/hello").status == 200)
            for client in clients { #expect(try client.endsProperly()) }
        }
    }

    /// More clients that send slowly than there are threads.
    @Test func slowUploads() async throws {
        try await withServer(.waiting(threads: 3)) { server in
            let size = 200_000
            let bytes = (0..<size).map { UInt8($0 % 251) }
            let clients = try (0..<20).map { _ in
                let client = try server.connect()
                try client.request("POST /wait/count HTTP/1.1", ["Host: localhost", "Content-Length: \(size)"])
                try client.send(Array(bytes[..<1000]))
                return client
            }
            try server.waitForJournal("first piece", times: 20)
            #expect(try server.get("/app/hello").status == 200)
            var sent = 1000
            while sent < size {
                let next = min(size, sent + 40_000)
                for client in clients { try client.send(Array(bytes[sent..<next])) }
                sent = next
                #expect(try server.get("/app/hello").status == 200)
            }
            for client in clients { #expect(try client.response().text == "\(size) intact\n") }
        }
    }

    /// Whoever takes nothing, or sends nothing, for as long as Timeout says is given up.
    @Test(arguments: Configuration.MPM.allCases)
    func timeout(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting("TimeOut 1", mpm: mpm), expecting: ["SGI0207", "SGI0218"]) { server in
            let reader = try server.connect()
            try reader.request("GET /wait/endless HTTP/1.1")
            let sender = try server.connect()
            try sender.request("POST /wait/await-body HTTP/1.1", ["Host: localhost", "Content-Length: 10"])
            try sender.send("half")
            #expect(try sender.response().status == 408)
            #expect(try sender.endsProperly())
            let line = try server.errorLog.wait(for: "reading failed:")
            #expect(line.message.contains("timedOut"), "\(line)")
            let end = try server.errorLog.wait(for: "endless ended:")
            #expect(end.message.contains("timedOut"), "\(end)")
            let stalled = try server.errorLog.wait(for: "SGI0218")
            #expect(stalled.message.contains("response aborted"), "\(stalled)")
            // The client sees that it has not got everything.
            #expect(throws: WireError.self) { _ = try reader.response() }
            #expect(try server.get("/wait/sleep").text == "slept\n")
        }
    }

    /// Whoever takes something now and then is not given up.
    @Test(arguments: [Configuration.MPM.event, .worker])
    func timeoutBeginsAnew(_ mpm: Configuration.MPM) async throws {
        try await withServer(.waiting("TimeOut 2", mpm: mpm)) { server in
            let sender = try server.connect()
            try sender.request("POST /wait/count HTTP/1.1", ["Host: localhost", "Content-Length: 7"])
            for byte in UInt8(0)..<7 {
                try sender.send([byte])
                // Sleeps between the requests; the body takes longer than Timeout.
                #expect(try server.get("/wait/sleep?ms=500").text == "slept\n")
            }
            #expect(try sender.response().text == "7 intact\n")
        }
    }
}

extension Server {
    /// How many bytes the handlers of `/endless` got rid of, once they have come to a stand.
    func accepted() throws -> Int {
        var count = 0
        var looks = 0
        try wait("the writers to wait") {
            let now = Int(try get("/wait/accepted").text) ?? 0
            looks = now == count ? looks + 1 : 0
            count = now
            return count > 0 && looks == 40
        }
        return count
    }
}
