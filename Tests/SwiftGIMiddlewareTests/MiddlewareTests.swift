import HTTPTypes
import Logging
import SwiftGICore
import SwiftGIMiddleware
import SwiftGITesting
import Synchronization
import Testing

private let requestID = HTTPField.Name("X-Request-ID")!

@Suite struct TimingTests {
    @Test("A response says how long it took", arguments: Contract.allCases)
    func timing(_ contract: Contract) throws {
        let response = respond(contract, through: Timing(metric: "db")) { _ in Answer("x") }
        let value = try #require(response.headers[HTTPField.Name("Server-Timing")!])
        let figure = try #require(value.wholeMatch(of: /db;dur=(\d+\.\d{3})/)).1
        #expect(try #require(Double(figure)) >= 0)
        #expect(response.text == "x")
    }
}

@Suite struct TransformResponseTests {
    private struct Shouting: BodyFilter {
        func transform(_ bytes: [UInt8]) -> [UInt8] { bytes.map { (0x61...0x7A).contains($0) ? $0 - 0x20 : $0 } }
        func finish() -> [UInt8] { Array("!".utf8) }
    }

    @Test("Head and content are changed", arguments: Contract.allCases)
    func changes(_ contract: Contract) {
        let transform = TransformResponse { response in
            response.headerFields[.eTag] = "\"x\""
            return Shouting()
        }
        let response = respond(contract, through: transform) { _ in
            Answer("hello", fields: [.contentType: "text/plain", .contentLength: "5"])
        }
        #expect(response.headers[.eTag] == "\"x\"")
        #expect(response.text == "HELLO!")
        #expect(!response.isAborted)
    }

    @Test("Without a filter the length stays", arguments: Contract.allCases)
    func head(_ contract: Contract) {
        let transform = TransformResponse { response in
            response.status = .accepted
            return nil
        }
        let response = respond(contract, through: transform) { _ in Answer("hello") }
        #expect(response.status == .accepted)
        #expect(response.headers[.contentLength] == "5")
    }

    @Test("A stream stays one")
    func stream() {
        let application: Application = { _, startResponse in
            try startResponse(.ok, [.contentType: "text/plain"], nil)
            return .push {
                try $0.write("a")
                try $0.write("b")
            }
        }
        let transform = TransformResponse { _ in Shouting() }
        let response = MemoryGateway(transform.wrap(application)).respond(to: MemoryRequest())
        #expect(response.pieces.map { String(decoding: $0, as: UTF8.self) } == ["A", "B", "!"])
    }
}

