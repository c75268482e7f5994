import HTTPTypes
import SwiftGICore
import Testing

/// Appends to the ETag.
private func marking(_ mark: String) -> Middleware {
    { application in
        { environ, startResponse in
            environ["HTTP_ACCEPT"] = (environ["HTTP_ACCEPT"] ?? "") + mark
            return try application(&environ) { status, fields, error in
                var fields = fields
                fields[.eTag] = (fields[.eTag] ?? "") + mark
                try startResponse(status, fields, error)
            }
        }
    }
}

/// The same in the other contract, and puts brackets around the body.
private func marking(_ mark: String) -> HandlerMiddleware {
    { handler in
        Handling { request, context, reader, sender in
            let marked = sender.transforming { response in
                response.headerFields[.eTag] = (response.headerFields[.eTag] ?? "") + mark
                return Bracket(mark: mark)
            }
            try await handler.handle(request: request, requestContext: context, reader: reader, responseSender: marked)
        }
    }
}

private struct Bracket: BodyFilter {
    let mark: String

    func transform(_ bytes: [UInt8]) -> [UInt8] { bytes }
    func finish() -> [UInt8] { Array(mark.utf8) }
}

private struct Refusing: BodyFilter {
    func transform(_ bytes: [UInt8]) throws -> [UInt8] { throw ApplicationError() }
}

