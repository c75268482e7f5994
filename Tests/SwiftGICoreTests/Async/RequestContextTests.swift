import HTTPTypes
import Logging
import SwiftGICore
import Testing

@Suite(.timeLimit(.minutes(1)))
struct RequestContextTests {
    @Test("A context has the variables, one and all", arguments: WaitMode.allCases)
    func variables(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        request.variables["REMOTE_ADDR"] = "192.0.2.1"
        request.variables["SERVER_ADDR"] = "192.0.2.2"
        request.variables["swiftgi.request_id"] = "id"
        request.variables["REQUEST_SCHEME"] = "https"
        let outcome = await request.outcome { _, context, _, sender in
            try await Task.sleep(for: .milliseconds(1))
            #expect(await context.variable("REQUEST_METHOD") == "GET")
            #expect(await context.variable("ABSENT") == nil)
            #expect(await context.variable("swiftgi.multithread") == "true")
            #expect(await context.remoteAddress == "192.0.2.1")
            #expect(await context.localAddress == "192.0.2.2")
            #expect(await context.requestID == "id")
            let environ = try await context.environ
            #expect(environ["REMOTE_ADDR"] == "192.0.2.1")
            #expect(environ["ABSENT"] == nil)
            #expect(environ["swiftgi.url_scheme"] == "https")
            #expect(environ["swiftgi.server"] == "test")
            #expect(environ.variables["REQUEST_URI"] == "/target?query")
            try await sender.sendAndFinish(.ok)
        }
        #expect(outcome == .completed)
        #expect(request.violations.isEmpty)
    }

    @Test("What there is not is absent, or empty for the id")
    func absent() async {
        let outcome = await WaitingTransport().outcome { _, context, _, sender in
            #expect(await context.remoteAddress == nil)
            #expect(await context.localAddress == nil)
            #expect(await context.requestID == "")
            try await sender.sendAndFinish(.ok)
        }
        #expect(outcome == .completed)
    }

    @Test("A snapshot outlives its request")
    func snapshot() async {
        let kept = Held<EnvironSnapshot>()
        let outcome = await WaitingTransport().outcome { _, context, _, sender in
            kept.value = try await context.environ
            try await sender.sendAndFinish(.ok)
        }
        #expect(outcome == .completed)
        #expect(kept.value?["REQUEST_METHOD"] == "GET")
    }

    @Test(
        "What is logged on the request's thread names the request, elsewhere it does not", arguments: WaitMode.allCases)
    func logger(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        let outcome = await request.outcome { _, context, _, sender in
            let logger = context.logger
            logger.notice("handler")
            try await Task.sleep(for: .milliseconds(1))
            async let child: Void = logger.error("child", metadata: ["key": "value"])
            await child
            await Task.detached { logger.info("detached") }.value
            try await sender.sendAndFinish(.ok)
        }
        #expect(outcome == .completed)
        #expect(
            request.log == [
                .init(level: .notice, message: "request: handler", isFinished: false),
                .init(level: .error, message: "request: child key=value", isFinished: false),
                .init(level: .info, message: "request: detached", isFinished: true),
            ])
        #expect(request.violations.isEmpty)
    }

    @Test("Each of swift-log's levels is one of the server's")
    func levels() async {
        let request = WaitingTransport()
        let outcome = await request.outcome { _, context, _, sender in
            for level in Logger.Level.allCases { context.logger.log(level: level, "\(level)") }
            try await sender.sendAndFinish(.ok)
        }
        #expect(outcome == .completed)
        #expect(request.log.map(\.level) == Logger.Level.allCases.map { LogLevel($0) })
        #expect(request.log.map(\.message) == Logger.Level.allCases.map { "request: \($0)" })
    }

    @Test("The request's head is that of the request")
    func head() async {
        let request = WaitingTransport(method: "POST")
        request.fields = [("Host", "example.org"), ("Accept", "a"), ("accept", "b"), ("X-Ümlaut", "dropped")]
        request.variables["REQUEST_SCHEME"] = "https"
        let outcome = await request.outcome { head, _, _, sender in
            #expect(head.method == .post)
            #expect(head.scheme == "https")
            #expect(head.authority == "example.org")
            #expect(head.path == "/target?query")
            #expect(head.headerFields[values: .accept] == ["a", "b"])
            #expect(head.headerFields.count == 2)
            try await sender.sendAndFinish(.ok)
        }
        #expect(outcome == .completed)
    }

    @Test("A method that is none and a missing target are no crash", arguments: [nil, "", "G T", "\u{0}"])
    func broken(_ method: String?) async {
        let request = WaitingTransport()
        request.variables = method.map { ["REQUEST_METHOD": $0] } ?? [:]
        let outcome = await request.outcome { head, _, _, sender in
            #expect(head.method == .get)
            #expect(head.path == nil)
            #expect(head.scheme == "http")
            try await sender.sendAndFinish(.ok)
        }
        #expect(outcome == .completed)
    }
}
