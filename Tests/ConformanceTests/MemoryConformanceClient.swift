import CSwiftGI
import FakeHost
import HTTPTypes
import SwiftGIConformance
import SwiftGIEmbedded
import SwiftGITesting
import SwiftGIValidator
import Synchronization
import Testing

/// Which contract serves the suite, and how.
enum ConformanceContract: CaseIterable, Sendable, CustomTestStringConvertible {
    case gateway
    /// Handlers, and applications behind a bridge, as they are called.
    case attached
    /// The same behind a wait for another thread.
    case suspended

    var testDescription: String { "\(self)" }

    var cases: [ConformanceCase] {
        self == .gateway ? conformanceCases() : conformanceCases() + asyncConformanceCases()
    }
}

/// The suite's client of a ``MemoryGateway``.
final class MemoryConformanceClient: ConformanceClient {
    private let gateway: MemoryGateway
    private let contract: ConformanceContract
    private let journal: String
    private let lines = Mutex<[String]>([])

    /// - Parameter isValidated: Whether the applications run under the validator.
    init(_ contract: ConformanceContract, journal: String, isValidated: Bool = false) {
        if contract == .gateway {
            gateway = MemoryGateway(isValidated ? Validator().wrap(conformanceApplication) : conformanceApplication)
        } else {
            let handler = ConformanceHandler()
            gateway = MemoryGateway(handler: isValidated ? Validator().wrap(handler) : handler)
        }
        self.contract = contract
        self.journal = journal
    }

    /// What was logged at warning and above.
    var complaints: [String] { lines.withLock { $0 } }

    func send(_ request: ConformanceRequest) async throws -> ConformanceResponse {
        let memoryRequest = try MemoryRequest(request, contract, journal: journal)
        let response = await onServerThread { [gateway] in gateway.respond(to: memoryRequest) }
        lines.withLock { lines in lines += response.log.filter { $0.level >= .warning }.map(\.message) }
        return ConformanceResponse(response, expectsContinue: request.expectsContinue)
    }
}

/// The suite's client of an application behind the C interface.
final class HostConformanceClient: ConformanceClient {
    let scriptName = "/mount"
    private let host: FakeHost
    private let contract: ConformanceContract
    private let address: UInt
    private let journal: String
    private let violations = Mutex<[String]>([])

    init(_ contract: ConformanceContract, journal: String) throws {
        let waiting: FakeHost.Waiting? =
            switch contract {
            case .gateway: nil
            case .attached: .attached
            case .suspended: .suspended
            }
        host = FakeHost(flags: SWIFTGI_MULTITHREAD | SWIFTGI_MULTIPROCESS, waiting: waiting)
        let hosted = HostedApplication { _ in
            HostedApplication.Running(
                contract == .gateway ? .application(conformanceApplication) : .handler(ConformanceHandler()))
        }
        let table = hosted.makeTable(name: "Conformance")
        guard table.pointee.start(table.pointee.application, host.table) == SWIFTGI_OK else { throw NotStarted() }
        address = UInt(bitPattern: table)
        self.contract = contract
        self.journal = journal
    }

    /// What was logged at warning and above.
    var complaints: [String] { host.complaints }

    /// How the application broke the rules of the interface.
    var brokenRules: [String] { violations.withLock { $0 } }

    func send(_ request: ConformanceRequest) async throws -> ConformanceResponse {
        var memoryRequest = try MemoryRequest(request, contract, journal: journal)
        memoryRequest.scriptName = scriptName
        let fake = FakeRequest(memoryRequest)
        // Nothing is there at once: each piece has to be waited for.
        fake.delaysInput = contract != .gateway
        fake.delaysOutput = contract != .gateway
        let status = await onServerThread { [host, address] in
            host.serve(UnsafePointer<swiftgi_application_table>(bitPattern: address)!, fake)
        }
        violations.withLock { $0 += fake.violations }
        if contract == .suspended, !fake.calls.contains(where: { if case .wait = $0 { true } else { false } }),
            !request.target.hasPrefix("/journal/")
        {
            violations.withLock { $0.append("\(request.target) was not put aside") }
        }
        return ConformanceResponse(fake.response(status), expectsContinue: request.expectsContinue)
    }
}

private struct NotStarted: Error {}

extension MemoryRequest {
    init(_ request: ConformanceRequest, _ contract: ConformanceContract, journal: String) throws {
        self.init(path: request.target)
        guard let method = HTTPRequest.Method(request.method) else { throw NotStarted() }
        self.method = method
        for (name, value) in request.headers {
            guard let name = HTTPField.Name(name) else { throw NotStarted() }
            headers.append(HTTPField(name: name, value: value))
        }
        switch request.framing {
        case .none: break
        case .contentLength: headers[.contentLength] = "\(request.pieces.joined().count)"
        case .chunked: headers[.transferEncoding] = "chunked"
        }
        pieces = request.pieces
        leavesAfter = request.leavesAfter
        variables["SWIFTGI_TEST_JOURNAL"] = journal
        if contract == .suspended { variables[ConformanceHandler.waitVariable] = "1" }
    }
}

extension ConformanceResponse {
    init(_ response: MemoryResponse, expectsContinue: Bool) {
        var count = 0
        let arrivals = zip(response.pieces, response.times).map { piece, time in
            count += piece.count
            return Arrival(count: count, time: time)
        }
        self.init(
            status: response.status.code, reason: response.status.reasonPhrase,
            headers: response.headers.map { ($0.name.rawName, $0.value) }, body: response.body,
            isCut: response.isAborted, isContinued: expectsContinue && response.isBodyRead, arrivals: arrivals)
    }
}
