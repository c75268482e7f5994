import CSwiftGI
import FakeHost
import Foundation
import HTTPTypes
import SwiftGICore
import SwiftGIEmbedded
import SwiftGITesting
import Testing

struct HostTransportTests {
    private let host = FakeHost()

    /// Serves a request with an application over the C interface.
    private func serve(_ request: FakeRequest, _ application: @escaping Application) throws -> swiftgi_status {
        let table = try start(application, host)
        let status = host.serve(table, request)
        #expect(request.violations.isEmpty)
        return status
    }

    // MARK: The request

    @Test("Variables and fields come through", arguments: [true, false])
    func request(_ givesNull: Bool) throws {
        var memory = MemoryRequest(path: "/p?q", headers: [.accept: "a", .userAgent: ""])
        memory.headers.append(HTTPField(name: .accept, value: [0xE9]))
        let request = FakeRequest(memory)
        request.givesNull = givesNull
        let status = try serve(request) { environ, startResponse in
            #expect(environ["PATH_INFO"] == "/p" && environ["QUERY_STRING"] == "q")
            #expect(environ["HTTP_USER_AGENT"] == "" && environ["ABSENT"] == nil)
            #expect(environ.headers.map(\.name) == [.accept, .userAgent, .accept])
            #expect(environ.headers.last?.withUnsafeBytesOfValue { Array($0) } == [0xE9])
            #expect(environ.snapshot()["HTTP_USER_AGENT"] == "")
            #expect(environ.snapshot()["REQUEST_METHOD"] == "GET")
            try startResponse(.ok, [:], nil)
            return .empty
        }
        #expect(status == SWIFTGI_OK)
    }

    @Test("The body comes through")
    func body() throws {
        var memory = MemoryRequest(body: "one\ntwo")
        memory.pieces.append(Array("!".utf8))
        let request = FakeRequest(memory)
        let status = try serve(request) { environ, startResponse in
            let input = environ.input
            #expect(try input.readLine() == Array("one\n".utf8))
            #expect(try input.read(upTo: 2) == Array("tw".utf8))
            #expect(try input.collect(upTo: 2) == Array("o!".utf8))
            #expect(try input.next() == nil)
            try startResponse(.ok, [:], nil)
            return .empty
        }
        #expect(status == SWIFTGI_OK)
    }

    @Test(
        "What read reports is thrown, and decides the result",
        arguments: [
            (SWIFTGI_CLIENT_GONE, .clientGone, SWIFTGI_CLIENT_GONE),
            (SWIFTGI_TOO_LARGE, .bodyTooLarge, SWIFTGI_TOO_LARGE),
            (SWIFTGI_BAD_REQUEST, .malformedBody, SWIFTGI_BAD_REQUEST),
            (SWIFTGI_TIMED_OUT, .timedOut, SWIFTGI_TIMED_OUT),
            (SWIFTGI_SERVER_ERROR, .input, SWIFTGI_FAILED), (SWIFTGI_MISUSE, .input, SWIFTGI_FAILED),
            (SWIFTGI_FAILED, .input, SWIFTGI_FAILED), (swiftgi_status(rawValue: 4711), .input, SWIFTGI_FAILED),
        ] as [(swiftgi_status, GatewayError.Code, swiftgi_status)])
    func readStatus(_ status: swiftgi_status, _ code: GatewayError.Code, _ result: swiftgi_status) throws {
        let request = FakeRequest()
        request.readStatus = status
        let served = try serve(request) { environ, _ in
            do {
                _ = try environ.input.read()
            } catch {
                #expect((error as? GatewayError)?.code == code)
                throw error
            }
            return .empty
        }
        #expect(served == result)
    }

    @Test("A count that can't be is no crash", arguments: [-1, Int.min, 1 << 40, .max])
    func readCount(_ count: Int) throws {
        let request = FakeRequest(MemoryRequest(body: "x"))
        request.readCount = count
        let status = try serve(request) { environ, startResponse in
            #expect(try environ.input.read(upTo: 8).count == (count < 0 ? 0 : 8))
            try startResponse(.ok, [:], nil)
            return .empty
        }
        #expect(status == SWIFTGI_OK)
    }

    @Test("Whether the client is gone is the server's to say", arguments: [nil, 0])
    func client(_ leavesAfter: Int?) throws {
        var memory = MemoryRequest()
        memory.leavesAfter = leavesAfter
        _ = try serve(FakeRequest(memory)) { environ, _ in
            #expect(environ.isClientGone == (leavesAfter != nil))
            throw Failure()
        }
    }

    // MARK: The response

