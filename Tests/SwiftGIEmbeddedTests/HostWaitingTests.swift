import CSwiftGI
import FakeHost
import Glibc
import HTTPTypes
import SwiftGICore
import SwiftGIEmbedded
import SwiftGITesting
import Testing

/// A handler out of a closure.
struct Handling: RequestHandler {
    typealias Body =
        @Sendable (
            _ request: HTTPRequest, _ context: RequestContext, _ reader: consuming sending RequestReader,
            _ sender: consuming sending ResponseSender
        ) async throws -> Void

    private let body: Body

    init(_ body: @escaping Body) { self.body = body }

    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        try await body(request, requestContext, reader, responseSender)
    }
}

/// The table of a handler's application that was started.
func start(handler: any RequestHandler, _ host: FakeHost) throws -> UnsafePointer<swiftgi_application_table> {
    let hosted = HostedApplication { _ in HostedApplication.Running(.handler(handler)) }
    let table = hosted.makeTable(name: "Test")
    try #require(table.pointee.start(table.pointee.application, host.table) == SWIFTGI_OK)
    return table
}

private let ok = HTTPResponse(status: .ok)

/// Handlers over the C interface: HostTransport's part for those that wait, and resume().
@Suite(.timeLimit(.minutes(1)))
struct HostWaitingTests {
    /// Serves a request with a handler over the C interface, and looks after the rules.
    private func serve(
        _ waiting: FakeHost.Waiting?, _ request: FakeRequest = FakeRequest(), host: FakeHost? = nil,
        _ body: @escaping Handling.Body
    ) async throws -> swiftgi_status {
        let host = host ?? FakeHost(waiting: waiting)
        let address = UInt(bitPattern: try start(handler: Handling(body), host))
        let status = await onServerThread { () -> swiftgi_status in
            guard let table = UnsafePointer<swiftgi_application_table>(bitPattern: address) else {
                return SWIFTGI_FAILED
            }
            return host.serve(table, request)
        }
        #expect(request.violations == [])
        // Every reference to the waker is given back.
        for _ in 0..<10_000 where request.waker.count > 0 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(request.waker.count == 0)
        return status
    }

    private func waits(_ request: FakeRequest) -> [Int] {
        request.calls.compactMap { if case .wait(let interest) = $0 { interest } else { nil } }
    }

    // MARK: The request

    @Test("The head, the variables and the body come through", arguments: FakeHost.Waiting.allCases)
    func request(_ waiting: FakeHost.Waiting) async throws {
        var memory = MemoryRequest(method: .post, path: "/p?q", headers: [.accept: "a"], body: Array("one".utf8))
        memory.pieces.append(Array("two".utf8))
        memory.remoteAddress = "192.0.2.1"
        let request = FakeRequest(memory)
        request.delaysInput = true
        let status = try await serve(waiting, request) { head, context, reader, sender in
            #expect(head.method == .post && head.path == "/p?q")
            #expect(head.headerFields[.accept] == "a")
            #expect(await context.remoteAddress == "192.0.2.1")
            let body = try await reader.collect(upTo: 100)
            #expect(try await context.environ["QUERY_STRING"] == "q")
            try await sender.sendAndFinish(ok, body)
        }
        #expect(status == SWIFTGI_OK)
        #expect(request.response(status).text == "onetwo")
        #expect(waits(request) == Array(repeating: SWIFTGI_READABLE, count: 3))
    }

    @Test("Trailers of the request are there behind its body", arguments: FakeHost.Waiting.allCases)
    func trailers(_ waiting: FakeHost.Waiting) async throws {
        var memory = MemoryRequest(method: .post, headers: [.transferEncoding: "chunked"], body: [1])
        memory.trailers = [.eTag: "sum"]
        let status = try await serve(waiting, FakeRequest(memory)) { _, _, reader, sender in
            var reader = reader
            #expect(try await reader.trailers == [:])
            while try await reader.next() != nil {}
            #expect(try await reader.trailers == [.eTag: "sum"])
            try await sender.sendAndFinish(ok)
        }
        #expect(status == SWIFTGI_OK)
    }