@Suite struct ErrorPagesTests {
    @Test("In production the client learns nothing of the error", arguments: Contract.allCases)
    func production(_ contract: Contract) {
        let request = MemoryRequest(path: "/broken?x=1")
        let response = respond(contract, to: request, through: ErrorPages()) { _ in throw Failure() }
        #expect(response.status == .internalServerError)
        #expect(response.headers[.contentType] == "text/html; charset=utf-8")
        #expect(response.text.contains("<h1>500 Internal Server Error</h1>"))
        #expect(!response.text.contains("failed"))
        #expect(!response.text.contains("broken"))
        #expect(
            response.log.contains { $0.level == .error && $0.message.contains("GET /broken?x=1 failed: <it> & failed") }
        )
    }

    @Test("In development the page shows error and request, and no secrets", arguments: Contract.allCases)
    func development(_ contract: Contract) {
        var request = MemoryRequest(path: "/<broken>", headers: [.authorization: "Basic c2VjcmV0", .accept: "text/*"])
        request.variables["MY_SETTING"] = "\"quoted\""
        let response = respond(contract, to: request, through: ErrorPages(.development)) { _ in throw Failure() }
        #expect(response.text.contains("&lt;it&gt; &amp; failed"))
        #expect(response.text.contains("<code>Failure</code>"))
        #expect(response.text.contains("GET /&lt;broken&gt;"))
        #expect(response.text.contains("&quot;quoted&quot;"))
        #expect(response.text.contains("text/*"))
        #expect(!response.text.contains("c2VjcmV0"))
        #expect(!response.text.contains("<broken>"))
    }

    @Test("An error that knows its status is answered with it", arguments: Contract.allCases)
    func status(_ contract: Contract) {
        let response = respond(contract, through: ErrorPages()) { _ in
            throw HTTPStatusError(.unauthorized, "Who <are> you?", headers: [.wwwAuthenticate: "Basic"])
        }
        #expect(response.status == .unauthorized)
        #expect(response.headers[.wwwAuthenticate] == "Basic")
        #expect(response.text.contains("<p>Who &lt;are&gt; you?</p>"))
        // That is no failure of the application.
        #expect(response.log.filter { $0.level >= .warning }.isEmpty)
    }

    @Test("The gateway's errors are the server's", arguments: Contract.allCases)
    func gateway(_ contract: Contract) {
        let application: Application = { environ, startResponse in
            try startResponse(.ok, [.contentType: "text/plain"], nil)
            return .bytes(try environ.input.collect(upTo: 1))
        }
        let handler = ClosureHandler { _, _, reader, sender in
            try await sender.sendAndFinish(HTTPResponse(status: .ok), try await reader.collect(upTo: 1))
        }
        let gateway =
            contract == .gateway
            ? MemoryGateway(ErrorPages().wrap(application)) : MemoryGateway(handler: ErrorPages().wrap(handler))
        let response = gateway.respond(to: MemoryRequest(body: "long"))
        #expect(response.status == .contentTooLarge)
        #expect(response.body == [])
    }

    @Test("Behind the first byte there is no page, and the response is aborted", arguments: Contract.allCases)
    func late(_ contract: Contract) {
        let application: Application = { _, startResponse in
            try startResponse(.ok, [.contentType: "text/plain"], nil)
            return .push {
                try $0.write("begin")
                throw Failure()
            }
        }
        let handler = ClosureHandler { _, _, _, sender in
            var writer = try await sender.send(HTTPResponse(status: .ok))
            try await writer.write("begin")
            throw Failure()
        }
        let gateway =
            contract == .gateway
            ? MemoryGateway(ErrorPages().wrap(application)) : MemoryGateway(handler: ErrorPages().wrap(handler))
        let response = gateway.respond(to: MemoryRequest())
        #expect(response.text == "begin")
        #expect(response.isAborted)
        #expect(response.log.contains { $0.message.contains("SGI0201") && $0.message.contains("<it> & failed") })
    }

    @Test("A head that was stored is replaced, and outer middleware sees the page", arguments: Contract.allCases)
    func replaced(_ contract: Contract) {
        let application: Application = { _, startResponse in
            try startResponse(.ok, [.contentType: "text/plain", .eTag: "x"], nil)
            throw Failure()
        }
        let handler = ClosureHandler { _, _, _, sender in
            _ = try await sender.send(HTTPResponse(status: .ok, headerFields: [.eTag: "x"]))
            throw Failure()
        }
        let gateway =
            contract == .gateway
            ? MemoryGateway(wrapped(application, by: Timing(), ErrorPages()))
            : MemoryGateway(handler: handler.wrapped(by: Timing(), ErrorPages()))
        let response = gateway.respond(to: MemoryRequest())
        #expect(response.status == .internalServerError)
        #expect(response.headers[.eTag] == nil)
        #expect(response.headers[HTTPField.Name("Server-Timing")!] != nil)
        #expect(response.text.contains("<h1>500"))
    }
}

@Suite struct RequestTraceTests {
    private static let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    @Test("A caller's trace goes on", arguments: Contract.allCases)
    func goesOn(_ contract: Contract) {
        var request = MemoryRequest()
        request.headers[HTTPField.Name("traceparent")!] = Self.traceparent
        request.headers[HTTPField.Name("tracestate")!] = "vendor=1"
        let response = respond(contract, to: request, through: RequestTrace()) { seen in
            let trace = seen.trace
            let isCurrent = RequestTrace.current == trace
            return Answer("\(trace?.traceID ?? "") \(trace?.parentID ?? "") \(trace?.state ?? "") \(isCurrent)")
        }
        #expect(response.text == "0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 vendor=1 true")
        #expect(response.headers[requestID]?.isEmpty == false)
    }

    @Test(
        "A field that breaks its form is ignored, and a trace begins",
        arguments: [
            "", "00", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c8031ñc-b7ad6b7169203331-01",
        ])
    func begins(_ field: String) {
        #expect(TraceContext(traceparent: field) == nil)
    }

    @Test("What it sends on is what a reader accepts")
    func sendsOn() throws {
        let first = TraceContext()
        #expect(first.parentID == nil)
        let second = try #require(TraceContext(traceparent: first.traceparent))
        #expect(second.traceID == first.traceID)
        #expect(second.parentID == first.spanID)
        #expect(second.spanID != first.spanID)
        #expect(!second.isSampled)
        #expect(try #require(TraceContext(traceparent: Self.traceparent)).isSampled)
        // A later version may have more.
        #expect(TraceContext(traceparent: "01" + Self.traceparent.dropFirst(2) + "-more") != nil)
    }