@Suite(.timeLimit(.minutes(1)))
struct GatewayHandlerTests {
    @Test("An application is called with the request, on the request's thread", arguments: WaitMode.allCases)
    func application(_ mode: WaitMode) async {
        let request = WaitingTransport(mode, method: "POST", body: ["one\ntwo"])
        let handler = GatewayHandler { environ, startResponse in
            #expect(request.isCurrent)
            #expect(environ.method == "POST")
            let line = try environ.input.readLine() ?? []
            let rest = try environ.input.collect(upTo: 9)
            try startResponse(.accepted, [.eTag: "x"], nil)
            return .bytes(rest + line)
        }
        request.serve { head, context, reader, sender in
            // It is put aside once, before the application is called.
            try await Task.sleep(for: .milliseconds(1))
            try await handler.handle(request: head, requestContext: context, reader: reader, responseSender: sender)
        }
        #expect(await request.outcome == .completed)
        #expect(
            request.events == [
                .head(202, ["ETag: x"], length: 7), .piece(Array("twoone\n".utf8), flush: false, last: true),
            ])
        #expect(request.violations.isEmpty)
    }

    @Test("Its errors are those of the gateway contract", arguments: 0...3)
    func errors(_ way: Int) async {
        let request = WaitingTransport()
        request.serve(
            GatewayHandler { _, startResponse in
                if way == 0 { throw ApplicationError() }
                if way == 1 { return .empty }
                try startResponse(.ok, way == 2 ? [:] : [.contentLength: "9"], nil)
                return .push { writer in
                    try writer.write("some")
                    if way == 2 { throw ApplicationError() }
                }
            })
        #expect(await request.outcome == .failed)
        let ids = ["SGI0201", "SGI0208", "SGI0201", "SGI0204"]
        #expect(request.log.map { String($0.message.prefix(7)) } == [ids[way]])
        #expect(request.text == (way < 2 ? "" : "some"))
    }

    @Test("It waits for a slow client and a slow body, as it would be made to wait by a server")
    func slow() async {
        let request = WaitingTransport()
        request.stopTaking()
        request.serve(
            GatewayHandler { environ, startResponse in
                let input = environ.input
                try startResponse(.ok, [:], nil)
                return .push { writer in
                    for _ in 0..<3 { try writer.write("piece ") }
                    while let piece = try input.next() { try writer.write(piece) }
                }
            })
        await request.holds { $0.text == "piece " }
        request.takeAgain()
        await request.holds { $0.text == "piece piece piece " }
        request.give("body")
        await request.holds { $0.text.hasSuffix("body") }
        request.endInput()
        #expect(await request.outcome == .completed)
        #expect(request.violations.isEmpty)
    }

    @Test("A client that goes while it writes is found gone")
    func gone() async {
        let request = WaitingTransport()
        request.stopTaking()
        request.serve(
            GatewayHandler { _, startResponse in
                try startResponse(.ok, [:], nil)
                return .push { writer in while true { try writer.write("piece ") } }
            })
        await request.holds { $0.text == "piece " }
        request.post(.gone)
        #expect(await request.outcome == .clientGone)
        #expect(request.log.map(\.level) == [.debug])
    }

    @Test("What middleware of the async contract wants of the response is done", arguments: 0...6)
    func transforms(_ kind: Int) async throws {
        let request = WaitingTransport()
        let descriptor = try makeFile("body")
        let handler = GatewayHandler { _, startResponse in
            try startResponse(.accepted, [.eTag: "a"], nil)
            switch kind {
            case 0: return .empty
            case 1: return .bytes(Array("body".utf8))
            case 2: return .string("body")
            case 3: return .chunks(["bo", "dy"].map { Array($0.utf8) })
            case 4:
                var pieces = ["bo", "dy"][...]
                return .pull { pieces.popFirst().map { Array($0.utf8) } }
            case 5: return .push { writer in for piece in ["bo", "dy"] { try writer.write(piece) } }
            default: return .file(descriptor: descriptor, offset: 0)
            }
        }
        let inner: HandlerMiddleware = marking("1")
        let outer: HandlerMiddleware = marking("2")
        #expect(await request.serve(outer(inner(handler))).outcome == .completed)
        guard case .head(202, let fields, let length) = request.events.first else {
            return #expect(Bool(false), "\(request.events)")
        }
        // What is there as a whole has a length behind filters too.
        #expect(length == (kind == 0 ? 2 : kind <= 3 ? 6 : nil))
        #expect(fields == ["ETag: a12"])
        #expect(request.text == (kind == 0 ? "12" : "body12"))
        #expect(request.violations.isEmpty)
    }

    @Test("A filter that throws fails the response", arguments: [false, true])
    func filterThrows(_ isPushed: Bool) async {
        let request = WaitingTransport()
        let handler = GatewayHandler { _, startResponse in
            try startResponse(.ok, [:], nil)
            return isPushed ? .push { try $0.write("x") } : .string("x")
        }
        request.serve { head, context, reader, sender in
            try await handler.handle(
                request: head, requestContext: context, reader: reader,
                responseSender: sender.transforming { _ in Refusing() })
        }
        #expect(await request.outcome == .failed)
        #expect(request.events == [])
        #expect(request.log.count == 1)
    }

    @Test("The body is closed and actions run, behind filters too", arguments: [false, true])
    func close(_ isFiltered: Bool) async {
        let request = WaitingTransport()
        let notes = Notes()
        let handler = GatewayHandler { environ, startResponse in
            environ.onFinish { notes.note("finished") }
            try startResponse(.ok, [:], nil)
            return Body.string("x").onClose { notes.note("closed") }
        }
        let middleware: HandlerMiddleware = marking("1")
        #expect(await request.serve(isFiltered ? middleware(handler) : handler).outcome == .completed)
        #expect(notes.all == ["closed", "finished"])
    }
}

@Suite(.timeLimit(.minutes(1)))
struct HandlerApplicationTests {
    private let transport = ScriptedTransport()

    /// Serves a request of the gateway contract with a handler of the other.
    private func serve(
        through wrap: @escaping Middleware = { $0 }, _ body: @escaping Handling.Body
    ) async -> Outcome? {
        let served = Held<Outcome>()
        nonisolated(unsafe) let transport = transport
        await onOwnThread { served.value = Exchange(transport).serve(wrap(Handling(body).application)) }
        return served.value
    }

    @Test("A handler gets the request")
    func request() async {
        transport.variables["REQUEST_URI"] = Array("/target".utf8)
        transport.variables["REQUEST_SCHEME"] = Array("https".utf8)
        transport.fields = [(Array("Accept".utf8), Array("a".utf8)), (Array("Host".utf8), Array("h".utf8))]
        transport.pieces = [[1, 2], [3]]
        let outcome = await serve { request, context, reader, sender in
            #expect(request.method == .get && request.path == "/target" && request.scheme == "https")
            #expect(request.headerFields[.accept] == "a")
            #expect(await context.variable("REQUEST_URI") == "/target")
            #expect(try await context.environ["REQUEST_SCHEME"] == "https")
            #expect(await context.variable("swiftgi.server") == "test")
            #expect(try await reader.collect(upTo: 9) == [1, 2, 3])
            try await sender.sendAndFinish(.ok)
        }
        #expect(outcome == .completed)
    }

