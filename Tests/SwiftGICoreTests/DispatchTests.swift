import Foundation
import HTTPTypes
import SwiftGICore
import Testing

struct DispatchTests {
    private func serve(
        method: String = "GET", failure: @escaping (Int) -> GatewayError? = { _ in nil }, _ application: Application
    ) -> (outcome: Outcome, transport: ScriptedTransport) {
        let (exchange, transport) = makeExchange()
        transport.variables["REQUEST_METHOD"] = Array(method.utf8)
        transport.failure = failure
        return (exchange.serve(application), transport)
    }

    // MARK: Bodies

    @Test("What is in memory is sent with its length, the last piece as the last")
    func memory() {
        #expect(
            serve(answering { .empty }).transport.response == [
                .head(200, [], length: 0), .piece([], flush: false, last: true),
            ])
        #expect(
            serve(answering { .bytes([1, 2]) }).transport.response == [
                .head(200, [], length: 2), .piece([1, 2], flush: false, last: true),
            ])
        #expect(
            serve(answering { .string("ä") }).transport.response == [
                .head(200, [], length: 2), .piece([0xC3, 0xA4], flush: false, last: true),
            ])
        #expect(
            serve(answering { .chunks([[], [1], [], [2, 3], []]) }).transport.response == [
                .head(200, [], length: 3), .piece([1], flush: false, last: false),
                .piece([2, 3], flush: false, last: true),
            ])
        #expect(
            serve(answering { .chunks([[], []]) }).transport.response == [
                .head(200, [], length: 0), .piece([], flush: false, last: true),
            ])
    }

    @Test("What is made is sent at once, and its end is told")
    func made() {
        let expected: [ScriptedTransport.Event] = [
            .head(200, [], length: nil), .piece([1], flush: true, last: false), .piece([2], flush: true, last: false),
            .piece([], flush: false, last: true),
        ]
        let pull = serve(
            answering {
                var pieces: [[UInt8]] = [[], [1], [], [2]]
                return .pull { pieces.isEmpty ? nil : pieces.removeFirst() }
            })
        #expect(pull.transport.response == expected)
        let push = serve(
            answering {
                .push { writer in
                    try writer.write([UInt8]())
                    try writer.write([1])
                    try writer.write([2])
                }
            })
        #expect(push.transport.response == expected)
    }

    @Test("A made body without bytes turns out to have none")
    func nothing() {
        let expected: [ScriptedTransport.Event] = [.head(200, [], length: 0), .piece([], flush: false, last: true)]
        #expect(serve(answering { .pull { nil } }).transport.response == expected)
        #expect(serve(answering { .push { _ in } }).transport.response == expected)
    }

    @Test("A response without a body runs nothing to make one", arguments: [(200, "HEAD"), (204, "GET"), (304, "GET")])
    func omitted(_ code: Int, _ method: String) {
        nonisolated(unsafe) var runs = 0
        for kind in 0..<3 {
            let (outcome, transport) = serve(method: method) { _, startResponse in
                try startResponse(.init(code: code), [:], nil)
                switch kind {
                case 0:
                    return .pull {
                        runs += 1
                        return [1]
                    }
                case 1: return .push { _ in runs += 1 }
                default:
                    let (reading, writing) = try makePipe()
                    return .file(descriptor: reading).onClose { close(writing) }
                }
            }
            #expect(outcome == .completed)
            #expect(transport.response == [.head(code, [], length: nil), .piece([], flush: false, last: true)])
        }
        #expect(runs == 0)
    }

    @Test("A body is not run without a head")
    func noHead() {
        nonisolated(unsafe) var runs = 0
        let bodies: [@Sendable () -> Body] = [
            { .empty }, { .string("x") }, { .chunks([[1]]) }, { .file(descriptor: -1, closing: false) },
            {
                .pull {
                    runs += 1
                    return nil
                }
            },
            { .push { _ in runs += 1 } },
        ]
        for body in bodies {
            let (outcome, transport) = serve { _, _ in body() }
            #expect(outcome == .failed)
            #expect(transport.response == [])
            #expect(
                transport.log.first?.hasPrefix("SGI0208: application broke the gateway contract, status 500") == true)
        }
        #expect(runs == 0)
    }

    @Test("A regular file is sent by the gateway, a stream is read", arguments: [nil, 5, 100] as [Int64?])
    func files(_ limit: Int64?) throws {
        let file = serve(answering { .file(descriptor: try! makeFile("0123456789"), offset: 2, length: limit) })
        let count = min(limit ?? 8, 8)
        #expect(
            file.transport.response == [.head(200, [], length: count), .file(offset: 2, length: count, last: true)])

        let stream = serve { _, startResponse in
            let (reading, writing) = try makePipe()
            write(writing, "0123456789", 10)
            close(writing)
            try startResponse(.ok, [:], nil)
            return .file(descriptor: reading, length: limit)
        }
        #expect(text(stream.transport.body) == String("0123456789".prefix(Int(limit ?? 10))))
        #expect(stream.transport.response.last == .piece([], flush: false, last: true))
    }

    @Test("A stream is not read behind Content-Length")
    func stream() {
        let (outcome, transport) = serve { _, startResponse in
            let (reading, writing) = try makePipe()
            write(writing, "0123456789", 10)
            try startResponse(.ok, [.contentLength: "4"], nil)
            // The pipe stays open: a read behind its bytes would wait.
            return .file(descriptor: reading).onClose { close(writing) }
        }
        #expect(outcome == .completed)
        #expect(text(transport.body) == "0123")
        #expect(transport.log == [])
    }

    @Test(
        "A file that can't be sent is a failure",
        arguments: [(-1, nil, nil), (0, -1, nil), (0, 0, -1)] as [(Int32, Int64?, Int64?)])
    func badFile(_ descriptor: Int32, _ offset: Int64?, _ length: Int64?) {
        let (outcome, transport) = serve(
            answering {
                .file(descriptor: descriptor, offset: offset, length: length, closing: false)
            })
        #expect(outcome == .failed)
        #expect(transport.response == [])
        #expect(transport.log.first?.hasPrefix("SGI0209: request failed, status 500: output: ") == true)
    }

    // MARK: Outcomes

    @Test(
        "An application's error is a 500 before the head, and an aborted response after it", arguments: [false, true])
    func applicationError(_ isLate: Bool) {
        let (outcome, transport) = serve(
            answering {
                .push { writer in
                    if isLate { try writer.write("x") }
                    throw ApplicationError()
                }
            })
        #expect(outcome == .failed)
        let consequence = isLate ? "response aborted" : "status 500"
        #expect(
            transport.events.last
                == .log(
                    .error, "SGI0201: application failed, \(consequence): ApplicationError()", isFinished: false))
    }

    @Test(
        "The error of an input that could not be read decides the status",
        arguments: [
            (.bodyTooLarge, .tooLarge, "SGI0205"), (.malformedBody, .badRequest, "SGI0206"),
            (.timedOut, .timedOut, "SGI0207"), (.input, .failed, "SGI0209"),
        ] as [(GatewayError.Code, Outcome, String)])
    func inputError(_ code: GatewayError.Code, _ expected: Outcome, _ id: String) {
        let (exchange, transport) = makeExchange()
        transport.inputError = GatewayError(code, "detail")
        let outcome = exchange.serve { environ, startResponse in
            _ = try environ.input.read()
            return .empty
        }
        #expect(outcome == expected)
        #expect(transport.log.count == 1)
        #expect(transport.log.first?.hasPrefix(id) == true)
        #expect(transport.log.first?.hasSuffix("\(code): detail") == true)
    }

    @Test("A line that is too long is a body that is too large")
    func lineTooLong() {
        let (exchange, transport) = makeExchange(body: ["long\n"])
        let outcome = exchange.serve { environ, _ in
            _ = try environ.input.readLine(upTo: 2)
            return .empty
        }
        #expect(outcome == .tooLarge)
        #expect(transport.log == ["SGI0205: request body refused: lineTooLong: more than 2 bytes"])
    }

    @Test("An application may answer an input's error itself")
    func answered() {
        let (exchange, transport) = makeExchange()
        transport.inputError = GatewayError(.bodyTooLarge)
        let outcome = exchange.serve { environ, startResponse in
            do { _ = try environ.input.read() } catch { try startResponse(.contentTooLarge, [:], nil) }
            return .string("too much")
        }
        #expect(outcome == .completed)
        #expect(transport.log == [])
    }

    @Test("A client that is gone is no error, whether found by a read or a write", arguments: [true, false])
    func clientGone(_ isReading: Bool) {
        let (exchange, transport) = makeExchange()
        transport.inputError = GatewayError(.clientGone)
        transport.failure = { $0 == 1 ? GatewayError(.clientGone) : nil }
        let outcome = exchange.serve { environ, startResponse in
            if isReading { _ = try environ.input.read() }
            try startResponse(.ok, [:], nil)
            return .bytes([1])
        }
        #expect(outcome == .clientGone)
        #expect(
            transport.events.last
                == .log(
                    .debug, "SGI0202: client closed the connection, request abandoned: clientGone", isFinished: false))
    }

    @Test("A client that is gone stays the reason, whatever the application makes of it", arguments: 0..<3)
    func clientGoneWrapped(_ kind: Int) {
        let (outcome, transport) = serve(
            failure: { $0 > 1 ? GatewayError(.clientGone) : nil },
            answering {
                .push { writer in
                    try writer.write("sent")
                    do { try writer.write("lost") } catch { if kind == 0 { throw ApplicationError() } }
                    if kind == 1 { try writer.write("lost too") }
                }
            })
        #expect(outcome == .clientGone)
        #expect(text(transport.body) == "sent")
        #expect(transport.log.count == 1)
        #expect(transport.log.first?.hasPrefix("SGI0202") == true)
    }

    @Test("Output that failed can't be ignored: the response would have a hole")
    func hole() {
        let (outcome, transport) = serve(
            failure: { $0 == 2 ? GatewayError(.output, "disk full") : nil },
            answering {
                .push { writer in
                    for piece in ["one", "two", "three"] { try? writer.write(piece) }
                }
            })
        #expect(outcome == .failed)
        #expect(text(transport.body) == "one")
        #expect(transport.log == ["SGI0209: request failed, response aborted: output: disk full"])
    }

    @Test(
        "A body that is too long is cut, logged and complete, also if the application ignores it",
        arguments: [false, true])
    func longer(_ ignores: Bool) {
        let (outcome, transport) = serve(
            answering([.contentLength: "4"]) {
                .push { writer in
                    for piece in ["one", "two", "three"] {
                        do { try writer.write(piece) } catch { if !ignores { throw error } }
                    }
                }
            })
        #expect(outcome == .completed)
        #expect(text(transport.body) == "onet")
        #expect(transport.response.last == .piece([0x74], flush: false, last: true))
        #expect(transport.log == ["SGI0203: body cut: contentLengthExceeded: Content-Length is 4"])
    }

    @Test("A client that has had all of the body may leave before the rest of it is cut off")
    func longerThanAClientStays() {
        let (outcome, transport) = serve(
            failure: { $0 == 3 ? GatewayError(.clientGone) : nil },
            answering([.contentLength: "4"]) {
                .push { writer in for piece in ["one", "t", "wo"] { try writer.write(piece) } }
            })
        #expect(outcome == .completed)
        #expect(text(transport.body) == "onet")
        #expect(transport.log == ["SGI0203: body cut: contentLengthExceeded: Content-Length is 4"])
    }

    @Test("A body that is too short is aborted and logged", arguments: 0..<4)
    func shorter(_ kind: Int) {
        let (outcome, transport) = serve(
            answering([.contentLength: "4"]) {
                switch kind {
                case 0: return .bytes([1])
                case 1: return .chunks([[1]])
                case 2: return .push { try $0.write([1]) }
                default:
                    var piece: [UInt8]? = [1]
                    return .pull {
                        defer { piece = nil }
                        return piece
                    }
                }
            })
        #expect(outcome == .failed)
        #expect(transport.body == [1])
        #expect(
            transport.log == ["SGI0204: body too short, response aborted: contentLengthNotReached: 3 bytes are missing"]
        )
    }

    @Test("A body that is missing altogether leaves the head unsent", arguments: 0..<3)
    func missing(_ kind: Int) {
        let (outcome, transport) = serve(
            answering([.contentLength: "4"]) {
                switch kind {
                case 0: .empty
                case 1: .pull { nil }
                default: .push { _ in }
                }
            })
        #expect(outcome == .failed)
        #expect(transport.body == [])
        #expect(transport.log == ["SGI0204: body too short, status 500: contentLengthNotReached: 4 bytes are missing"])
    }

    @Test("A broken contract is named", arguments: 0..<3)
    func contract(_ kind: Int) {
        let (outcome, transport) = serve { _, startResponse in
            switch kind {
            case 0: try startResponse(.continue, [:], nil)
            case 1: try startResponse(.ok, [.connection: "close"], nil)
            default:
                try startResponse(.ok, [:], nil)
                try startResponse(.ok, [:], nil)
            }
            return .empty
        }
        #expect(outcome == .failed)
        #expect(transport.log.first?.hasPrefix("SGI0208: application broke the gateway contract, status 500: ") == true)
    }

    @Test("Another request's error is this one's failure")
    func foreign() {
        let (exchange, transport) = makeExchange()
        transport.failure = { _ in GatewayError(.clientGone) }
        nonisolated(unsafe) var kept: (any Error)?
        _ = exchange.serve(
            answering {
                .push { writer in
                    do { try writer.write("x") } catch { kept = error }
                }
            })
        let (outcome, second) = serve { _, _ in throw kept! }
        #expect(outcome == .failed)
        #expect(second.log.first?.hasPrefix("SGI0209: request failed, status 500: clientGone") == true)
    }
}