    @Test(
        "What try_read reports is thrown, and decides the result",
        arguments: [
            (SWIFTGI_CLIENT_GONE, "clientGone", SWIFTGI_CLIENT_GONE),
            (SWIFTGI_TOO_LARGE, "bodyTooLarge", SWIFTGI_TOO_LARGE),
            (SWIFTGI_BAD_REQUEST, "malformedBody", SWIFTGI_BAD_REQUEST),
            (SWIFTGI_TIMED_OUT, "timedOut", SWIFTGI_TIMED_OUT),
            (SWIFTGI_SERVER_ERROR, "input", SWIFTGI_FAILED), (SWIFTGI_MISUSE, "input", SWIFTGI_FAILED),
            (swiftgi_status(rawValue: 4711), "input", SWIFTGI_FAILED),
        ] as [(swiftgi_status, String, swiftgi_status)])
    func readStatus(_ reported: swiftgi_status, _ code: String, _ result: swiftgi_status) async throws {
        let request = FakeRequest()
        request.readStatus = reported
        let status = try await serve(.attached, request) { _, _, reader, _ in
            var reader = reader
            do {
                _ = try await reader.next()
            } catch {
                #expect((error as? GatewayError)?.code.description == code)
                throw error
            }
        }
        #expect(status == result)
    }

    @Test("A count that can't be is no crash", arguments: [-1, Int.min, 1 << 40, .max])
    func readCount(_ count: Int) async throws {
        let request = FakeRequest(MemoryRequest(body: "x"))
        request.readCount = count
        let status = try await serve(.attached, request) { _, _, reader, sender in
            var reader = reader
            #expect(try await reader.next(upTo: 8)?.count == (count < 0 ? nil : 8))
            try await sender.sendAndFinish(ok)
        }
        #expect(status == SWIFTGI_OK)
    }

    // MARK: The response

