import GatewayClients
import Glibc
import HTTPTypes
import SwiftGICore
import SwiftGIServers
import Synchronization
import Testing

/// What mod_swiftgi and its daemons have beside FastCGI, and that nobody else gets it.
struct DaemonProtocolTests {
    // MARK: The request

    @Test("The module's own variables are the server's, its fields and its id the application's")
    func variables() async throws {
        try await withClient(.application(application)) { client, _ in
            try client.ask("/variables", more: [("SWIFTGI_FIELDS", "X_Odd: odd\r\nEmpty:\r\nno field\r\n")])
            let reply = try client.reply()
            #expect(reply.status == 0)
            let lines = Set(reply.text.split(separator: "\n"))
            #expect(lines.isSuperset(of: ["id req-1", "X_Odd=odd", "Empty=", "swiftgi.request_id"]), "\(reply.text)")
            #expect(!lines.contains { $0.hasPrefix("SWIFTGI_") || $0.hasPrefix("FCGI_") }, "\(reply.text)")
            // As they came: what is made of others' variables is not made of httpd's.
            #expect(lines.contains("SERVER_NAME=_"), "\(reply.text)")
        }
    }

    @Test("Whoever does not announce extensions gets none", arguments: ["", "2", "yes"])
    func foreign(_ version: String) async throws {
        try await withClient(.handler(handler)) { client, server in
            let own = [("SWIFTGI_REQUEST_ID", "req-1"), ("PATH_INFO", "/interim"), ("REQUEST_METHOD", "GET")]
            let announced = version.isEmpty ? own : own + [("SWIFTGI_EXTENSIONS", version)]
            let params = FastCGIClient.params(1, announced.map { ($0.0, Array($0.1.utf8)) })
            try client.socket.send(FastCGIClient.begin(1, keep: true) + params + FastCGIClient.stdinEnd(1))
            let reply = try client.reply()
            #expect(reply.heads.count == 1)
            #expect(reply.trailers.isEmpty)
            #expect(reply.stderr == "")
            #expect(server.log.contains { $0.message.contains("an informal line") })
            // Records that it does not know.
            for type in [UInt8(65), 66, 68] { try client.socket.send([1, type, 0, 1, 0, 1, 0, 0, 4]) }
            for type in [UInt8(65), 66, 68] {
                let record = try #require(try client.record())
                #expect(record.type == .unknownType)
                #expect(record.content.first == type)
            }
        }
    }

    @Test("What the module says of the body is what reading it comes to", arguments: [(4, 4), (5, 5), (6, 6), (7, 2)])
    func inputFails(_ told: UInt8, _ status: UInt32) async throws {
        try await withClient(.application(application)) { client, _ in
            try client.ask("/read", method: "POST", endsInput: false)
            try client.socket.send(FastCGIClient.stdin(1, [1, 2, 3]) + [1, 66, 0, 1, 0, 1, 0, 0, told])
            let reply = try client.reply()
            #expect(reply.status == status)
            #expect(reply.heads.isEmpty)
            try client.ask("/next")
            #expect(try client.reply().text == "/next")
        }
    }

    @Test("Fields behind the body of the request are there when its end was read")
    func requestTrailers() async throws {
        try await withClient(.handler(handler)) { client, _ in
            try client.ask("/trailers", method: "POST", endsInput: false)
            let fields = Array("X-Sum: 42\r\n".utf8)
            try client.socket.send(
                FastCGIClient.stdin(1, [1]) + [1, 65, 0, 1, 0, UInt8(fields.count), 0, 0] + fields
                    + FastCGIClient.stdinEnd(1))
            #expect(try client.reply().text == "0 X-Sum=42")
        }
    }

    @Test("A body that is held back is asked for when it is wanted, once", arguments: [true, false])
    func inputWanted(_ isAsync: Bool) async throws {
        try await withClient(isAsync ? .handler(handler) : .application(application)) { client, _ in
            for method in ["POST", "PUT"] {
                try client.ask(
                    "/read", method: method, more: [("HTTP_EXPECT", "100-continue")], endsInput: false)
                let wanted = try #require(try client.rawRecord())
                #expect(wanted.type == 67)
                #expect(wanted.content == [])
                try client.socket.send(FastCGIClient.stdin(1, [1, 2, 3]) + FastCGIClient.stdinEnd(1))
                let reply = try client.reply()
                #expect(reply.text == "3")
                #expect(reply.others == [])
            }
            // Not by who does not read, nor of who holds nothing back.
            try client.ask("/next", more: [("HTTP_EXPECT", "100-continue")])
            #expect(try client.reply().others == [])
            try client.ask("/read", method: "POST", endsInput: false)
            try client.socket.send(FastCGIClient.stdin(1, [1]) + FastCGIClient.stdinEnd(1))
            #expect(try client.reply().others == [])
        }
    }

