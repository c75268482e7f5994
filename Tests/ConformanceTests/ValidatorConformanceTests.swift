import Foundation
import SwiftGIConformance
import Testing

/// The suite under the validator: it finds the applications that break a rule on purpose, and lets the
/// others do what they do.
struct ValidatorConformanceTests {
    /// The rule that each of these breaks, by the case's name.
    static let breaches = [
        "w19/after-throw": "A3", "w19/twice": "A1", "w23/checked": "A3", "w24/refused": "W24", "w25/control": "W25",
        "w26/length": "W25", "w26/uncaught": "A3", "w28/not-called": "A1", "w34/longer": "A4", "w34/none": "A4",
        "w34/stops": "A4", "w35/missing": "A4", "w35/shorter": "A4", "w44/pipe": "A5", "w44/short": "A4",
        "w46/informational": "W24", "w46/no-content": "W46",
    ]

    /// The same for handlers. Applications behind a bridge are among them, where the gateway itself has
    /// checked what the validator gets to see.
    static let handlersBreaches = [
        "w23/async-checked": "A3", "w24/async-refused": "W24", "w25/async-control": "W25",
        "w26/async-hop-by-hop": "A3", "w26/async-length": "W25", "w26/uncaught": "A3", "w28/async-dropped": "W28",
        "w28/async-nothing": "A1", "w34/async-longer": "A4", "w34/async-stops": "A4", "w34/async-swallow": "A4",
        "w34/longer": "A4", "w34/none": "A4", "w34/stops": "A4", "w35/async-shorter": "A4", "w35/missing": "A4",
        "w35/shorter": "A4", "w44/pipe": "A5", "w44/short": "A4", "w46/async-informational": "W24",
        "w46/async-no-content": "W46", "w46/informational": "W24", "w46/no-content": "W46",
    ]

    /// By name, each with its reason.
    static let excluded = [
        "w26/hop-by-hop": "It catches what the gateway throws, and tells that from the validator's error."
    ]

    /// Besides, for handlers.
    static let excludedForHandlers = [
        "w44/position": "A file behind a bridge and a filter is read, and has no known length.",
        "w45/head": "A file behind a bridge and a filter is read, and has no known length.",
        "w44/cut": "A file behind a bridge and a filter is read beyond Content-Length.",
    ]

    @Test("Applications under the validator", arguments: ConformanceTests.cases(.gateway))
    func applications(_ conformanceCase: ConformanceCase) async throws {
        guard Self.excluded[conformanceCase.name] == nil else { return }
        try await run(conformanceCase, .gateway, Self.breaches)
    }

    @Test("Handlers under the validator", arguments: ConformanceTests.cases(.suspended))
    func handlers(_ conformanceCase: ConformanceCase) async throws {
        try await handlers(conformanceCase, .suspended)
    }

    @Test("Handlers under the validator, on the server's thread", arguments: ConformanceTests.cases(.attached))
    func attachedHandlers(_ conformanceCase: ConformanceCase) async throws {
        try await handlers(conformanceCase, .attached)
    }

    private func handlers(_ conformanceCase: ConformanceCase, _ contract: ConformanceContract) async throws {
        guard Self.excludedForHandlers[conformanceCase.name] == nil else { return }
        try await run(conformanceCase, contract, Self.handlersBreaches)
    }

    private func run(
        _ conformanceCase: ConformanceCase, _ contract: ConformanceContract, _ breaches: [String: String]
    ) async throws {
        try await withJournal { journal in
            var failure: String?
            // Other tests of this process change what is the process's: then once more.
            for _ in 0..<10 {
                failure = await self.failure(of: conformanceCase, contract, journal)
                if failure?.contains("breaks rule A8: ") != true { break }
            }
            guard let rule = breaches[conformanceCase.name] else {
                #expect(failure == nil, "\(conformanceCase)")
                return
            }
            #expect(
                failure?.contains("breaks rule \(rule): ") == true,
                "\(conformanceCase): \(failure ?? "no breach was found")")
        }
    }

    private func failure(
        of conformanceCase: ConformanceCase, _ contract: ConformanceContract, _ journal: String
    ) async -> String? {
        let client = MemoryConformanceClient(contract, journal: journal, isValidated: true)
        do {
            try await conformanceCase.run(over: client)
            try conformanceCase.checkLog(client.complaints)
            return nil
        } catch {
            // What an application has caught it tells its client.
            return "\(error) \(client.complaints)"
        }
    }

    @Test("Breaches and exclusions have the names of cases")
    func names() {
        let names = Set((conformanceCases() + asyncConformanceCases()).map(\.name))
        for list in [Self.breaches, Self.handlersBreaches, Self.excluded, Self.excludedForHandlers] {
            #expect(names.isSuperset(of: list.keys))
        }
    }
}