    @Test("A response is written without waiting, and ends with its last piece", arguments: FakeHost.Waiting.allCases)
    func response(_ waiting: FakeHost.Waiting) async throws {
        let request = FakeRequest()
        request.delaysOutput = true
        let status = try await serve(waiting, request) { _, _, _, sender in
            var writer = try await sender.send(HTTPResponse(status: .accepted, headerFields: [.eTag: "x"]))
            try await writer.write([1])
            try await writer.write([2])
            try await writer.finish([3])
        }
        #expect(status == SWIFTGI_OK)
        let flags = SWIFTGI_FLUSH | SWIFTGI_NONBLOCKING
        #expect(
            request.calls == [
                .start(status: 202, reason: "Accepted", length: -1), .field(name: "ETag", value: Array("x".utf8)),
                .write(piece: [1], flags: flags), .wait(interest: SWIFTGI_WRITABLE), .write(piece: [2], flags: flags),
                .wait(interest: SWIFTGI_WRITABLE), .write(piece: [3], flags: SWIFTGI_LAST | SWIFTGI_NONBLOCKING),
            ])
        #expect(request.response(status).body == [1, 2, 3])
    }

    @Test("A head goes out by itself before a wait", arguments: FakeHost.Waiting.allCases)
    func head(_ waiting: FakeHost.Waiting) async throws {
        let request = FakeRequest()
        let status = try await serve(waiting, request) { _, _, _, sender in
            let writer = try await sender.send(ok)
            // On a busy machine a sleep may be over before anybody waits for it.
            repeat { try await Task.sleep(for: .milliseconds(1)) } while !request.calls.contains(.wait(interest: 0))
            try await writer.finish()
        }
        #expect(status == SWIFTGI_OK)
        let calls = request.calls.reduce(into: [FakeRequest.Call]()) { if $0.last != $1 { $0.append($1) } }
        #expect(
            calls == [
                .start(status: 200, reason: "OK", length: -1),
                .write(piece: [], flags: SWIFTGI_FLUSH | SWIFTGI_NONBLOCKING), .wait(interest: 0),
                .write(piece: [], flags: SWIFTGI_LAST | SWIFTGI_NONBLOCKING),
            ])
    }

    @Test("Informational responses and trailers pass", arguments: FakeHost.Waiting.allCases)
    func around(_ waiting: FakeHost.Waiting) async throws {
        let request = FakeRequest()
        let status = try await serve(waiting, request) { _, _, _, sender in
            var sender = sender
            try await sender.sendInformational(HTTPResponse(status: .init(code: 103), headerFields: [.eTag: "early"]))
            try await Task.sleep(for: .milliseconds(1))
            try await sender.sendAndFinish(HTTPResponse(status: .ok), [1], trailers: [.eTag: "sum", .server: "s"])
        }
        #expect(status == SWIFTGI_OK)
        let response = request.response(status)
        #expect(response.informational.map(\.status.code) == [103])
        #expect(response.informational.first?.headerFields == [.eTag: "early"])
        #expect(response.headers == [.contentLength: "1"])
        #expect(response.trailers == [.eTag: "sum", .server: "s"])
        let order = request.calls.filter { if case .wait = $0 { false } else { true } }
        #expect(
            order == [
                .start(status: 103, reason: "", length: -1),
                .field(name: "ETag", value: Array("early".utf8)),
                .inform, .start(status: 200, reason: "OK", length: 1), .trailer(name: "ETag", value: "sum"),
                .trailer(name: "Server", value: "s"),
                .write(piece: [1], flags: SWIFTGI_LAST | SWIFTGI_NONBLOCKING),
            ])
    }

    @Test(
        "What a write reports decides the result",
        arguments: [
            (SWIFTGI_CLIENT_GONE, SWIFTGI_CLIENT_GONE, "SGI0202"), (SWIFTGI_SERVER_ERROR, SWIFTGI_FAILED, "SGI0209"),
            (SWIFTGI_MISUSE, SWIFTGI_FAILED, "SGI0208"), (swiftgi_status(rawValue: 4711), SWIFTGI_FAILED, "SGI0209"),
        ] as [(swiftgi_status, swiftgi_status, String)], 0..<2)
    func outputStatus(_ reported: (swiftgi_status, swiftgi_status, String), _ number: Int) async throws {
        let host = FakeHost(waiting: .attached)
        let request = FakeRequest()
        request.writeStatus = { $0 == number ? reported.0 : nil }
        let status = try await serve(.attached, request, host: host) { _, _, _, sender in
            var writer = try await sender.send(ok)
            for _ in 0..<3 { try await writer.write("x") }
            try await writer.finish()
        }
        #expect(status == reported.1)
        #expect(host.log.map { String($0.message.prefix(7)) } == [reported.2])
        #expect(host.log.last?.namesRequest == true)
    }

    @Test("An application of the gateway contract writes as it always does", arguments: FakeHost.Waiting.allCases)
    func gateway(_ waiting: FakeHost.Waiting) async throws {
        let request = FakeRequest()
        request.delaysOutput = true
        let handler = GatewayHandler { _, startResponse in
            try startResponse(.ok, [:], nil)
            return .push { writer in for piece in ["a", "b"] { try writer.write(piece) } }
        }
        let status = try await serve(waiting, request) { head, context, reader, sender in
            try await Task.sleep(for: .milliseconds(1))
            try await handler.handle(request: head, requestContext: context, reader: reader, responseSender: sender)
        }
        #expect(status == SWIFTGI_OK)
        #expect(request.response(status).text == "ab")
        let flags = request.calls.compactMap { if case .write(_, let flags) = $0 { flags } else { nil } }
        #expect(flags == [SWIFTGI_FLUSH, SWIFTGI_FLUSH, SWIFTGI_LAST])
    }

    // MARK: Waiting

    @Test("A request that is aside comes back as often as it has to, on other threads")
    func resume() async throws {
        let request = FakeRequest()
        let status = try await serve(.suspended, request) { _, _, _, sender in
            while request.turns < 20 { try await Task.sleep(for: .milliseconds(1)) }
            try await sender.sendAndFinish(ok)
        }
        #expect(status == SWIFTGI_OK)
        #expect(request.turns == waits(request).count)
    }

    @Test("A wake from any thread brings it back", arguments: FakeHost.Waiting.allCases)
    func wake(_ waiting: FakeHost.Waiting) async throws {
        let status = try await serve(waiting) { _, context, _, sender in
            let values = await withTaskGroup(of: String?.self, returning: [String?].self) { group in
                for _ in 0..<20 {
                    group.addTask { await Task.detached { await context.variable("REQUEST_METHOD") }.value }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(values.count == 20 && values.allSatisfy { $0 == "GET" })
            try await sender.sendAndFinish(ok)
        }
        #expect(status == SWIFTGI_OK)
    }

    @Test(
        "What ends a request has its result and its line",
        arguments: FakeHost.Waiting.allCases,
        [
            (SWIFTGI_GONE, SWIFTGI_CLIENT_GONE, "SGI0202"), (SWIFTGI_DEADLINE, SWIFTGI_EXPIRED, "SGI0216"),
            (SWIFTGI_SHUTDOWN, SWIFTGI_STOPPED, "SGI0217"),
            (SWIFTGI_GONE | SWIFTGI_ABANDONED, SWIFTGI_CLIENT_GONE, "SGI0202"),
        ] as [(Int, swiftgi_status, String)])
    func terminal(_ waiting: FakeHost.Waiting, _ end: (event: Int, status: swiftgi_status, id: String)) async throws {
        for isStubborn in [false, true] {
            let host = FakeHost(waiting: waiting)
            let request = FakeRequest()
            let status = try await serve(waiting, request, host: host) { _, _, _, _ in
                request.waker.post(end.event)
                if isStubborn {
                    await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
                } else {
                    try await Task.sleep(for: .seconds(600))
                }
            }
            #expect(status == end.status)
            #expect(
                host.log.map { String($0.message.prefix(7)) } == (isStubborn ? ["SGI0215"] : []) + [end.id])
            #expect(host.log.map(\.namesRequest).allSatisfy { $0 })
        }
    }

    @Test("Of a stop the handler is told, and may finish", arguments: FakeHost.Waiting.allCases)
    func stopping(_ waiting: FakeHost.Waiting) async throws {
        let request = FakeRequest()
        let status = try await serve(waiting, request) { _, context, _, sender in
            request.waker.post(SWIFTGI_STOPPING)
            try await context.waitUntilServerStops()
            try await sender.sendAndFinish(ok, Array("\(await context.isServerStopping)".utf8))
        }
        #expect(request.response(status).text == "true")
    }

    @Test("Input that does not come in time is 408", arguments: FakeHost.Waiting.allCases)
    func stalled(_ waiting: FakeHost.Waiting) async throws {
        let request = FakeRequest(MemoryRequest(body: "x"))
        request.readStatus = SWIFTGI_AGAIN
        let status = try await serve(waiting, request) { _, _, reader, sender in
            var reader = reader
            request.waker.post(SWIFTGI_STALLED)
            _ = try await reader.next()
            try await sender.sendAndFinish(ok)
        }
        #expect(status == SWIFTGI_TIMED_OUT)
    }

    @Test("A server without a waker to give ends the request", arguments: FakeHost.Waiting.allCases)
    func noWaker(_ waiting: FakeHost.Waiting) async throws {
        let request = FakeRequest()
        request.hasNoWaker = true
        request.waitStatus = SWIFTGI_SERVER_ERROR
        let status = try await serve(waiting, request) { _, _, _, sender in
            try await Task.sleep(for: .seconds(600))
            try await sender.sendAndFinish(ok)
        }
        #expect(status == SWIFTGI_STOPPED)
    }

    @Test("On a server that can't wait a handler has a thread to itself")
    func withoutWaiting() async throws {
        let request = FakeRequest(MemoryRequest(body: "body"))
        let status = try await serve(nil, request) { _, context, reader, sender in
            try await Task.sleep(for: .milliseconds(1))
            #expect(await context.variable("REQUEST_METHOD") == "POST")
            var writer = try await sender.send(ok)
            for try await piece in reader.sequence() { try await writer.write(piece) }
            try await writer.finish()
        }
        #expect(status == SWIFTGI_OK)
        #expect(request.response(status).text == "body")
        #expect(waits(request) == [])
    }

    @Test("What outlives the request calls nothing of the server's but the log", arguments: FakeHost.Waiting.allCases)
    func outlives(_ waiting: FakeHost.Waiting) async throws {
        let host = FakeHost(waiting: waiting)
        let request = FakeRequest(MemoryRequest(body: "body"))
        let status = try await serve(waiting, request, host: host) { _, context, reader, sender in
            let body = reader.sequence()
            Task.detached {
                while await context.variable("REQUEST_METHOD") != nil {}
                do { _ = try await body.collect(upTo: 9) } catch { context.logger.notice("\(error)") }
                _ = try? await body.trailers
                context.logger.notice("end")
            }
            try await Task.sleep(for: .milliseconds(1))
            try await sender.sendAndFinish(ok)
        }
        #expect(status == SWIFTGI_OK)
        for _ in 0..<10_000 where host.log.count < 2 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(
            host.log == [
                .init(SWIFTGI_LOG_NOTICE, "request: finished", namesRequest: false),
                .init(SWIFTGI_LOG_NOTICE, "request: end", namesRequest: false),
            ])
        #expect(request.violations == [])
    }

    @Test("Lines name the request as long as there is one, on its threads", arguments: FakeHost.Waiting.allCases)
    func log(_ waiting: FakeHost.Waiting) async throws {
        let host = FakeHost(waiting: waiting)
        let status = try await serve(waiting, host: host) { _, context, _, sender in
            context.logger.notice("first")
            try await Task.sleep(for: .milliseconds(1))
            context.logger.notice("later")
            try await sender.sendAndFinish(ok)
        }
        #expect(status == SWIFTGI_OK)
        #expect(
            host.log == [
                .init(SWIFTGI_LOG_NOTICE, "request: first", namesRequest: true),
                .init(SWIFTGI_LOG_NOTICE, "request: later", namesRequest: true),
            ])
    }

    @Test("Many requests wait at a time", arguments: FakeHost.Waiting.allCases)
    func many(_ waiting: FakeHost.Waiting) async throws {
        let host = FakeHost(waiting: waiting)
        let handler = Handling { _, context, reader, sender in
            var writer = try await sender.send(ok)
            for try await piece in reader.sequence() {
                try await Task.sleep(for: .microseconds(100))
                try await writer.write(piece)
            }
            try await writer.finish(Array((await context.variable("QUERY_STRING") ?? "").utf8))
        }
        let address = UInt(bitPattern: try start(handler: handler, host))
        await withTaskGroup { group in
            for number in 0..<64 {
                group.addTask {
                    var memory = MemoryRequest(method: .post, path: "/?\(number)")
                    memory.pieces = (0..<10).map { Array("\($0)".utf8) }
                    let request = FakeRequest(memory)
                    request.delaysInput = true
                    request.delaysOutput = true
                    let status = await onServerThread { () -> swiftgi_status in
                        guard let table = UnsafePointer<swiftgi_application_table>(bitPattern: address) else {
                            return SWIFTGI_FAILED
                        }
                        return host.serve(table, request)
                    }
                    #expect(request.response(status).text == "0123456789\(number)")
                    #expect(request.violations == [])
                }
            }
        }
    }

    // MARK: The interface

    @Test("Events and statuses have the numbers of the interface")
    func numbers() {
        let events: [(WaitEvents, Int)] = [
            (.woken, SWIFTGI_WOKEN), (.readable, SWIFTGI_READABLE), (.writable, SWIFTGI_WRITABLE),
            (.stalled, SWIFTGI_STALLED), (.stopping, SWIFTGI_STOPPING), (.gone, SWIFTGI_GONE),
            (.expired, SWIFTGI_DEADLINE), (.stopped, SWIFTGI_SHUTDOWN),
        ]
        for (event, number) in events { #expect(Int(event.rawValue) == number) }
        #expect(swiftgi_status(.expired) == SWIFTGI_EXPIRED)
        #expect(swiftgi_status(.stopped) == SWIFTGI_STOPPED)
    }

    @Test("To resume nothing is misuse and no crash")
    func null() throws {
        let host = FakeHost(waiting: .suspended)
        let table = try start(handler: Handling { _, _, _, _ in }, host).pointee
        #expect(table.resume(table.application, nil, nil, 0) == SWIFTGI_MISUSE)
        #expect(table.resume(nil, nil, nil, 0) == SWIFTGI_MISUSE)
    }
}