    @Test("A response is a head and its pieces")
    func response() throws {
        let request = FakeRequest()
        let status = try serve(request) { _, startResponse in
            var fields: HTTPFields = [.contentType: "text/plain", .contentLength: "3"]
            fields.append(HTTPField(name: .setCookie, value: "ä"))
            try startResponse(.init(code: 299, reasonPhrase: "Fine"), fields, nil)
            return .chunks([[1], [2, 3]])
        }
        #expect(status == SWIFTGI_OK)
        #expect(
            request.calls == [
                .start(status: 299, reason: "Fine", length: 3),
                .field(name: "Content-Type", value: Array("text/plain".utf8)),
                .field(name: "Set-Cookie", value: [0xC3, 0xA4]), .write(piece: [1], flags: 0),
                .write(piece: [2, 3], flags: SWIFTGI_LAST),
            ])
    }

    @Test("An unknown length is -1, and written pieces are flushed")
    func flush() throws {
        let request = FakeRequest()
        _ = try serve(request) { _, startResponse in
            try startResponse(.ok, [:], nil)
            return .push { try $0.write("x") }
        }
        #expect(
            request.calls == [
                .start(status: 200, reason: "OK", length: -1), .write(piece: [0x78], flags: SWIFTGI_FLUSH),
                .write(piece: [], flags: SWIFTGI_LAST),
            ])
    }

    @Test("A file passes with its descriptor, or without", arguments: [true, false])
    func file(_ closing: Bool) throws {
        let descriptor = try makeFile("0123456789")
        let request = FakeRequest()
        let status = try serve(request) { _, startResponse in
            try startResponse(.ok, [:], nil)
            return .file(descriptor: descriptor, offset: 3, length: 4, closing: closing)
        }
        #expect(status == SWIFTGI_OK)
        let flags = SWIFTGI_LAST | (closing ? SWIFTGI_OWNED : 0)
        #expect(request.calls.last == .sendFile(offset: 3, length: 4, flags: flags))
        #expect(request.response(status).text == "3456")
        if !closing { #expect(close(descriptor) == 0) }
    }

    @Test(
        "What the server's functions report decides the result",
        arguments: [
            (SWIFTGI_CLIENT_GONE, SWIFTGI_CLIENT_GONE, "SGI0202"), (SWIFTGI_SERVER_ERROR, SWIFTGI_FAILED, "SGI0209"),
            (SWIFTGI_MISUSE, SWIFTGI_FAILED, "SGI0208"), (swiftgi_status(rawValue: 4711), SWIFTGI_FAILED, "SGI0209"),
        ] as [(swiftgi_status, swiftgi_status, String)], 0..<4)
    func outputStatus(_ reported: (swiftgi_status, swiftgi_status, String), _ place: Int) throws {
        let host = FakeHost()
        let request = FakeRequest()
        if place == 0 { request.startStatus = reported.0 }
        if place == 1 { request.fieldStatus = reported.0 }
        if place == 2 { request.writeStatus = { _ in reported.0 } }
        if place == 3 { request.sendFileStatus = reported.0 }
        let table = try start(
            { _, startResponse in
                try startResponse(.ok, [.eTag: "x"], nil)
                return place == 3 ? .file(descriptor: try makeFile("0123"), offset: 0) : .string("x")
            }, host)
        #expect(host.serve(table, request) == reported.1)
        #expect(host.log.last?.message.hasPrefix(reported.2) == true)
        #expect(host.log.last?.namesRequest == true)
        #expect(request.violations.isEmpty)
    }

    @Test("After a write that failed there is no other")
    func afterFailure() throws {
        let request = FakeRequest()
        request.writeStatus = { $0 == 1 ? SWIFTGI_SERVER_ERROR : nil }
        let status = try serve(request) { _, startResponse in
            try startResponse(.ok, [:], nil)
            return .push { writer in
                for piece in ["one", "two", "three"] { try? writer.write(piece) }
            }
        }
        #expect(status == SWIFTGI_FAILED)
        #expect(request.calls.count == 3)
    }

    // MARK: The log

    @Test("Lines name the request until it is over")
    func log() throws {
        nonisolated(unsafe) var kept: Errors?
        _ = try serve(FakeRequest()) { environ, startResponse in
            environ.errors.write("during\n")
            kept = environ.errors
            try startResponse(.ok, [:], nil)
            return .empty
        }
        kept?.write("after\n")
        #expect(
            host.log == [
                .init(SWIFTGI_LOG_ERROR, "during", namesRequest: true),
                .init(SWIFTGI_LOG_ERROR, "after", namesRequest: false),
            ])
    }

    // MARK: Outcomes

    @Test(
        "Each outcome has its status",
        arguments: [
            (.completed, SWIFTGI_OK), (.clientGone, SWIFTGI_CLIENT_GONE), (.failed, SWIFTGI_FAILED),
            (.tooLarge, SWIFTGI_TOO_LARGE), (.badRequest, SWIFTGI_BAD_REQUEST), (.timedOut, SWIFTGI_TIMED_OUT),
        ] as [(Outcome, swiftgi_status)])
    func outcomes(_ outcome: Outcome, _ status: swiftgi_status) {
        #expect(swiftgi_status(outcome) == status)
    }
}

struct Failure: Error {}

/// The table of an application that was started.
func start(_ application: @escaping Application, _ host: FakeHost) throws -> UnsafePointer<swiftgi_application_table> {
    let hosted = HostedApplication { _ in HostedApplication.Running(.application(application)) }
    let table = hosted.makeTable(name: "Test")
    try #require(table.pointee.start(table.pointee.application, host.table) == SWIFTGI_OK)
    return table
}

/// A file without a name.
func makeFile(_ content: String) throws -> Int32 {
    var template = Array("/tmp/swiftgi-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    try #require(descriptor >= 0)
    unlink(template)
    try #require(write(descriptor, content, content.utf8.count) == content.utf8.count)
    return descriptor
}
