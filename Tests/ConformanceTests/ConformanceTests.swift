import Foundation
import SwiftGIConformance
import Testing

/// The suite over gateways that are in this process.
struct ConformanceTests {
    /// By name, each with its reason.
    static let excluded = [
        "w27/date": "No server is in front that would add fields."
    ]

    static func cases(_ contract: ConformanceContract) -> [ConformanceCase] {
        contract.cases.filter { excluded[$0.name] == nil }
    }

    /// Besides, over FastCGI and SCGI.
    static let excludedBehindServers = [
        "w39/read": "The web server answers Expect: 100-continue, not the gateway.",
        "w39/async-read": "The web server answers Expect: 100-continue, not the gateway.",
    ]

    /// Besides, over SCGI.
    static let excludedOverSCGI = [
        "w40/chunked": "SCGI has no body without a length: web servers read it first and send CONTENT_LENGTH.",
        "w32/async-waits": "A peer may end its side and wait for the answer: that it left shows when it is written to.",
        "w40/async-chunked": "SCGI has no body without a length: web servers read it first and send CONTENT_LENGTH.",
    ]

    static func fastCGICases(_ contract: ConformanceContract) -> [ConformanceCase] {
        cases(contract).filter { excludedBehindServers[$0.name] == nil }
    }

    static func scgiCases(_ contract: ConformanceContract) -> [ConformanceCase] {
        fastCGICases(contract).filter { excludedOverSCGI[$0.name] == nil }
    }

    @Test("The memory gateway conforms", arguments: cases(.gateway))
    func memory(_ conformanceCase: ConformanceCase) async throws { try await memory(conformanceCase, .gateway) }

    @Test("The memory gateway conforms with handlers", arguments: cases(.attached))
    func memoryAttached(_ conformanceCase: ConformanceCase) async throws {
        try await memory(conformanceCase, .attached)
    }

    @Test("The memory gateway conforms with handlers that wait", arguments: cases(.suspended))
    func memorySuspended(_ conformanceCase: ConformanceCase) async throws {
        try await memory(conformanceCase, .suspended)
    }

    private func memory(_ conformanceCase: ConformanceCase, _ contract: ConformanceContract) async throws {
        try await withJournal { journal in
            let client = MemoryConformanceClient(contract, journal: journal)
            try await conformanceCase.run(over: client)
            try conformanceCase.checkLog(client.complaints)
        }
    }

    @Test("An application behind the C interface conforms", arguments: cases(.gateway))
    func host(_ conformanceCase: ConformanceCase) async throws { try await host(conformanceCase, .gateway) }

    @Test("A handler behind the C interface conforms, attached", arguments: cases(.attached))
    func hostAttached(_ conformanceCase: ConformanceCase) async throws { try await host(conformanceCase, .attached) }

    @Test("A handler behind the C interface conforms, suspended", arguments: cases(.suspended))
    func hostSuspended(_ conformanceCase: ConformanceCase) async throws { try await host(conformanceCase, .suspended) }

    private func host(_ conformanceCase: ConformanceCase, _ contract: ConformanceContract) async throws {
        try await withJournal { journal in
            let client = try HostConformanceClient(contract, journal: journal)
            try await conformanceCase.run(over: client)
            try conformanceCase.checkLog(client.complaints)
            #expect(client.brokenRules.isEmpty)
        }
    }

    @Test("A FastCGI server conforms", arguments: fastCGICases(.gateway))
    func fastCGI(_ conformanceCase: ConformanceCase) async throws { try await fastCGI(conformanceCase, .gateway) }

    @Test("A FastCGI server conforms with handlers", arguments: fastCGICases(.attached))
    func fastCGIAttached(_ conformanceCase: ConformanceCase) async throws {
        try await fastCGI(conformanceCase, .attached)
    }

    @Test("A FastCGI server conforms with handlers that wait", arguments: fastCGICases(.suspended))
    func fastCGISuspended(_ conformanceCase: ConformanceCase) async throws {
        try await fastCGI(conformanceCase, .suspended)
    }

    private func fastCGI(_ conformanceCase: ConformanceCase, _ contract: ConformanceContract) async throws {
        try await withJournal { journal in
            let client = try GatewayConformanceClient(
                contract, journal: journal, .fastCGI, keepAlive: contract != .gateway)
            try await run(conformanceCase, over: client)
        }
    }

