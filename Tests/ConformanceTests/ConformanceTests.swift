import Foundation
import SwiftGIConformance
import Testing

/// The suite over gateways that are in this process.
struct ConformanceTests {
    /// By name, each with its reason.
    static let excluded = [
        "w27/date": "No server is in front that would add fields."
    ]

    static let cases = conformanceCases().filter { excluded[$0.name] == nil }

    /// Besides, over FastCGI and SCGI.
    static let excludedBehindServers = [
        "w39/read": "The web server answers Expect: 100-continue, not the gateway."
    ]

    /// Besides, over SCGI.
    static let excludedOverSCGI = [
        "w40/chunked": "SCGI has no body without a length: web servers read it first and send CONTENT_LENGTH."
    ]

    static let fastCGICases = cases.filter { excludedBehindServers[$0.name] == nil }
    static let scgiCases = fastCGICases.filter { excludedOverSCGI[$0.name] == nil }

    @Test("The memory gateway conforms", arguments: cases)
    func memory(_ conformanceCase: ConformanceCase) async throws {
        try await withJournal { journal in
            let client = MemoryConformanceClient(journal: journal)
            try await conformanceCase.run(over: client)
            try conformanceCase.checkLog(client.complaints)
        }
    }

    @Test("An application behind the C interface conforms", arguments: cases)
    func host(_ conformanceCase: ConformanceCase) async throws {
        try await withJournal { journal in
            let client = try HostConformanceClient(journal: journal)
            try await conformanceCase.run(over: client)
            try conformanceCase.checkLog(client.complaints)
            #expect(client.brokenRules.isEmpty)
        }
    }

    @Test("A FastCGI server conforms", arguments: fastCGICases)
    func fastCGI(_ conformanceCase: ConformanceCase) async throws {
        try await withJournal { journal in
            try await run(conformanceCase, over: GatewayConformanceClient(journal: journal, .fastCGI, isAsync: false))
        }
    }

    @Test("A FastCGI server conforms with an asynchronous handler", arguments: fastCGICases)
    func asyncFastCGI(_ conformanceCase: ConformanceCase) async throws {
        try await withJournal { journal in
            let client = try GatewayConformanceClient(journal: journal, .fastCGI, keepAlive: true, isAsync: true)
            try await run(conformanceCase, over: client)
        }
    }

    @Test("An SCGI server conforms", arguments: scgiCases)
    func scgi(_ conformanceCase: ConformanceCase) async throws {
        try await withJournal { journal in
            try await run(conformanceCase, over: GatewayConformanceClient(journal: journal, .scgi, isAsync: false))
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

    @Test("Every rule has a case", arguments: 1...47)
    func rule(_ number: Int) {
        #expect(conformanceCases().contains { $0.rule == "W\(number)" })
    }

    @Test("Cases have names of their own, and exclusions the names of cases")
    func names() {
        let names = conformanceCases().map(\.name)
        #expect(Set(names).count == names.count)
        let excluded = [Self.excluded, Self.excludedBehindServers, Self.excludedOverSCGI].flatMap(\.keys)
        #expect(Set(excluded).isSubset(of: names))
    }
}

/// Calls `body` with a new directory, and removes it afterwards.
private func withJournal(_ body: (String) async throws -> Void) async throws {
    let directory = FileManager.default.temporaryDirectory.appending(component: "swiftgi-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    try await body(directory.path())
}