    @Test("What a body runs has the trace, its end included")
    func bodies() {
        let seen = Mutex<[String]>([])
        @Sendable func note(_ what: String) {
            let isSame = GatewayLogHandler.current?["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
            seen.withLock { $0.append("\(what) \(RequestTrace.current?.traceID ?? "-") \(isSame)") }
        }
        let bodies: [@Sendable () -> Body] = [
            {
                var pieces = ["a", "b"]
                return .pull {
                    note("pull")
                    return pieces.isEmpty ? nil : Array(pieces.removeFirst().utf8)
                }.onClose { note("close") }
            },
            {
                .push { writer in
                    note("push")
                    try writer.write("ab")
                }.onClose { note("close") }
            },
            { Body.string("ab").onClose { note("close") } },
        ]
        let expected = [["pull", "pull", "pull", "close"], ["push", "close"], ["close"]]
        var request = MemoryRequest()
        request.headers[HTTPField.Name("traceparent")!] = Self.traceparent
        for (body, expected) in zip(bodies, expected) {
            seen.withLock { $0 = [] }
            let application = RequestTrace().wrap { _, startResponse in
                try startResponse(.ok, [.contentType: "text/plain"], nil)
                return body()
            }
            let response = MemoryGateway(application).respond(to: request)
            #expect(response.text == "ab")
            let found = seen.withLock { $0 }
            #expect(found == expected.map { "\($0) 0af7651916cd43dd8448eb211c80319c true" })
            #expect(RequestTrace.current == nil)
        }
    }

    @Test("Log lines have the trace's ids")
    func logLines() {
        let handler = ClosureHandler { _, context, _, sender in
            context.logger.notice("working")
            try await sender.sendAndFinish(HTTPResponse(status: .noContent))
        }
        var request = MemoryRequest()
        request.headers[HTTPField.Name("traceparent")!] = Self.traceparent
        let response = MemoryGateway(handler: RequestTrace().wrap(handler)).respond(to: request)
        let line = response.log.first { $0.message.contains("working") }
        #expect(line?.message.contains("trace_id=0af7651916cd43dd8448eb211c80319c") == true)
        #expect(line?.message.contains("span_id=") == true)
    }
}

@Suite struct MountTests {
    private static let show: Application = { environ, startResponse in
        try startResponse(.ok, [.contentType: "text/plain"], nil)
        return .string("\(environ.scriptName)|\(environ.pathInfo)")
    }

    private static let showHandler = ClosureHandler { _, context, _, sender in
        let text = "\(await context.variable("SCRIPT_NAME") ?? "")|\(await context.variable("PATH_INFO") ?? "")"
        try await sender.sendAndFinish(
            HTTPResponse(status: .ok, headerFields: [.contentType: "text/plain"]), Array(text.utf8))
    }

    private static let paths = [
        ("/a", "/site/a|"), ("/a/", "/site/a|/"), ("/a/x/y", "/site/a|/x/y"), ("/a/b/c", "/site/a/b|/c"),
        ("/a/bc", "/site/a|/bc"), ("/ab", nil), ("/", nil), ("/A", nil),
    ]

    @Test("The longest path decides, at a slash", arguments: paths)
    func dispatch(_ path: String, _ expected: String?) {
        let applications = Mount(["/a": Self.show, "/a/b/": Self.show])
        let handlers = Mount(handlers: ["/a": Self.showHandler, "/a/b": Self.showHandler])
        var request = MemoryRequest(path: path)
        request.scriptName = "/site"
        for gateway in [
            MemoryGateway(applications.application), MemoryGateway(handler: applications.handler),
            MemoryGateway(handlers.application), MemoryGateway(handler: handlers.handler),
        ] {
            let response = gateway.respond(to: request)
            #expect(response.status == (expected == nil ? .notFound : .ok))
            if let expected { #expect(response.text == expected) }
        }
    }

    @Test("An empty path takes the rest, and both contracts can share a site")
    func rest() {
        let mount = Mount(["": Self.show]).adding(Mount(handlers: ["/h": Self.showHandler]))
        #expect(MemoryGateway(mount.application).respond(to: MemoryRequest(path: "/x")).text == "|/x")
        #expect(MemoryGateway(mount.application).respond(to: MemoryRequest(path: "/h/x")).text == "/h|/x")
    }
}
