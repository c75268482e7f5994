import Foundation
import SwiftGIConformance
import Testing

/// The suite under the validator: it finds the applications that break a rule on purpose, and lets the
/// others do what they do.
struct ValidatorConformanceTests {
    /// The rule that each of these breaks, by the case's name.
    static let breaches: [String: String] = [:]

    @Test("Applications under the validator", arguments: ConformanceTests.cases(.gateway))
    func applications(_ conformanceCase: ConformanceCase) async throws { try await run(conformanceCase, .gateway) }

    @Test("Handlers under the validator", arguments: ConformanceTests.cases(.suspended))
    func handlers(_ conformanceCase: ConformanceCase) async throws { try await run(conformanceCase, .suspended) }

    private func run(_ conformanceCase: ConformanceCase, _ contract: ConformanceContract) async throws {
        try await withJournal { journal in
            let client = MemoryConformanceClient(contract, journal: journal, isValidated: true)
            do {
                try await conformanceCase.run(over: client)
                try conformanceCase.checkLog(client.complaints)
            } catch {
                let found = client.complaints.compactMap { $0.firstMatch(of: /breaks rule (\w+)/)?.1 }
                let rule = Self.breaches[conformanceCase.name]
                if rule == nil { Issue.record("\(conformanceCase): \(error), \(client.complaints)") }
                #expect(rule.map { found.contains(Substring($0)) } ?? true, "\(client.complaints)")
                return
            }
            #expect(Self.breaches[conformanceCase.name] == nil, "no breach was found")
        }
    }
}