    @Test("A handler hears that the server wants to end")
    func stopping() async throws {
        try await withClient(.handler(handler)) { client, _ in
            try client.ask("/until-stop")
            try client.socket.send([1, 68, 0, 1, 0, 0, 0, 0])
            #expect(try client.reply().text == "stopped")
        }
    }

    // MARK: The response

    @Test(
        "What a request came to is its application status, and the connection is kept",
        arguments: [
            ("/fails", 2, false), ("/cut", 2, true), ("/large", 4, false), ("/bad", 5, false), ("/stored", 2, true),
        ])
    func outcomes(_ path: String, _ status: UInt32, _ hasHead: Bool) async throws {
        try await withClient(.application(application)) { client, _ in
            for _ in 0..<2 {
                try client.ask(path)
                let reply = try client.reply()
                #expect(reply.status == status)
                #expect(reply.heads.count == (hasHead ? 1 : 0))
                if hasHead { #expect(reply.text == "half") }
                #expect(reply.stderr.contains("[error] [req-1] SGI02"), "\(reply.stderr)")
            }
            try client.ask("/next")
            #expect(try client.reply().text == "/next")
        }
    }

    @Test("Informational responses and trailers pass, and every line of the log, with level and id")
    func interim() async throws {
        try await withClient(.handler(handler)) { client, server in
            try client.ask("/interim")
            let reply = try client.reply()
            #expect(reply.heads.count == 2)
            #expect(reply.heads.first?.hasPrefix("Status: 103") == true)
            #expect(reply.heads.first?.contains("Link: </a>\r\n") == true)
            #expect(reply.heads.last?.hasPrefix("Status: 200") == true)
            #expect(reply.text == "body")
            #expect(reply.trailers == "X-Sum: 42\r\n")
            #expect(reply.stderr == "[info] [req-1] request: an informal line\n")
            #expect(!server.log.contains { $0.message.contains("an informal line") })
        }
    }

    @Test("A line that is too long for the module comes in parts, each with its level")
    func longLine() async throws {
        try await withClient(.application(application)) { client, _ in
            try client.ask("/long-line")
            let lines = try client.reply().stderr.split(separator: "\n")
            #expect(lines.count == 3)
            #expect(lines.allSatisfy { $0.hasPrefix("[error] [req-1] x") && $0.utf8.count < 4096 })
            #expect(lines.reduce(0) { $0 + $1.utf8.count { $0 == 0x78 } } == 10_000)
        }
    }

    @Test("A file goes as its descriptor, unless it is small or the peer is another")
    func files() async throws {
        let file = try ScratchFile(byteCount: 300_000)
        try await withClient(.application(application)) { client, _ in
            try client.ask("/file", query: file.path)
            let reply = try client.reply()
            #expect(reply.status == 0)
            #expect(reply.files.map(\.range) == [10..<300_000])
            #expect(reply.files.map(\.content) == [Array(file.content[10...])])
            #expect(reply.heads.first?.contains("Content-Length: 299990\r\n") == true)
            #expect(reply.text == "")
            try client.ask("/file", query: file.path, method: "HEAD")
            #expect(try client.reply().files.isEmpty)
            try client.ask("/small-file", query: file.path)
            #expect(try client.reply().text == String(decoding: file.content[10..<110], as: UTF8.self))
            let params = [("PATH_INFO", "/file"), ("QUERY_STRING", file.path), ("REQUEST_METHOD", "GET")]
            let plain = FastCGIClient.params(1, params.map { ($0.0, Array($0.1.utf8)) })
            try client.socket.send(FastCGIClient.begin(1, keep: true) + plain + FastCGIClient.stdinEnd(1))
            let other = try client.reply()
            #expect(other.files.isEmpty)
            #expect(other.text == String(decoding: file.content[10...], as: UTF8.self))
        }
    }

    // MARK: The end

    @Test("A server that ends turns away what it has not begun, and finishes what it has", arguments: [true, false])
    func drain(_ isAsync: Bool) async throws {
        try await onThread {
            let gate = Gate("drain \(isAsync)")
            let server = try TestServer(isAsync ? .handler(handler) : .application(application))
            let idle = try FastCGIClient(path: server.socket.path)
            try idle.ask("/first")
            #expect(try idle.reply().text == "/first")
            let busy = try FastCGIClient(path: server.socket.path)
            try busy.ask("/gate", query: gate.name)
            try gate.waitForArrival()
            server.stop()
            // What is written to a connection without a request fails: it is known not to have arrived.
            try gate.waitUntil("the idle connection to close") { (try? idle.socket.send([1])) == nil }
            gate.open()
            #expect(try busy.reply().text == "passed")
            #expect(server.waitForEnd() == .done)
        }
    }

    @Test("A request that arrives while the server ends is turned away as not begun")
    func overloaded() async throws {
        var options = ServerOptions()
        options.threads = 1
        try await onThread { [options] in
            let gate = Gate("overloaded")
            let server = try TestServer(.application(application), options)
            let idle = try FastCGIClient(path: server.socket.path)
            try idle.ask("/first")
            #expect(try idle.reply().text == "/first")
            let new = try FastCGIClient(path: server.socket.path)
            try new.ask("/first")
            #expect(try new.reply().text == "/first")
            let busy = try FastCGIClient(path: server.socket.path)
            try busy.ask("/gate", query: gate.name)
            try gate.waitForArrival()
            // The only thread is taken: these are in the system's hands, the second not as a whole.
            try idle.ask("/second")
            try new.socket.send(FastCGIClient.begin(1, keep: true) + [1, 4, 0, 1])
            server.stop()
            try gate.waitUntil("the server to end") { server.log.contains { $0.message.hasPrefix("SGI0310") } }
            try gate.waitUntil("the way in to close") { (try? idle.socket.send([1])) == nil }
            gate.open()
            #expect(try busy.reply().text == "passed")
            for client in [idle, new] {
                let reply = try client.reply()
                #expect(reply.protocolStatus == 2)
                #expect(reply.heads.isEmpty)
            }
            #expect(server.waitForEnd() == .done)
        }
    }

    @Test("What comes as a whole while all threads are busy is given back, and nothing of which a part came before")
    func busy() async throws {
        // For as long as the process lives.
        let memory = unsafe UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 16)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
        var options = ServerOptions()
        options.threads = 1
        options.board = unsafe RequestBoard(memory: memory, places: 1, size: 64)
        try await onThread { [options] in
            let gate = Gate("busy")
            let server = try TestServer(.application(application), options)
            let kept = try (0..<2).map { _ in try FastCGIClient(path: server.socket.path) }
            for client in kept {
                try client.ask("/first")
                #expect(try client.reply().text == "/first")
            }
            let busy = try FastCGIClient(path: server.socket.path)
            try busy.ask("/gate", query: gate.name)
            try gate.waitForArrival()
            try kept[0].ask("/read", method: "POST", endsInput: false)
            try kept[1].ask("/second")
            let reply = try kept[1].reply()
            #expect(reply.protocolStatus == 2)
            #expect(reply.heads.isEmpty)
            // The module may not have all any more of what it has sent in parts.
            try kept[0].socket.send(FastCGIClient.stdinEnd(1))
            try kept[1].ask("/third")
            #expect(try kept[1].reply().protocolStatus == 2)
            gate.open()
            #expect(try busy.reply().text == "passed")
            #expect(try kept[0].reply().protocolStatus == 0)
            server.stop()
            #expect(server.waitForEnd() == .done)
        }
    }

