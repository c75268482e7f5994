import SwiftGICore

/// One case of the suite: a small application, and what its client must see.
///
/// A gateway serves ``conformanceApplication`` and runs each of ``conformanceCases()`` over a
/// ``ConformanceClient``. A case that it can't pass is left out by its ``name``, with the reason.
/// A gateway of the async contract serves ``ConformanceHandler``, and runs
/// ``asyncConformanceCases()`` besides.
package struct ConformanceCase: Sendable, CustomStringConvertible {
    /// `W1` to `W47`: PEP 3333's rules for servers, and ours.
    package let rule: String

    /// What holds, as a sentence.
    package let title: String

    /// Where the application is: `w18/empty-pieces`.
    ///
    /// Names the case.
    package let name: String

    /// What must be in the server's log.
    ///
    /// Lines of warning and above that have none of it are a failure too; a server may add lines of
    /// its own about the same incident.
    package let log: [String]

    enum Entry: Sendable {
        case application(Application)
        case handler(any RequestHandler)
    }

    let entry: Entry
    private let check: @Sendable (ConformanceSession) async throws -> Void

    init(
        _ rule: String, _ title: String, at name: String, log: [String] = [], application: @escaping Application,
        check: @escaping @Sendable (ConformanceSession) async throws -> Void
    ) {
        self.init(rule, title, "\(rule.lowercased())/\(name)", log, .application(application), check)
    }

    /// A case of the async contract: what its rule says about handlers.
    init(
        async rule: String, _ title: String, at name: String, log: [String] = [],
        handler: @escaping CaseHandler.Body, check: @escaping @Sendable (ConformanceSession) async throws -> Void
    ) {
        self.init(rule, title, "\(rule.lowercased())/async-\(name)", log, .handler(CaseHandler(body: handler)), check)
    }

    private init(
        _ rule: String, _ title: String, _ name: String, _ log: [String], _ entry: Entry,
        _ check: @escaping @Sendable (ConformanceSession) async throws -> Void
    ) {
        self.rule = rule
        self.title = title
        self.name = name
        self.log = log
        self.entry = entry
        self.check = check
    }

    package var description: String { "\(rule) \(title) (\(name))" }

    /// Runs the case.
    ///
    /// - Throws: ``ConformanceFailure``, or what the client throws.
    package func run(over client: some ConformanceClient) async throws {
        try await check(ConformanceSession(client, path: "/\(name)"))
    }

    /// Looks at what the server has logged for this case at warning and above.
    ///
    /// - Throws: ``ConformanceFailure``.
    package func checkLog(_ lines: [String]) throws {
        for expected in log {
            try require(lines.contains { $0.contains(expected) }, "the log has no \(expected): \(lines)")
        }
        for line in lines {
            try require(log.contains { line.contains($0) }, "the log has a line that was not expected: \(line)")
        }
    }
}

/// A gateway does not do what the case's title says.
package struct ConformanceFailure: Error, CustomStringConvertible {
    package let description: String
}

func require(_ condition: Bool, _ description: @autoclosure () -> String) throws(ConformanceFailure) {
    if !condition { throw ConformanceFailure(description: description()) }
}

func require<Value: Equatable>(
    _ actual: Value, equals expected: Value, _ what: @autoclosure () -> String
) throws(ConformanceFailure) {
    if actual != expected {
        throw ConformanceFailure(description: "\(what()) is \(actual), expected \(expected)")
    }
}

/// The suite, in the order of the rules.
package func conformanceCases() -> [ConformanceCase] {
    callCases + environCases + inputCases + errorsCases + headCases + bodyCases + failureCases + fileCases
        + statusCases + processCases
}

/// What the suite has for the async contract besides, in the order of the rules.
package func asyncConformanceCases() -> [ConformanceCase] {
    asyncCallCases + asyncInputCases + asyncHeadCases + asyncBodyCases + asyncFailureCases + asyncStatusCases
}
