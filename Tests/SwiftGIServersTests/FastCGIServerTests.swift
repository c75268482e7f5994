import GatewayClients
import Glibc
import HTTPTypes
import SwiftGICore
import SwiftGIServers
import Synchronization
import Testing

/// Two requests meet here: each waits for the other.
private let meeting = Mutex<[String: Int]>([:])

private func meet(_ place: String, count: Int = 2) -> Bool {
    meeting.withLock { $0[place, default: 0] += 1 }
    for _ in 0..<2000 {
        if meeting.withLock({ $0[place] == count }) { return true }
        usleep(5000)
    }
    return false
}

private let application: Application = { environ, startResponse in
    switch environ.pathInfo {
    case "/meet": return try reply(startResponse, meet(environ.queryString) ? "met" : "alone")
    case "/meetAll":
        let count = Int(environ.queryString) ?? 0
        return try reply(startResponse, meet("all \(count)", count: count) ? "met" : "alone")
    case "/hold":
        meeting.withLock { $0["\(environ.queryString) began"] = 1 }
        while meeting.withLock({ $0[environ.queryString] }) == nil { usleep(2000) }
        return try reply(startResponse, "held")
    case "/note":
        meeting.withLock { $0[environ.queryString, default: 0] += 1 }
        return try reply(startResponse, "noted")
    case "/read": return try reply(startResponse, "\(try environ.input.collect(upTo: 1 << 24).count)")
    case "/role": return try reply(startResponse, environ["FCGI_ROLE"] ?? "none")
    case "/large":
        try startResponse(.ok, [:], nil)
        let piece = [UInt8](repeating: 0x78, count: 100_000)
        return .push { writer in for _ in 0..<50 { try writer.write(piece) } }
    case "/gone":
        meeting.withLock { $0["\(environ.queryString) began"] = 1 }
        while !environ.isClientGone { usleep(2000) }
        meeting.withLock { $0[environ.queryString] = 1 }
        return try reply(startResponse, "nobody hears this")
    case "/errors":
        environ.errors.write("something is wrong\n")
        return try reply(startResponse, "said")
    case "/cut":
        try startResponse(.ok, [:], nil)
        return .push { writer in
            try writer.write("half")
            throw ClientError("cut")
        }
    case "/variables":
        return try reply(startResponse, "\(environ["LONG"]?.utf8.count ?? -1)")
    case "/sleep":
        usleep(300_000)
        return try reply(startResponse, "slept")
    default: return try reply(startResponse, environ.pathInfo)
    }
}

private func reply(_ startResponse: StartResponse, _ text: String) throws -> Body {
    try startResponse(.ok, [.contentType: "text/plain"], nil)
    return .string(text)
}

private func request(
    _ id: UInt16, _ path: String, query: String = "", keep: Bool = true, role: UInt16 = 1, method: String = "GET",
    more: [(String, [UInt8])] = []
) -> [UInt8] {
    FastCGIClient.begin(id, role: role, keep: keep)
        + FastCGIClient.params(
            id,
            [
                ("REQUEST_METHOD", Array(method.utf8)), ("SCRIPT_NAME", []), ("PATH_INFO", Array(path.utf8)),
                ("QUERY_STRING", Array(query.utf8)),
            ] + more)
}

/// What comes for each request until so many have ended.
private func collect(
    _ client: FastCGIClient, ends: Int
) throws -> [UInt16: (text: String, stderr: String, status: [UInt8])] {
    var responses: [UInt16: GatewayResponse] = [:]
    var errors: [UInt16: String] = [:]
    var result: [UInt16: (text: String, stderr: String, status: [UInt8])] = [:]
    while result.count < ends, let record = try client.record() {
        switch record.type {
        case .stdout: responses[record.id, default: GatewayResponse()].append(record.content)
        case .stderr: errors[record.id, default: ""] += String(decoding: record.content, as: UTF8.self)
        case .endRequest:
            result[record.id] = (responses[record.id]?.text ?? "", errors[record.id] ?? "", record.content)
        default: break
        }
    }
    return result
}