    @Test("An abort cancels the handler's task, or has its I/O throw", arguments: [true, false])
    func abort(_ isAsync: Bool) async throws {
        try await withClient(isAsync ? .handler(handler) : .application(application)) { client, server in
            let gate = Gate("abort \(isAsync)")
            try client.ask("/until-abort", query: gate.name)
            try gate.waitForArrival()
            try client.socket.send([1, 2, 0, 1, 0, 0, 0, 0])
            #expect(try client.reply().status == 1)
            #expect(gate.note == (isAsync ? "CancellationError" : "clientGone"))
        }
    }

    // MARK: Limits

    @Test("Whoever wants to hear of limits hears of each once, and the server goes on")
    func limits() async throws {
        var options = ServerOptions()
        options.maxRequests = 2
        options.inactivityTimeout = 50
        try await onThread { [options] in
            let heard = Mutex<[GatewayServer.Limit]>([])
            let server = try TestServer(.application(application), options) { limit in
                heard.withLock { $0.append(limit) }
            }
            let gate = Gate("limits")
            let client = try FastCGIClient(path: server.socket.path)
            for number in 1...4 {
                try client.ask("/\(number)")
                #expect(try client.reply().text == "/\(number)")
                if number == 2 { #expect(heard.withLock { $0.contains(.requests) }) }
            }
            try gate.waitUntil("the inactivity to be told") { heard.withLock { $0.contains(.inactivity) } }
            try client.ask("/5")
            #expect(try client.reply().text == "/5")
            #expect(heard.withLock { $0.count } == 2)
            server.stop()
            #expect(server.waitForEnd() == .done)
        }
    }

    @Test("Without anybody to tell, an inactive server ends, but not before its first request")
    func inactivity() async throws {
        var options = ServerOptions()
        options.inactivityTimeout = 50
        try await onThread { [options] in
            let server = try TestServer(.application(application), options)
            usleep(200_000)
            let client = try FastCGIClient(path: server.socket.path)
            try client.ask("/first")
            #expect(try client.reply().text == "/first")
            #expect(server.waitForEnd() == .done)
            #expect(server.log.contains { $0.message.hasPrefix("SGI0314: ") })
        }
    }

    // MARK: Slow peers

    @Test("The end of a response waits for its peer on the connection, not on the only thread")
    func slowReader() async throws {
        var options = ServerOptions()
        options.threads = 1
        try await withClient(.application(application), options) { client, server in
            try client.ask("/bytes", query: "120000")
            // More than the socket takes at once, too.
            let second = try FastCGIClient(path: server.socket.path)
            try second.ask("/bytes", query: "300000")
            let other = try FastCGIClient(path: server.socket.path)
            try other.ask("/next")
            #expect(try other.reply().text == "/next")
            #expect(try client.reply().text.utf8.count == 120_000)
            #expect(try second.reply().text.utf8.count == 300_000)
        }
    }

    @Test("What nobody takes is given up behind the time for I/O")
    func stalledOutput() async throws {
        var options = ServerOptions()
        options.ioTimeout = 100
        try await withClient(.application(application), options) { client, server in
            try client.ask("/bytes", query: "300000")
            let gate = Gate("stalled output")
            // It must not read, and what it writes arrives until then: the end of a request that there is not.
            let nothing: [UInt8] = [1, 2, 3, 3, 0, 0, 0, 0]
            try gate.waitUntil("the connection to be closed") { (try? client.socket.send(nothing)) == nil }
            #expect(!server.log.contains { $0.message.hasPrefix("SGI0303: ") })
        }
    }

    @Test("A peer that takes little at a time is no peer that takes nothing", arguments: [true, false])
    func steadyReader(_ isAsync: Bool) async throws {
        var options = ServerOptions()
        options.ioTimeout = 4000
        try await withClient(isAsync ? .handler(handler) : .application(application), options) { client, _ in
            try client.ask("/pieces", query: "600000")
            // So slowly that all of it takes longer than the time for I/O, and then fast. Not more slowly:
            // the system tells of room in a socket only when much of it is free.
            var count = 0
            while count <= 600_000 {
                let bytes = try client.socket.receive(upTo: count < 450_000 ? 16384 : 65536)
                if bytes.isEmpty { break }
                count += bytes.count
                if count < 450_000 { usleep(200_000) }
            }
            #expect(count > 600_000)
        }
    }
}

// MARK: - Applications

private let application: Application = { environ, startResponse in
    switch environ.pathInfo {
    case "/variables":
        var lines = ["id \(environ.requestID)"]
        for (name, value) in environ.snapshot().sorted(by: { $0.key < $1.key }) {
            if name.hasPrefix("S") || name.hasPrefix("F") { lines.append("\(name)=\(value)") }
            if name == "swiftgi.request_id" { lines.append(name) }
        }
        for field in environ.headers { lines.append("\(field.name.rawName)=\(field.value)") }
        return try reply(startResponse, lines.joined(separator: "\n"))
    case "/read": return try reply(startResponse, "\(try environ.input.collect(upTo: 1 << 20).count)")
    case "/fails": throw ClientError("a failure")
    case "/large": throw GatewayError(.bodyTooLarge)
    case "/bad": throw GatewayError(.malformedBody)
    case "/cut":
        try startResponse(.ok, [:], nil)
        return .push { writer in
            try writer.write("half")
            throw ClientError("cut")
        }
    case "/stored":
        try startResponse(.ok, [.contentLength: "10"], nil)
        return .chunks([Array("half".utf8), []])
    case "/long-line":
        environ.errors.write(String(repeating: "x", count: 10_000) + "\n")
        return try reply(startResponse, "")
    case "/file":
        try startResponse(.ok, [:], nil)
        return .file(descriptor: open(environ.queryString, O_RDONLY), offset: 10)
    case "/small-file":
        try startResponse(.ok, [:], nil)
        return .file(descriptor: open(environ.queryString, O_RDONLY), offset: 10, length: 100)
    case "/gate":
        try Gate.at(environ.queryString).arriveAndWait()
        return try reply(startResponse, "passed")
    case "/until-abort":
        let gate = Gate.at(environ.queryString)
        gate.arrive()
        try startResponse(.ok, [:], nil)
        return .push { writer in
            do {
                while true {
                    try writer.write("x")
                    usleep(1000)
                }
            } catch let error as GatewayError {
                gate.note = "\(error.code)"
                throw error
            }
        }
    case "/bytes":
        return try reply(startResponse, String(repeating: "x", count: Int(environ.queryString) ?? 0))
    case "/pieces":
        try startResponse(.ok, [:], nil)
        let count = (Int(environ.queryString) ?? 0) / 300_000
        return .push { writer in for _ in 0..<count { try writer.write([UInt8](repeating: 1, count: 300_000)) } }
    default: return try reply(startResponse, environ.pathInfo)
    }
}

private func reply(_ startResponse: StartResponse, _ text: String) throws -> Body {
    try startResponse(.ok, [.contentType: "text/plain"], nil)
    return .string(text)
}

private struct Handler: RequestHandler {
    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext, reader: consuming sending RequestReader,
        responseSender: consuming sending ResponseSender
    ) async throws {
        var sender = responseSender
        let query = await requestContext.variable("QUERY_STRING") ?? ""
        let path = await requestContext.variable("PATH_INFO") ?? ""
        switch path {
        case "/read":
            let count = try await reader.collect(upTo: 1 << 20).count
            try await sender.sendAndFinish(HTTPResponse(status: .ok), Array("\(count)".utf8))
        case "/trailers":
            let before = try await reader.trailers.count
            while try await reader.next() != nil {}
            let after = try await reader.trailers.map { "\($0.name.rawName)=\($0.value)" }.joined()
            try await sender.sendAndFinish(HTTPResponse(status: .ok), Array("\(before) \(after)".utf8))
        case "/until-stop":
            try await requestContext.waitUntilServerStops()
            try await sender.sendAndFinish(HTTPResponse(status: .ok), Array("stopped".utf8))
        case "/interim":
            guard let link = HTTPField.Name("Link"), let sum = HTTPField.Name("X-Sum") else { return }
            let hints = HTTPResponse(status: .init(code: 103), headerFields: [link: "</a>"])
            try await sender.sendInformational(hints)
            await requestContext.note("an informal line")
            let writer = try await sender.send(HTTPResponse(status: .ok))
            try await writer.finish(Array("body".utf8), trailers: [sum: "42"])
        case "/gate":
            let gate = Gate.at(query)
            gate.arrive()
            while !gate.isOpen { try await Task.sleep(for: .milliseconds(5)) }
            try await sender.sendAndFinish(HTTPResponse(status: .ok), Array("passed".utf8))
        case "/until-abort":
            let gate = Gate.at(query)
            gate.arrive()
            do { try await Task.sleep(for: .seconds(1000)) } catch {
                gate.note = "\(type(of: error))"
                throw error
            }
        case "/pieces":
            var writer = try await sender.send(HTTPResponse(status: .ok))
            for _ in 0..<(Int(query) ?? 0) / 300_000 { try await writer.write([UInt8](repeating: 1, count: 300_000)) }
            try await writer.finish()
        default:
            try await sender.sendAndFinish(HTTPResponse(status: .ok), Array(path.utf8))
        }
    }
}

