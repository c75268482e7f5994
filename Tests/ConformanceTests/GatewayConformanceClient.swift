import GatewayClients
import Glibc
import SwiftGIConformance
import SwiftGICore
import SwiftGIServers
import SwiftGITesting
import Synchronization

/// The suite's client of a server of this process, which plays the web server.
final class GatewayConformanceClient: ConformanceClient {
    let scriptName = "/mount"
    private let server: TestServer
    private let journal: String
    private let isSCGI: Bool
    private let stderr = Mutex<[String]>([])
    private let keepAlive: Bool

    private let contract: ConformanceContract

    init(
        _ contract: ConformanceContract, journal: String, _ protocolName: ServerOptions.ProtocolName,
        keepAlive: Bool = false
    ) throws {
        self.contract = contract
        var options = ServerOptions()
        options.protocolName = protocolName
        isSCGI = protocolName == .scgi
        self.journal = journal
        self.keepAlive = keepAlive
        server = try TestServer(
            contract == .gateway ? .application(conformanceApplication) : .handler(ConformanceHandler()), options,
            // A response that is cut is a reset there.
            isTCP: protocolName == .scgi)
    }

    deinit { server.stop() }

    /// What was logged at warning and above.
    var complaints: [String] {
        server.log.filter { $0.level.rawValue <= LogLevel.warning.rawValue }.map(\.message) + stderr.withLock { $0 }
    }

    func send(_ request: ConformanceRequest) async throws -> ConformanceResponse {
        try await onThread { [self] in isSCGI ? try sendSCGI(request) : try sendFastCGI(request) }
    }

    private func variables(_ request: ConformanceRequest) throws -> [(String, [UInt8])] {
        var memoryRequest = try MemoryRequest(request, contract, journal: journal)
        memoryRequest.scriptName = scriptName
        return memoryRequest.makeVariables(id: "", software: "Test").filter { $0.key != "swiftgi.request_id" }
            .map { ($0.key, $0.value) }
    }

    private struct Collected {
        var response = GatewayResponse()
        var arrivals: [ConformanceResponse.Arrival] = []

        mutating func append(_ bytes: [UInt8]) {
            response.append(bytes)
            if !response.body.isEmpty { arrivals.append(.init(count: response.body.count, time: .now)) }
        }

        func make(isCut: Bool) -> ConformanceResponse {
            ConformanceResponse(
                status: response.status, reason: response.reason, headers: response.headers, body: response.body,
                isCut: isCut, arrivals: arrivals)
        }
    }

    private func sendFastCGI(_ request: ConformanceRequest) throws -> ConformanceResponse {
        let client = try FastCGIClient(path: server.socket.path)
        try client.socket.send(
            FastCGIClient.begin(1, keep: keepAlive) + FastCGIClient.params(1, try variables(request)))
        // An application that has answered need not take the rest.
        do {
            for piece in request.pieces { try client.socket.send(FastCGIClient.stdin(1, piece)) }
            try client.socket.send(FastCGIClient.stdinEnd(1))
        } catch is ClientError {}
        var collected = Collected()
        var isCut = true
        while let record = try client.record() {
            switch record.type {
            case .stdout: collected.append(record.content)
            case .stderr:
                stderr.withLock { $0.append(String(decoding: record.content, as: UTF8.self)) }
            case .endRequest:
                isCut = record.content[..<5] != [0, 0, 0, 0, 0]
            default: break
            }
            if record.type == .endRequest { break }
            if let leavesAfter = request.leavesAfter, collected.response.body.count >= leavesAfter { break }
        }
        return collected.make(isCut: isCut)
    }

    private func sendSCGI(_ request: ConformanceRequest) throws -> ConformanceResponse {
        let socket = try ClientSocket(path: server.socket.path)
        var variables = try variables(request).filter { $0.0 != "CONTENT_LENGTH" }
        let body = Array(request.pieces.joined())
        variables.insert(("CONTENT_LENGTH", Array("\(body.count)".utf8)), at: 0)
        variables.append(("SCGI", [0x31]))
        var header: [UInt8] = []
        for (name, value) in variables { header += name.utf8 + [0] + value + [0] }
        try socket.send(Array("\(header.count):".utf8) + header + [0x2C])
        do { for piece in request.pieces { try socket.send(piece) } } catch is ClientError {}
        var collected = Collected()
        while true {
            let bytes = try socket.receive()
            if bytes.isEmpty { break }
            collected.append(bytes)
            if let leavesAfter = request.leavesAfter, collected.response.body.count >= leavesAfter {
                return collected.make(isCut: true)
            }
        }
        let length = collected.response.headers.first { $0.name == "Content-Length" }.flatMap { Int($0.value) }
        let isShort = length.map { collected.response.body.count < $0 } ?? false
        return collected.make(
            isCut: socket.wasReset || !collected.response.hasHead || (isShort && request.method != "HEAD"))
    }
}
