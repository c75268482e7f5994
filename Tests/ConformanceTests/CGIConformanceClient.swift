import GatewayClients
import Glibc
import SwiftGIConformance
import SwiftGICore
import SwiftGIServers
import SwiftGITesting
import Synchronization

/// The suite's client of CGI in this process, over sockets in place of standard input and output.
final class CGIConformanceClient: ConformanceClient {
    let scriptName = "/mount"
    private let journal: String
    private let contract: ConformanceContract
    private let lines = Mutex<[String]>([])

    init(_ contract: ConformanceContract, journal: String) {
        self.contract = contract
        self.journal = journal
    }

    /// What was logged at warning and above.
    var complaints: [String] { lines.withLock { $0 } }

    func send(_ request: ConformanceRequest) async throws -> ConformanceResponse {
        let ends = try (0..<2).map { _ in
            var pair: [Int32] = [-1, -1]
            guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0 else {
                throw ClientError("socketpair: \(errno)")
            }
            return (ours: ClientSocket(descriptor: pair[0]), theirs: pair[1])
        }
        let (input, output) = (ends[0], ends[1])
        async let served: Void = onThread { [self] in
            try serve(request, input: input.theirs, output: output.theirs)
            close(output.theirs)
            close(input.theirs)
        }
        let response = try await onThread { [self] in try exchange(request, input.ours, output.ours) }
        try await served
        return response
    }

    private func serve(_ request: ConformanceRequest, input: Int32, output: Int32) throws {
        var memoryRequest = try MemoryRequest(request, contract, journal: journal)
        memoryRequest.scriptName = scriptName
        let variables = memoryRequest.makeVariables(id: "", software: "Test")
            .filter { $0.key != "swiftgi.request_id" }.map { (name: Array($0.key.utf8), value: $0.value) }
        let host = ServerHost(
            traits: ServerTraits(mode: "cgi", multithread: false, multiprocess: true, runOnce: true),
            software: "Test", level: .warning, sink: { [self] _, message in lines.withLock { $0.append(message) } })
        let transport = try CGITransport(
            RequestVariables(variables), host, ServerOptions(), input: input, output: output)
        _ = CGIServer.serve(
            RunningApplication(
                contract == .gateway ? .application(conformanceApplication) : .handler(ConformanceHandler())),
            transport)
    }

    private func exchange(
        _ request: ConformanceRequest, _ input: ClientSocket, _ output: ClientSocket
    ) throws -> ConformanceResponse {
        // An application that has answered need not take the rest.
        do { for piece in request.pieces { try input.send(piece) } } catch is ClientError {}
        if request.framing == .chunked { input.endSending() }
        var response = GatewayResponse()
        var arrivals: [ConformanceResponse.Arrival] = []
        var hasLeft = false
        while true {
            let bytes = try output.receive()
            if bytes.isEmpty { break }
            response.append(bytes)
            if !response.body.isEmpty { arrivals.append(.init(count: response.body.count, time: .now)) }
            if let leavesAfter = request.leavesAfter, response.body.count >= leavesAfter {
                output.close()
                hasLeft = true
                break
            }
        }
        let length = response.headers.first { $0.name == "Content-Length" }.flatMap { Int($0.value) }
        let isShort = request.method != "HEAD" && (length.map { response.body.count < $0 } ?? false)
        return ConformanceResponse(
            status: response.status, reason: response.reason, headers: response.headers, body: response.body,
            isCut: hasLeft || isShort || !response.hasHead, arrivals: arrivals)
    }
}
