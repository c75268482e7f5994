import HTTPTypes
import SwiftGICore
import SwiftGITesting
import Synchronization
import Testing

private let echo: Application = { environ, startResponse in
    let body = try environ.input.collect(upTo: 100)
    try startResponse(.ok, [.contentType: "text/plain"], nil)
    return .bytes(body)
}

private struct Failure: Error {}

private let events = Mutex<[String]>([])

private struct Notes: GatewayApplication {
    init(_ startup: Startup) async throws { events.withLock { $0 = ["init \(startup.server)"] } }

    var application: Application { echo }

    func run() async throws {
        events.withLock { $0.append("run") }
        try await Task.sleep(for: .seconds(600))
    }

    func shutdown() async throws { events.withLock { $0.append("shutdown") } }
}

private struct Unmakable: GatewayApplication {
    init(_ startup: Startup) async throws { throw Failure() }

    var application: Application { echo }
}

private struct Failing: GatewayApplication {
    init(_ startup: Startup) async throws {}

    var application: Application { echo }

    func run() async throws { throw Failure() }
}

struct MemoryGatewayTests {
    @Test("A response is what the application answers, with its length")
    func response() {
        let response = MemoryGateway(echo).respond(to: MemoryRequest(body: "body"))
        #expect(response.status == .ok)
        #expect(response.headers == [.contentType: "text/plain", .contentLength: "4"])
        #expect(response.text == "body")
        #expect(response.pieces == [Array("body".utf8)])
        #expect(!response.isAborted)
        #expect(response.log == [])
    }

    @Test("HEAD drops the body and keeps its length")
    func head() {
        let response = MemoryGateway { _, startResponse in
            try startResponse(.ok, [:], nil)
            return .string("four")
        }.respond(to: MemoryRequest(method: .head))
        #expect(response.headers[.contentLength] == "4")
        #expect(response.body == [])
    }

    @Test(
        "The application's failures are a server's",
        arguments: [
            (.bodyTooLarge, 413), (.malformedBody, 400), (.timedOut, 408), (.input, 500), (nil, 500),
        ] as [(GatewayError.Code?, Int)])
    func failure(_ code: GatewayError.Code?, _ status: Int) {
        var request = MemoryRequest()
        request.bodyError = code
        let response = MemoryGateway { environ, _ in
            _ = try environ.input.read()
            throw Failure()
        }.respond(to: request)
        #expect(response.status.code == status)
        #expect(response.headers == [.contentLength: "0"])
        #expect(response.log.count == 1)
        #expect(response.log.first?.level == .error)
        #expect(!response.isAborted)
    }

    @Test("An error after the head aborts the response")
    func aborted() {
        let response = MemoryGateway { _, startResponse in
            try startResponse(.accepted, [:], nil)
            return .push { writer in
                try writer.write("some")
                throw Failure()
            }
        }.respond(to: MemoryRequest())
        #expect(response.status == .accepted)
        #expect(response.text == "some")
        #expect(response.isAborted)
    }

    @Test("A client may leave, before the response and within it", arguments: [0, -5, 3])
    func leaves(_ count: Int) {
        var request = MemoryRequest()
        request.leavesAfter = count
        let response = MemoryGateway { _, startResponse in
            try startResponse(.ok, [:], nil)
            return .push { writer in
                while true { try writer.write("xx") }
            }
        }.respond(to: request)
        #expect(response.isAborted)
        #expect(response.status.code == (count > 0 ? 200 : 0))
        #expect(response.text == String(repeating: "x", count: max(0, count)))
        #expect(response.log.allSatisfy { $0.level == .debug })
    }

    @Test(
        "A body follows its Content-Length",
        arguments: [
            ("2", 200, "bo"), ("4", 200, "body"), ("9", 400, ""), ("x", 400, ""), ("-1", 400, ""), ("", 400, ""),
        ])
    func length(_ length: String, _ status: Int, _ text: String) {
        let response = MemoryGateway(echo).respond(to: MemoryRequest(headers: [.contentLength: length], body: "body"))
        #expect(response.status.code == status)
        #expect(response.text == text)
    }

    @Test("Pieces are read as they are, empty ones passed over")
    func pieces() {
        var request = MemoryRequest(method: .post)
        request.pieces = [[], [1, 2], [], [3], []]
        let response = MemoryGateway { environ, startResponse in
            let input = environ.input
            try startResponse(.ok, [:], nil)
            return .pull { try input.next() }
        }.respond(to: request)
        #expect(response.pieces == [[1, 2], [3]])
    }

    @Test("The server's traits are as they were set")
    func traits() {
        let application: Application = { environ, startResponse in
            try startResponse(.ok, [:], nil)
            return .string("\(environ.server) \(environ.multithread) \(environ.multiprocess) \(environ.runOnce)")
        }
        #expect(MemoryGateway(application).respond(to: MemoryRequest()).text == "embedded true false false")
        let gateway = MemoryGateway(application, server: "cgi", multithread: false, multiprocess: true, runOnce: true)
        #expect(gateway.respond(to: MemoryRequest()).text == "cgi false true true")
    }

    @Test("What the application writes to its errors is in the log")
    func log() {
        let response = MemoryGateway { environ, startResponse in
            environ.errors.write("one\ntwo")
            try startResponse(.ok, [:], nil)
            return .empty
        }.respond(to: MemoryRequest())
        #expect(response.log.map(\.message) == ["one", "two"])
    }

    @Test("An application with a life of its own is made, run and ended")
    func life() async throws {
        let text = try await MemoryGateway.withApplication(Notes.self) { gateway in
            while !events.withLock({ $0.contains("run") }) { await Task.yield() }
            return gateway.respond(to: MemoryRequest(body: "note")).text
        }
        #expect(text == "note")
        #expect(events.withLock { $0 } == ["init embedded", "run", "shutdown"])
    }

    @Test("What the closure, init or run throws is thrown")
    func lifeThrows() async {
        await #expect(throws: Failure.self) {
            try await MemoryGateway.withApplication(Failing.self) { _ in throw Failure() }
        }
        await #expect(throws: Failure.self) { try await MemoryGateway.withApplication(Unmakable.self) { _ in } }
        await #expect(throws: Failure.self) { try await MemoryGateway.withApplication(Failing.self) { _ in } }
    }
}