struct FastCGIServerTests {
    private func withClient<Value: Sendable>(
        _ options: ServerOptions = ServerOptions(), _ entry: RunningApplication.Entry = .application(application),
        _ body: @escaping @Sendable (FastCGIClient, TestServer) throws -> Value
    ) async throws -> Value {
        try await onThread {
            let server = try TestServer(entry, options)
            defer { server.stop() }
            return try body(FastCGIClient(path: server.socket.path), server)
        }
    }

    @Test("A connection carries one request after the other")
    func keepAlive() async throws {
        try await withClient { client, _ in
            for number in 0..<20 {
                try client.socket.send(request(1, "/\(number)") + FastCGIClient.stdinEnd(1))
                let all = try collect(client, ends: 1)
                #expect(all[1]?.text == "/\(number)")
                #expect(all[1]?.status == [0, 0, 0, 0, 0, 0, 0, 0])
            }
            try client.socket.send(request(1, "/last", keep: false) + FastCGIClient.stdinEnd(1))
            #expect(try collect(client, ends: 1)[1]?.text == "/last")
            #expect(try client.record() == nil)
        }
    }

    @Test("Requests of one connection are served at a time", arguments: [true, false])
    func multiplexed(_ isAsync: Bool) async throws {
        let entry: RunningApplication.Entry =
            isAsync ? .handler(GatewayHandler(application)) : .application(application)
        try await withClient(ServerOptions(), entry) { client, _ in
            let place = "multiplexed \(isAsync)"
            try client.socket.send(request(1, "/meet", query: place) + FastCGIClient.stdinEnd(1))
            // Not with the first: the second comes when the first is being served.
            usleep(20_000)
            try client.socket.send(request(513, "/meet", query: place) + FastCGIClient.stdinEnd(513))
            let all = try collect(client, ends: 2)
            #expect(all[1]?.text == "met")
            #expect(all[513]?.text == "met")
        }
    }