private let handler = Handler()

extension RequestContext {
    /// A line of the log at info.
    fileprivate func note(_ text: String) async { logger.info("\(text)") }
}

// MARK: - Helpers

/// Where a request waits for its test.
private final class Gate: Sendable {
    private static let all = Mutex<[String: Gate]>([:])

    let name: String
    private let state = Mutex((hasArrived: false, isOpen: false, note: ""))

    init(_ name: String) {
        self.name = name
        Self.all.withLock { $0[name] = self }
    }

    static func at(_ name: String) -> Gate { all.withLock { $0[name] } ?? Gate(name) }

    var isOpen: Bool { state.withLock { $0.isOpen } }

    var note: String {
        get { state.withLock { $0.note } }
        set { state.withLock { $0.note = newValue } }
    }

    func open() { state.withLock { $0.isOpen = true } }
    func arrive() { state.withLock { $0.hasArrived = true } }

    func arriveAndWait() throws {
        arrive()
        try waitUntil("the gate to open") { isOpen }
    }

    func waitForArrival() throws { try waitUntil("the request to arrive") { state.withLock { $0.hasArrived } } }

    func waitUntil(_ what: String, _ condition: () throws -> Bool) throws {
        for _ in 0..<4000 {
            if try condition() { return }
            usleep(5000)
        }
        throw ClientError("waited in vain for \(what)")
    }
}