    @Test("A whole response has its length")
    func whole() async {
        let outcome = await serve { _, _, _, sender in
            try await sender.sendAndFinish(HTTPResponse(status: .accepted, headerFields: [.eTag: "x"]), [1, 2])
        }
        #expect(outcome == .completed)
        guard case .head(202, let fields, 2) = transport.response.first else { return #expect(Bool(false)) }
        #expect(fields.contains("ETag: x"))
        #expect(transport.body == [1, 2])
    }

    @Test("Each piece is sent before the next is written")
    func pieces() async {
        nonisolated(unsafe) let transport = transport
        let outcome = await serve { _, _, _, sender in
            var writer = try await sender.send(.ok)
            for number in 1...3 as ClosedRange<UInt8> {
                try await writer.write([number])
                try await Task.sleep(for: .milliseconds(1))
                #expect(transport.body.last == number)
            }
            try await writer.finish([4])
        }
        #expect(outcome == .completed)
        #expect(transport.body == [1, 2, 3, 4])
    }

    @Test("A handler that waits, spawns and yields is waited for")
    func waits() async {
        let outcome = await serve { _, context, _, sender in
            try await Task.sleep(for: .milliseconds(2))
            async let child = Task.detached { await context.variable("REQUEST_METHOD") }.value
            for _ in 0..<10 { await Task.yield() }
            try await sender.sendAndFinish(.ok, Array((await child ?? "none").utf8))
        }
        #expect(outcome == .completed)
        #expect(text(transport.body) == "GET")
    }

    @Test("What has no place in the contract is left out")
    func leftOut() async {
        let outcome = await serve { _, _, _, sender in
            var sender = sender
            try await sender.sendInformational(HTTPResponse(status: .init(code: 103)))
            try await sender.sendAndFinish(.ok, [1], trailers: [.eTag: "sum"])
        }
        #expect(outcome == .completed)
        #expect(transport.body == [1])
    }

    @Test("Middleware of the gateway contract sees both ways")
    func middleware() async {
        transport.variables["HTTP_ACCEPT"] = Array("a".utf8)
        let wrap: Middleware = { marking("2")(marking("1")($0)) }
        let outcome = await serve(through: wrap) { _, context, _, sender in
            let accept = await context.variable("HTTP_ACCEPT") ?? "none"
            try await sender.sendAndFinish(HTTPResponse(status: .ok, headerFields: [.eTag: "x"]), Array(accept.utf8))
        }
        #expect(outcome == .completed)
        guard case .head(200, let fields, _) = transport.response.first else { return #expect(Bool(false)) }
        #expect(fields.contains("ETag: x12"))
        #expect(text(transport.body) == "a21")
    }

    @Test("Both contracts can be stacked", arguments: WaitMode.allCases)
    func stacked(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        let outer: HandlerMiddleware = marking("3")
        let middle: Middleware = marking("2")
        let inner: HandlerMiddleware = marking("1")
        let handler = inner(
            Handling { _, _, _, sender in
                try await Task.sleep(for: .milliseconds(1))
                var writer = try await sender.send(.ok)
                for text in ["bo", "dy"] { try await writer.write(text) }
                try await writer.finish()
            })
        request.serve(outer(GatewayHandler(middle(handler.application))))
        #expect(await request.outcome == .completed)
        #expect(request.events.first == .head(200, ["ETag: 123"], length: nil))
        #expect(request.text == "body13")
        #expect(request.violations.isEmpty)
    }

    // MARK: Failures

    @Test("What a handler throws, the application throws", arguments: [false, true])
    func throwing(_ isBehindHead: Bool) async {
        let outcome = await serve { _, _, _, sender in
            if isBehindHead {
                var writer = try await sender.send(.ok)
                try await writer.write("x")
            }
            throw ApplicationError()
        }
        #expect(outcome == .failed)
        let consequence = isBehindHead ? "response aborted" : "status 500"
        #expect(transport.log == ["SGI0201: application failed, \(consequence): ApplicationError()"])
    }

    @Test("A handler that does not finish is no success", arguments: [false, true])
    func unfinished(_ isBehindHead: Bool) async {
        let outcome = await serve { _, _, _, sender in
            if isBehindHead {
                var writer = try await sender.send(.ok)
                try await writer.write("x")
            }
        }
        #expect(outcome == .failed)
        #expect(transport.log.map { String($0.prefix(7)) } == ["SGI0208"])
    }

    @Test("A body that can't be read fails as it does in the other contract")
    func input() async {
        transport.inputError = GatewayError(.malformedBody)
        let outcome = await serve { _, _, reader, sender in
            try await sender.sendAndFinish(.ok, try await reader.collect(upTo: 9))
        }
        #expect(outcome == .badRequest)
    }

    @Test("A client that goes is found gone while the handler waits, and that is no error")
    func gone() async {
        nonisolated(unsafe) let transport = transport
        let notes = Notes()
        let outcome = await serve { _, _, reader, _ in
            _ = reader
            transport.isClientGone = true
            do {
                try await Task.sleep(for: .seconds(600))
            } catch {
                notes.note(name(of: error))
                throw error
            }
        }
        #expect(outcome == .clientGone)
        #expect(notes.all == ["cancelled"])
        #expect(transport.log.allSatisfy { $0.hasPrefix("SGI0202") })
    }

    @Test("Output that fails is the response's end, and the handler's task is cancelled")
    func output() async {
        transport.failure = { $0 == 2 ? GatewayError(.clientGone) : nil }
        let notes = Notes()
        let outcome = await serve { _, _, _, sender in
            var writer = try await sender.send(.ok)
            do {
                while true { try await writer.write("x") }
            } catch {
                notes.note("\(name(of: error)) \(Task.isCancelled)")
                throw error
            }
        }
        #expect(outcome == .clientGone)
        await eventually { notes.all == ["clientGone true"] }
        #expect(transport.body == [0x78])
    }

    @Test("A body that is not wanted ends its handler", arguments: [false, true])
    func unwanted(_ isDropped: Bool) async {
        if !isDropped { transport.variables["REQUEST_METHOD"] = Array("HEAD".utf8) }
        let notes = Notes()
        let drop: Middleware = { application in
            { environ, startResponse in
                let body = try application(&environ, startResponse)
                if !isDropped { return body }
                _ = consume body
                return .string("instead")
            }
        }
        let outcome = await serve(through: drop) { _, _, _, sender in
            var writer = try await sender.send(.ok)
            do {
                while true { try await writer.write("x") }
            } catch {
                notes.note(name(of: error))
                throw error
            }
        }
        #expect(outcome == .completed)
        #expect(text(transport.body) == (isDropped ? "instead" : ""))
        #expect(notes.all == ["clientGone"])
    }

    @Test("Tasks that outlive the call go on, with nothing to be had of the request", arguments: 0...2)
    func outlives(_ way: Int) async {
        nonisolated(unsafe) let transport = transport
        let release = Gate()
        let notes = Notes()
        let outcome = await serve { _, context, reader, sender in
            let body = reader.sequence()
            Task {
                await release.wait()
                notes.note("\(await context.variable("REQUEST_METHOD") ?? "none")")
                notes.note(await thrown { _ = try await body.collect(upTo: 1) })
                context.logger.notice("late")
                notes.note("end")
            }
            switch way {
            case 0: throw ApplicationError()
            case 1: return
            default: try await sender.sendAndFinish(.ok, [1])
            }
        }
        #expect(outcome == (way < 2 ? .failed : .completed))
        let calls = transport.callsOfRequest
        await release.open()
        await eventually { notes.all.last == "end" }
        #expect(notes.all == ["none", "finished", "end"])
        #expect(transport.callsOfRequest == calls)
        #expect(transport.events.last == .log(.notice, "request: late", isFinished: true))
    }
}