    @Test("Each thread of the pool serves when it is needed, again and again")
    func allThreads() async throws {
        // More than are awake while requests are short.
        let count = 3 * max(4, 2 * sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        var options = ServerOptions()
        options.threads = count
        try await withClient(options) { _, server in
            for round in 0..<3 {
                meeting.withLock { $0["all \(count)"] = 0 }
                let clients = try (0..<count).map { _ in try FastCGIClient(path: server.socket.path) }
                // Short ones first, so that all but a few rest.
                for client in clients {
                    try client.socket.send(request(1, "/short") + FastCGIClient.stdinEnd(1))
                    #expect(try collect(client, ends: 1)[1]?.text == "/short")
                }
                for client in clients {
                    try client.socket.send(request(1, "/meetAll", query: "\(count)") + FastCGIClient.stdinEnd(1))
                }
                for client in clients { #expect(try collect(client, ends: 1)[1]?.text == "met", "round \(round)") }
            }
        }
    }

    @Test("Bodies of several requests may be mixed")
    func mixedBodies() async throws {
        try await withClient { client, _ in
            let piece = [UInt8](repeating: 1, count: 30_000)
            try client.socket.send(request(1, "/read", method: "POST") + request(2, "/read", method: "POST"))
            for _ in 0..<5 {
                try client.socket.send(FastCGIClient.stdin(1, piece))
                try client.socket.send(FastCGIClient.stdin(2, Array(piece[..<10_000])))
            }
            try client.socket.send(FastCGIClient.stdinEnd(2) + FastCGIClient.stdinEnd(1))
            let all = try collect(client, ends: 2)
            #expect(all[1]?.text == "150000")
            #expect(all[2]?.text == "50000")
        }
    }

    @Test("Management records are answered")
    func management() async throws {
        try await withClient { client, _ in
            var pairs: [UInt8] = []
            for name in ["FCGI_MPXS_CONNS", "FCGI_MAX_REQS", "NO_SUCH"] { pairs.appendPair(Array(name.utf8), []) }
            var bytes: [UInt8] = []
            bytes.appendHeader(.getValues, id: 0, count: pairs.count)
            try client.socket.send(bytes + pairs + [1, 99, 0, 0, 0, 0, 0, 0])
            let values = try #require(try client.record())
            #expect(values.type == .getValuesResult)
            var places: [VariablePlace] = []
            try NameValuePairs.locate(values.content.span, limit: 10, into: &places)
            let found = places.map {
                String(decoding: values.content[$0.name] + [0x3D] + values.content[$0.value], as: UTF8.self)
            }
            #expect(found == ["FCGI_MPXS_CONNS=1", "FCGI_MAX_REQS=16384"])
            let unknown = try #require(try client.record())
            #expect(unknown.type == .unknownType)
            #expect(unknown.content == [99, 0, 0, 0, 0, 0, 0, 0])
        }
    }

    @Test("Whose body is slow gets no thread that others need")
    func slowBodies() async throws {
        var options = ServerOptions()
        options.threads = 4
        try await withClient(options) { other, server in
            let piece = [UInt8](repeating: 1, count: 10)
            let clients = try (0..<12).map { _ in try FastCGIClient(path: server.socket.path) }
            // Two find threads that nobody needs.
            for client in clients[..<2] {
                try client.socket.send(request(1, "/read", method: "POST") + FastCGIClient.stdin(1, piece))
            }
            usleep(20_000)
            for client in clients[2...] {
                try client.socket.send(
                    request(1, "/note", query: "slow", method: "POST") + FastCGIClient.stdin(1, piece))
            }
            for number in 0..<5 {
                try other.socket.send(request(1, "/\(number)") + FastCGIClient.stdinEnd(1))
                #expect(try collect(other, ends: 1)[1]?.text == "/\(number)")
            }
            #expect(meeting.withLock { $0["slow"] } == nil)
            // They begin with their whole body, or with much of it.
            try clients[2].socket.send(FastCGIClient.stdinEnd(1))
            #expect(try collect(clients[2], ends: 1)[1]?.text == "noted")
            try clients[3].socket.send(FastCGIClient.stdin(1, [UInt8](repeating: 1, count: 66_000)))
            #expect(try collect(clients[3], ends: 1)[1]?.text == "noted")
            #expect(meeting.withLock { $0["slow"] } == 2)
            // Who does not want it any more is not served.
            var abort: [UInt8] = []
            abort.appendHeader(.abortRequest, id: 1, count: 0)
            try clients[4].socket.send(abort)
            #expect(try collect(clients[4], ends: 1)[1]?.text == "")
            clients[5].socket.close()
            #expect(meeting.withLock { $0["slow"] } == 2)
            // When threads are free again nobody is kept waiting.
            for client in clients[..<2] {
                try client.socket.send(FastCGIClient.stdinEnd(1))
                #expect(try collect(client, ends: 1)[1]?.text == "10")
            }
            for client in clients[6...] { #expect(try collect(client, ends: 1)[1]?.text == "noted") }
            #expect(meeting.withLock { $0["slow"] } == 8)
        }
    }

    @Test(
        "Roles: the ones that there are, and others", arguments: [(1, "RESPONDER"), (2, "AUTHORIZER"), (3, "FILTER")])
    func roles(_ number: UInt16, _ name: String) async throws {
        try await withClient { client, server in
            try client.socket.send(request(1, "/role", role: number))
            if number != 2 { try client.socket.send(FastCGIClient.stdinEnd(1)) }
            #expect(try collect(client, ends: 1)[1]?.text == name)
            for _ in 0..<3 {
                try client.socket.send(request(1, "/role", role: 9))
                #expect(try collect(client, ends: 1)[1]?.status == [0, 0, 0, 0, 3, 0, 0, 0])
            }
            #expect(
                server.log.filter { $0.message == "SGI0304: web server asks for role 9, which there is not" }.count == 1
            )
        }
    }

    @Test("What a peer sends that reads no answers is not read without end", arguments: 0..<3)
    func unread(_ kind: Int) async throws {
        var options = ServerOptions()
        options.ioTimeout = 600_000
        try await withClient(options) { client, server in
            var piece: [UInt8] = []
            while piece.count < 65536 {
                switch kind {
                case 0: piece += [1, 99, 0, 0, 0, 0, 0, 0]
                case 1: piece += [1, 9, 0, 0, 0, 16, 0, 0, 14, 0] + Array("FCGI_MAX_CONNS".utf8)
                default: piece += FastCGIClient.begin(1, role: 1, keep: true) + [1, 2, 0, 1, 0, 0, 0, 0]
                }
            }
            // It takes some, and what the system keeps between the two.
            var sent = 0
            while sent < 64 << 20, client.socket.canSend(within: 1000) {
                sent += client.socket.sendNow(piece)
            }
            #expect(sent < 32 << 20)
            // Who reads goes on.
            client.socket.close()
            let other = try FastCGIClient(path: server.socket.path)
            try other.socket.send(request(1, "/next") + FastCGIClient.stdinEnd(1))
            #expect(try collect(other, ends: 1)[1]?.text == "/next")
        }
    }

    @Test("Of requests whose variables are still to come there is a limit")
    func begun() async throws {
        try await withClient { client, _ in
            for id in 1...33 as ClosedRange<UInt16> {
                try client.socket.send(FastCGIClient.begin(id, role: 1, keep: true))
            }
            #expect(try collect(client, ends: 1)[33]?.status == [0, 0, 0, 0, 2, 0, 0, 0])
            let rest = (1...32 as ClosedRange<UInt16>).flatMap { id in
                Array(request(id, "/\(id)").dropFirst(16)) + FastCGIClient.stdinEnd(id)
            }
            try client.socket.send(rest)
            let all = try collect(client, ends: 32)
            for id in 1...32 as ClosedRange<UInt16> { #expect(all[id]?.text == "/\(id)") }
        }
    }

    @Test("A filter whose data is not all there is a 400")
    func shortFilter() async throws {
        try await withClient { client, _ in
            let lengths = [("CONTENT_LENGTH", [0x33] as [UInt8]), ("FCGI_DATA_LENGTH", Array("100".utf8))]
            try client.socket.send(request(1, "/read", role: 3, more: lengths))
            var data: [UInt8] = []
            let content: [UInt8] = [1, 2]
            data.appendStream(.data, id: 1, content.span)
            data.appendStreamEnd(.data, id: 1)
            try client.socket.send(FastCGIClient.stdin(1, [7, 7, 7]) + FastCGIClient.stdinEnd(1) + data)
            #expect(try collect(client, ends: 1)[1]?.text.contains("400 Bad Request") == true)
        }
    }

    @Test(
        "Addresses of web servers are compared as addresses",
        arguments: [
            ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("0:0::0:1", "::1"), ("::ffff:10.0.0.1", "10.0.0.1"),
            ("FE80::A", "fe80::a"), ("bogus", nil), ("", nil), ("127.0.0", nil), ("127.0.0.1:80", nil),
        ] as [(String, String?)])
    func addresses(_ text: String, _ canonical: String?) { #expect(Address.canonical(text) == canonical) }

    @Test("A filter reads the body, then the data")
    func filter() async throws {
        try await withClient { client, _ in
            try client.socket.send(request(1, "/read", role: 3, more: [("CONTENT_LENGTH", [0x33])]))
            var data: [UInt8] = []
            let content: [UInt8] = [1, 2, 3, 4, 5]
            data.appendStream(.data, id: 1, content.span)
            data.appendStreamEnd(.data, id: 1)
            try client.socket.send(FastCGIClient.stdin(1, [7, 7, 7]) + FastCGIClient.stdinEnd(1) + data)
            #expect(try collect(client, ends: 1)[1]?.text == "8")
        }
    }

    @Test("A request that the web server aborts ends, and its connection lives on")
    func abort() async throws {
        try await withClient { client, _ in
            try client.socket.send(request(1, "/gone", query: "abort") + FastCGIClient.stdinEnd(1))
            for _ in 0..<12000 where meeting.withLock({ $0["abort began"] }) == nil { usleep(5000) }
            try client.socket.send([1, 2, 0, 1, 0, 0, 0, 0])
            let all = try collect(client, ends: 1)
            #expect(all[1]?.status == [0, 0, 0, 1, 0, 0, 0, 0])
            #expect(meeting.withLock { $0["abort"] } == 1)
            try client.socket.send(request(1, "/next") + FastCGIClient.stdinEnd(1))
            #expect(try collect(client, ends: 1)[1]?.text == "/next")
        }
    }

    @Test("A web server that leaves is noticed")
    func leaves() async throws {
        try await withClient { client, _ in
            try client.socket.send(request(1, "/gone", query: "leaves") + FastCGIClient.stdinEnd(1))
            for _ in 0..<12000 where meeting.withLock({ $0["leaves began"] }) == nil { usleep(5000) }
            client.socket.close()
            for _ in 0..<2000 where meeting.withLock({ $0["leaves"] }) == nil { usleep(5000) }
            #expect(meeting.withLock { $0["leaves"] } == 1)
        }
    }

    @Test("A request whose web server left while it waited to be accepted is not run")
    func leavesBeforeItIsAccepted() async throws {
        var options = ServerOptions()
        options.threads = 1
        try await withClient(options) { client, server in
            try client.socket.send(request(1, "/hold", query: "queue") + FastCGIClient.stdinEnd(1))
            for _ in 0..<12000 where meeting.withLock({ $0["queue began"] }) == nil { usleep(5000) }
            let other = try FastCGIClient(path: server.socket.path)
            try other.socket.send(request(1, "/note", query: "queued") + FastCGIClient.stdinEnd(1))
            other.socket.close()
            meeting.withLock { $0["queue"] = 1 }
            #expect(try collect(client, ends: 1)[1]?.text == "held")
            try client.socket.send(request(1, "/note", query: "queued after") + FastCGIClient.stdinEnd(1))
            #expect(try collect(client, ends: 1)[1]?.text == "noted")
            #expect(meeting.withLock { $0["queued"] } == nil)
        }
    }

    @Test("What is wrong is told to the web server's log")
    func stderr() async throws {
        try await withClient { client, server in
            try client.socket.send(request(1, "/errors") + FastCGIClient.stdinEnd(1))
            let all = try collect(client, ends: 1)
            #expect(all[1]?.stderr.contains("something is wrong") == true)
            #expect(all[1]?.text == "said")
            #expect(!server.log.contains { $0.message.contains("something is wrong") })
        }
    }

    @Test("A response that is cut has no end that looks well")
    func cut() async throws {
        try await withClient { client, _ in
            try client.socket.send(request(1, "/cut") + FastCGIClient.stdinEnd(1))
            #expect(try collect(client, ends: 1)[1] == nil)
        }
        // With others on the connection their responses are not to suffer.
        try await withClient { client, _ in
            try client.socket.send(request(2, "/sleep") + FastCGIClient.stdinEnd(2))
            usleep(20_000)
            try client.socket.send(request(1, "/cut") + FastCGIClient.stdinEnd(1))
            let all = try collect(client, ends: 2)
            #expect(all[1]?.status == [0, 0, 0, 1, 0, 0, 0, 0])
            #expect(all[2]?.text == "slept")
        }
    }

    @Test("Names and values may be long")
    func long() async throws {
        try await withClient { client, _ in
            let long = [UInt8](repeating: 0x6C, count: 150_000)
            try client.socket.send(request(1, "/variables", more: [("LONG", long)]) + FastCGIClient.stdinEnd(1))
            #expect(try collect(client, ends: 1)[1]?.text == "150000")
        }
    }

    @Test("A request byte by byte is the same request")
    func bytes() async throws {
        try await withClient { client, _ in
            for byte in request(1, "/bytes") + FastCGIClient.stdinEnd(1) { try client.socket.send([byte]) }
            #expect(try collect(client, ends: 1)[1]?.text == "/bytes")
        }
    }

    @Test("What breaks the protocol closes the connection, with a line in the log")
    func hostile() async throws {
        let long = [UInt8](repeating: 0x6C, count: 1_100_000)
        let cases: [[UInt8]] = [
            Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), request(1, "/a") + request(1, "/b"),
            request(1, "/a", more: [("CONTENT_LENGTH", Array("x".utf8))]), request(1, "/a", more: [("LONG", long)]),
            FastCGIClient.begin(1) + [1, 4, 0, 1, 0, 2, 0, 0, 200, 1] + [1, 4, 0, 1, 0, 0, 0, 0],
        ]
        for bytes in cases {
            try await withClient { client, server in
                do { try client.socket.send(bytes) } catch is ClientError {}
                while try client.record() != nil {}
                for _ in 0..<400 where !server.log.contains(where: { $0.message.hasPrefix("SGI0303: ") }) {
                    usleep(5000)
                }
                #expect(server.log.contains { $0.message.hasPrefix("SGI0303: ") })
                // Others are served.
                let other = try FastCGIClient(path: server.socket.path)
                try other.socket.send(request(1, "/other") + FastCGIClient.stdinEnd(1))
                #expect(try collect(other, ends: 1)[1]?.text == "/other")
            }
        }
    }

    @Test("A request that does not come in time is given up")
    func slow() async throws {
        var options = ServerOptions()
        options.headerTimeout = 100
        try await withClient(options) { client, server in
            try client.socket.send(FastCGIClient.begin(1))
            #expect(try client.record() == nil)
            #expect(server.log.contains { $0.message.hasPrefix("SGI0305: ") })
        }
    }

    @Test("A body that does not come in time is 408, one that is too large 413, one that is short 400")
    func bodies() async throws {
        var options = ServerOptions()
        options.ioTimeout = 200
        options.maxBodySize = 10
        func status(_ declared: String?, _ sent: Int, ends: Bool) async throws -> Int {
            try await withClient(options) { client, _ in
                let length = declared.map { [("CONTENT_LENGTH", Array($0.utf8))] } ?? []
                var bytes = request(1, "/read", method: "POST", more: length)
                bytes += FastCGIClient.stdin(1, [UInt8](repeating: 1, count: sent))
                try client.socket.send(bytes + (ends ? FastCGIClient.stdinEnd(1) : []))
                var response = GatewayResponse()
                while let record = try client.record(), record.type != .endRequest {
                    if record.type == .stdout { response.append(record.content) }
                }
                return response.status
            }
        }
        #expect(try await status("10", 5, ends: false) == 408)
        #expect(try await status("11", 11, ends: true) == 413)
        #expect(try await status(nil, 11, ends: true) == 413)
        #expect(try await status("10", 9, ends: true) == 400)
        #expect(try await status("8", 9, ends: true) == 400)
        #expect(try await status("9", 9, ends: true) == 200)
    }

    @Test("More requests than there may be are turned away")
    func overloaded() async throws {
        var options = ServerOptions()
        options.maxConcurrentRequests = 1
        try await withClient(options) { client, _ in
            try client.socket.send(request(1, "/sleep") + FastCGIClient.stdinEnd(1))
            try client.socket.send(request(2, "/two") + FastCGIClient.stdinEnd(2))
            let all = try collect(client, ends: 2)
            #expect(all[2]?.status == [0, 0, 0, 0, 2, 0, 0, 0])
            #expect(all[1]?.text == "slept")
        }
    }

    @Test("More connections than there may be wait until one goes")
    func connections() async throws {
        var options = ServerOptions()
        options.maxConnections = 2
        try await withClient(options) { first, server in
            let second = try FastCGIClient(path: server.socket.path)
            for client in [first, second] {
                try client.socket.send(request(1, "/here") + FastCGIClient.stdinEnd(1))
                #expect(try collect(client, ends: 1)[1]?.text == "/here")
            }
            let third = try FastCGIClient(path: server.socket.path)
            try third.socket.send(request(1, "/third") + FastCGIClient.stdinEnd(1))
            #expect(!third.socket.canReceive(within: 200))
            second.socket.close()
            #expect(try collect(third, ends: 1)[1]?.text == "/third")
        }
    }

    @Test("A peer that reads late gets all, and holds no thread of an asynchronous handler", arguments: [true, false])
    func late(_ isAsync: Bool) async throws {
        let large: AsyncApplication = { _ in
            Response(body: .bytes([UInt8](repeating: 0x78, count: 5_000_000)))
        }
        var options = ServerOptions()
        options.threads = isAsync ? 1 : 8
        let entry: RunningApplication.Entry = isAsync ? .handler(ApplicationHandler(large)) : .application(application)
        try await withClient(options, entry) { client, server in
            try client.socket.send(request(1, "/large") + FastCGIClient.stdinEnd(1))
            usleep(100_000)
            // The one thread answers others meanwhile.
            let other = try FastCGIClient(path: server.socket.path)
            try other.socket.send(request(1, "/large", method: "HEAD") + FastCGIClient.stdinEnd(1))
            #expect(try collect(other, ends: 1)[1]?.text == "")
            #expect(try collect(client, ends: 1)[1]?.text.utf8.count == 5_000_000)
        }
    }

    @Test("A server that is told to end answers what it has")
    func drain() async throws {
        try await onThread {
            let server = try TestServer(.application(application))
            let idle = try FastCGIClient(path: server.socket.path)
            try idle.socket.send(request(1, "/first") + FastCGIClient.stdinEnd(1))
            _ = try collect(idle, ends: 1)
            let busy = try FastCGIClient(path: server.socket.path)
            try busy.socket.send(request(1, "/sleep") + FastCGIClient.stdinEnd(1))
            usleep(50_000)
            server.stop()
            #expect(try collect(busy, ends: 1)[1]?.text == "slept")
            #expect(try busy.record() == nil)
            #expect(try idle.record() == nil)
            #expect(server.waitForEnd() == .done)
        }
    }

    @Test("A server ends after the requests that it was to serve")
    func maxRequests() async throws {
        var options = ServerOptions()
        options.maxRequests = 3
        try await onThread { [options] in
            let server = try TestServer(.application(application), options)
            let client = try FastCGIClient(path: server.socket.path)
            for number in 0..<3 {
                try client.socket.send(request(1, "/\(number)") + FastCGIClient.stdinEnd(1))
                #expect(try collect(client, ends: 1)[1]?.text == "/\(number)")
            }
            #expect(try client.record() == nil)
            #expect(server.waitForEnd() == .done)
        }
    }

    @Test("A request that does not end is cut off behind the grace period")
    func grace() async throws {
        var options = ServerOptions()
        options.grace = 100
        let endless: AsyncApplication = { _ in
            try await Task.sleep(for: .seconds(1000))
            return Response(body: .bytes([]))
        }
        try await onThread { [options] in
            let server = try TestServer(.handler(ApplicationHandler(endless)), options)
            let client = try FastCGIClient(path: server.socket.path)
            try client.socket.send(request(1, "/endless") + FastCGIClient.stdinEnd(1))
            usleep(50_000)
            server.stop()
            var response = GatewayResponse()
            while let record = try client.record(), record.type != .endRequest {
                if record.type == .stdout { response.append(record.content) }
            }
            #expect(response.status == 503)
            #expect(server.waitForEnd() == .done)
        }
    }

    @Test("An asynchronous handler that takes too long is cancelled")
    func deadline() async throws {
        var options = ServerOptions()
        options.requestTimeout = 100
        let endless: AsyncApplication = { _ in
            try await Task.sleep(for: .seconds(1000))
            return Response(body: .bytes([]))
        }
        try await withClient(options, .handler(ApplicationHandler(endless))) { client, _ in
            try client.socket.send(request(1, "/endless") + FastCGIClient.stdinEnd(1))
            var response = GatewayResponse()
            while let record = try client.record(), record.type != .endRequest {
                if record.type == .stdout { response.append(record.content) }
            }
            #expect(response.status == 504)
        }
    }

    @Test("Requests that wait hold no thread")
    func waiting() async throws {
        let sleepy: AsyncApplication = { _ in
            try await Task.sleep(for: .milliseconds(500))
            return Response(body: .bytes(Array("awake".utf8)))
        }
        var options = ServerOptions()
        options.threads = 2
        try await withClient(options, .handler(ApplicationHandler(sleepy))) { client, _ in
            for id in UInt16(1)...200 { try client.socket.send(request(id, "/") + FastCGIClient.stdinEnd(id)) }
            let all = try collect(client, ends: 200)
            #expect(all.count == 200)
            #expect(all.values.allSatisfy { $0.text == "awake" })
        }
    }
}