    @Test("An SCGI server conforms", arguments: scgiCases(.gateway))
    func scgi(_ conformanceCase: ConformanceCase) async throws { try await scgi(conformanceCase, .gateway) }

    @Test("An SCGI server conforms with handlers", arguments: scgiCases(.attached))
    func scgiAttached(_ conformanceCase: ConformanceCase) async throws { try await scgi(conformanceCase, .attached) }

    @Test("An SCGI server conforms with handlers that wait", arguments: scgiCases(.suspended))
    func scgiSuspended(_ conformanceCase: ConformanceCase) async throws { try await scgi(conformanceCase, .suspended) }

    private func scgi(_ conformanceCase: ConformanceCase, _ contract: ConformanceContract) async throws {
        try await withJournal { journal in
            try await run(conformanceCase, over: GatewayConformanceClient(contract, journal: journal, .scgi))
        }
    }

    private func run(_ conformanceCase: ConformanceCase, over client: GatewayConformanceClient) async throws {
        try await conformanceCase.run(over: client)
        // The last lines may come after the last byte.
        for _ in 0..<100 where (try? conformanceCase.checkLog(client.complaints)) == nil {
            try await Task.sleep(for: .milliseconds(20))
        }
        try conformanceCase.checkLog(client.complaints)
    }

    /// Besides, with CGI, whose end looks the same however it came.
    static let excludedWithCGI = Dictionary(
        uniqueKeysWithValues: [
            "w17/first", "w17/async-first", "w17/async-waits", "w21/sent", "w28/async-dropped", "w32/error",
            "w38/after", "w38/async-after",
        ].map { ($0, "The end of a CGI program looks the same however it came.") })

    static func cgiCases(_ contract: ConformanceContract) -> [ConformanceCase] {
        // Here all requests are this process's, which those of CGI programs never are.
        fastCGICases(contract).filter { excludedWithCGI[$0.name] == nil && $0.name != "w41/alone" }
    }

    @Test("CGI conforms", arguments: cgiCases(.gateway))
    func cgi(_ conformanceCase: ConformanceCase) async throws { try await cgi(conformanceCase, .gateway) }

    @Test("CGI conforms with handlers that wait", arguments: cgiCases(.suspended))
    func cgiSuspended(_ conformanceCase: ConformanceCase) async throws { try await cgi(conformanceCase, .suspended) }

    private func cgi(_ conformanceCase: ConformanceCase, _ contract: ConformanceContract) async throws {
        try await withJournal { journal in
            let client = CGIConformanceClient(contract, journal: journal)
            try await conformanceCase.run(over: client)
            try conformanceCase.checkLog(client.complaints)
        }
    }

    @Test("Every rule has a case", arguments: 1...47)
    func rule(_ number: Int) {
        #expect(conformanceCases().contains { $0.rule == "W\(number)" })
    }

    @Test("Every rule that concerns what a handler does has a case of handlers", arguments: handlerRules)
    func handlerRule(_ number: Int) {
        #expect(asyncConformanceCases().contains { $0.rule == "W\(number)" })
    }

    /// The rules of the body, the head and the ends; the others are of the environ, or of what the
    /// contract has no place for: lines, a second head (which does not compile), files.
    static let handlerRules = [
        1, 2, 6, 8, 10, 11, 12, 13, 14, 16, 17, 18, 23, 24, 25, 26, 28, 29, 30, 31, 32, 34, 35, 36, 37, 38, 39, 40, 42,
        45, 46, 47,
    ]

    @Test("Cases have names of their own, and exclusions the names of cases")
    func names() {
        let names = (conformanceCases() + asyncConformanceCases()).map(\.name)
        #expect(Set(names).count == names.count)
        let excluded = [Self.excluded, Self.excludedBehindServers, Self.excludedOverSCGI, Self.excludedWithCGI].flatMap(
            \.keys)
        #expect(Set(excluded).isSubset(of: names))
    }
}

/// As in a server. Once and before all, since the validator looks whether an application changes it.
private let ignoresBrokenPipes: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

/// Calls `body` with a new directory, and removes it afterwards.
func withJournal(_ body: (String) async throws -> Void) async throws {
    _ = ignoresBrokenPipes
    let directory = FileManager.default.temporaryDirectory.appending(component: "swiftgi-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    try await body(directory.path())
}