private func withClient<Value: Sendable>(
    _ entry: RunningApplication.Entry, _ options: ServerOptions = ServerOptions(),
    _ body: @escaping @Sendable (FastCGIClient, TestServer) throws -> Value
) async throws -> Value {
    try await onThread {
        let server = try TestServer(entry, options)
        defer { server.stop() }
        return try body(FastCGIClient(path: server.socket.path), server)
    }
}

/// A file of text that ends with the test.
private final class ScratchFile: Sendable {
    let path = "/tmp/swiftgi-\(getpid())-\(UInt32.random(in: 0 ... .max)).txt"
    let content: [UInt8]

    init(byteCount: Int) throws {
        content = (0..<byteCount).map { UInt8(0x61 + $0 % 26) }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
        guard descriptor >= 0, write(descriptor, content, byteCount) == byteCount else {
            throw ClientError("open: \(errno)")
        }
        close(descriptor)
    }

    deinit { unlink(path) }
}

/// All that comes for a request.
private struct Reply {
    var heads: [String] = []
    var text = ""
    var stderr = ""
    var trailers = ""
    var files: [(range: Range<Int>, content: [UInt8])] = []
    var others: [UInt8] = []
    var status: UInt32 = .max
    var protocolStatus: UInt8 = .max
}

extension FastCGIClient {
    /// A request as the module sends it.
    fileprivate func ask(
        _ path: String, query: String = "", method: String = "GET", more: [(String, String)] = [],
        endsInput: Bool = true
    ) throws {
        let before = [
            ("REQUEST_METHOD", method), ("SCRIPT_NAME", ""), ("PATH_INFO", path), ("QUERY_STRING", query),
            ("SERVER_NAME", "_"), ("SWIFTGI_REQUEST_ID", "req-1"),
        ]
        let all =
            before + more.filter { $0.0 != "SWIFTGI_FIELDS" } + [("SWIFTGI_EXTENSIONS", "1")]
            + more.filter { $0.0 == "SWIFTGI_FIELDS" }
        let params = FastCGIClient.params(1, all.map { ($0.0, Array($0.1.utf8)) })
        try socket.send(FastCGIClient.begin(1, keep: true) + params + (endsInput ? FastCGIClient.stdinEnd(1) : []))
    }

