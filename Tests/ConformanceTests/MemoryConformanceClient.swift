import CSwiftGI
import FakeHost
import HTTPTypes
import SwiftGIConformance
import SwiftGIEmbedded
import SwiftGITesting
import Synchronization

/// The suite's client of a ``MemoryGateway``.
final class MemoryConformanceClient: ConformanceClient {
    private let gateway = MemoryGateway(conformanceApplication)
    private let journal: String
    private let lines = Mutex<[String]>([])

    init(journal: String) { self.journal = journal }

    /// What was logged at warning and above.
    var complaints: [String] { lines.withLock { $0 } }

    func send(_ request: ConformanceRequest) async throws -> ConformanceResponse {
        let response = gateway.respond(to: try MemoryRequest(request, journal: journal))
        lines.withLock { lines in lines += response.log.filter { $0.level >= .warning }.map(\.message) }
        return ConformanceResponse(response, expectsContinue: request.expectsContinue)
    }
}

/// The suite's client of an application behind the C interface.
final class HostConformanceClient: ConformanceClient {
    let scriptName = "/mount"
    private let host = FakeHost(flags: SWIFTGI_MULTITHREAD | SWIFTGI_MULTIPROCESS)
    private let address: UInt
    private let journal: String
    private let violations = Mutex<[String]>([])

    init(journal: String) throws {
        let hosted = HostedApplication { _ in HostedApplication.Running(.application(conformanceApplication)) }
        let table = hosted.makeTable(name: "Conformance")
        guard table.pointee.start(table.pointee.application, host.table) == SWIFTGI_OK else { throw NotStarted() }
        address = UInt(bitPattern: table)
        self.journal = journal
    }

    /// What was logged at warning and above.
    var complaints: [String] { host.complaints }

    /// How the application broke the rules of the interface.
    var brokenRules: [String] { violations.withLock { $0 } }

    func send(_ request: ConformanceRequest) async throws -> ConformanceResponse {
        var memoryRequest = try MemoryRequest(request, journal: journal)
        memoryRequest.scriptName = scriptName
        let table = UnsafePointer<swiftgi_application_table>(bitPattern: address)!
        let fake = FakeRequest(memoryRequest)
        let status = host.serve(table, fake)
        violations.withLock { $0 += fake.violations }
        return ConformanceResponse(fake.response(status), expectsContinue: request.expectsContinue)
    }
}

private struct NotStarted: Error {}

extension MemoryRequest {
    init(_ request: ConformanceRequest, journal: String) throws {
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
