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
        #expect(Set(Self.excluded.keys).isSubset(of: names))
    }
}

/// Calls `body` with a new directory, and removes it afterwards.
private func withJournal(_ body: (String) async throws -> Void) async throws {
    let directory = FileManager.default.temporaryDirectory.appending(component: "swiftgi-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    try await body(directory.path())
}