    fileprivate func reply() throws -> Reply {
        var reply = Reply()
        var output: [UInt8] = []
        func takeHeads() {
            while reply.heads.last.map({ $0.hasPrefix("Status: 1") }) ?? true,
                let end = output.indices.first(where: { output[$0...].starts(with: [13, 10, 13, 10]) })
            {
                reply.heads.append(String(decoding: output[..<(end + 2)], as: UTF8.self))
                output.removeFirst(end + 4)
            }
        }
        while let record = try rawRecord() {
            let text = String(decoding: record.content, as: UTF8.self)
            switch record.type {
            case 6:
                output += record.content
                takeHeads()
            case 7: reply.stderr += text
            case 65: reply.trailers += text
            case 64:
                let numbers = [record.content[..<8], record.content[8...]].map { $0.reduce(0) { $0 << 8 | Int($1) } }
                let descriptor = try #require(socket.takeDescriptor())
                defer { Glibc.close(descriptor) }
                var bytes = [UInt8](repeating: 0, count: numbers[1])
                let count = pread(descriptor, &bytes, bytes.count, numbers[0])
                reply.files.append((numbers[0]..<numbers[0] + count, bytes))
            case 3:
                reply.status = record.content[..<4].reduce(0) { $0 << 8 | UInt32($1) }
                reply.protocolStatus = record.content[4]
                reply.text = String(decoding: output, as: UTF8.self)
                return reply
            default: reply.others.append(record.type)
            }
        }
        reply.text = String(decoding: output, as: UTF8.self)
        return reply
    }
}
