import Foundation
import SwiftGIConformance
import Testing

/// The conformance suite over a real httpd.
@Suite struct ConformanceTests {
    /// Which contract serves the suite, and how; each at a path of its own.
    enum Contract: String, CaseIterable, CustomTestStringConvertible {
        case gateway
        /// Handlers, and applications behind a bridge, as they are called.
        case attached
        /// The same behind a wait for another thread: with the event MPM the request is put aside.
        case suspended

        var testDescription: String { rawValue }

        var cases: [ConformanceCase] {
            self == .gateway ? conformanceCases() : conformanceCases() + asyncConformanceCases()
        }
    }

    @Test(arguments: Configuration.MPM.allCases, Contract.allCases)
    func conforms(_ mpm: Configuration.MPM, _ contract: Contract) async throws {
        try await check(mpm, contract, .embedded)
    }

    @Test(arguments: Configuration.MPM.allCases, Contract.allCases)
    func conformsInDaemons(_ mpm: Configuration.MPM, _ contract: Contract) async throws {
        try await check(mpm, contract, .daemon)
    }

    private func check(
        _ mpm: Configuration.MPM, _ contract: Contract, _ execution: Configuration.Execution
    ) async throws {
        let lines = """
            SwiftGIScriptAlias /gateway ${apps}/libConformance.so
            SwiftGIScriptAlias /attached ${apps}/libAsyncConformance.so
            SwiftGIScriptAlias /suspended ${apps}/libAsyncConformance.so
            SetEnv SWIFTGI_TEST_JOURNAL ${root}/scratch
            <Location /suspended>
            SetEnv \(ConformanceHandler.waitVariable) 1
            </Location>
            """
        var configuration = Configuration(lines, mpm: mpm, modules: ["env"], threads: 16)
        configuration.execution = execution
        let expected = Set(contract.cases.flatMap(\.log)).sorted()
        try await withServer(configuration, expecting: expected) { server in
            let client = ApacheConformanceClient(port: server.port, scriptName: "/\(contract.rawValue)")
            for conformanceCase in contract.cases {
                let before = server.errorLog.rawLines.count
                do {
                    try await conformanceCase.run(over: client)
                    // The last lines may come after the last byte.
                    var failure: (any Error)?
                    _ = holdsEventually(for: 2) {
                        let lines = server.errorLog.rawLines.dropFirst(before).filter { line in
                            (LogLine(line)?.isBad ?? true) && !ofBusyMachines.contains { line.contains($0) }
                        }
                        do {
                            try conformanceCase.checkLog(lines.map { String($0) })
                            failure = nil
                        } catch {
                            failure = error
                        }
                        return failure == nil
                    }
                    if let failure { throw failure }
                } catch {
                    Issue.record("\(conformanceCase): \(error)")
                }
            }
        }
    }
}

/// The suite's client of a web server: sockets, on threads of their own, since cases wait for each other.
struct ApacheConformanceClient: ConformanceClient {
    let port: Int
    let scriptName: String
    /// Whether the server forwards: then it may answer in place of a response that fails.
    var isFront = false

    func send(_ request: ConformanceRequest) async throws -> ConformanceResponse {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try exchange(request) }) }
        }
    }

    private func exchange(_ request: ConformanceRequest) throws -> ConformanceResponse {
        let client = try RawClient(port: port)
        var fields = ["Host: localhost", "Connection: close"] + request.headers.map { "\($0.name): \($0.value)" }
        switch request.framing {
        case .none: break
        case .contentLength: fields.append("Content-Length: \(request.pieces.reduce(0) { $0 + $1.count })")
        case .chunked: fields.append("Transfer-Encoding: chunked")
        }
        if request.expectsContinue { fields.append("Expect: 100-continue") }
        try client.request("\(request.method) \(scriptName)\(request.target) \(request.version)", fields)

        var head: Response?
        var isContinued = false
        do {
            if request.expectsContinue {
                let first = try client.anyHead()
                isContinued = first.status == 100
                if !isContinued { head = first }
            }
            // A server that has answered need not take the rest.
            if head == nil { try? sendBody(request, client) }
            let answer = try head ?? client.head()
            var collector = Collector(leavesAfter: request.leavesAfter)
            let isCut = try collector.collect(answer, to: request.method, from: client)
            return ConformanceResponse(
                status: answer.status, reason: answer.reason, headers: answer.fields.map { ($0.name, $0.value) },
                body: collector.body, isCut: isCut,
                isReplaced: isFront && [500, 502, 503].contains(answer.status),
                isContinued: isContinued || answer.interim.contains(100),
                arrivals: collector.arrivals)
        } catch WireError.noHead, WireError.reset {
            return ConformanceResponse(
                status: 0, reason: "", headers: [], body: [], isCut: true, isReplaced: isFront,
                isContinued: isContinued)
        }
    }

    private func sendBody(_ request: ConformanceRequest, _ client: RawClient) throws {
        for piece in request.pieces {
            if request.framing == .chunked {
                try client.send(Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + Array("\r\n".utf8))
            } else {
                try client.send(piece)
            }
        }
        if request.framing == .chunked { try client.send("0\r\n\r\n") }
    }
}

/// Takes a body in as it comes.
private struct Collector {
    let leavesAfter: Int?
    var body: [UInt8] = []
    var arrivals: [ConformanceResponse.Arrival] = []

    init(leavesAfter: Int?) { self.leavesAfter = leavesAfter }

    /// - Returns: Whether the message was cut.
    mutating func collect(_ head: Response, to method: String, from client: RawClient) throws -> Bool {
        if method == "HEAD" || head.status == 204 || head.status == 304 { return false }
        do {
            if head["Transfer-Encoding"]?.lowercased() == "chunked" {
                while let chunk = try client.chunk() { if add(chunk, client) { return true } }
                return false
            }
            let length = head["Content-Length"].flatMap { Int($0) }
            while length.map({ body.count < $0 }) ?? true {
                let bytes = try client.some((length ?? Int.max) - body.count)
                if bytes.isEmpty { return length != nil }
                if add(bytes, client) { return true }
            }
            return false
        } catch WireError.noLastChunk, WireError.reset {
            return true
        }
    }

    /// - Returns: Whether the client has left.
    private mutating func add(_ bytes: [UInt8], _ client: RawClient) -> Bool {
        body += bytes
        arrivals.append(.init(count: body.count, time: .now))
        guard let leavesAfter, body.count >= leavesAfter else { return false }
        client.close()
        return true
    }
}
