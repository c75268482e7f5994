import Foundation
import Synchronization

/// Clients that ask the same over and over until they are stopped, on threads of their own.
final class Load: Sendable {
    private struct State {
        var answered = 0
        var failures: [String] = []
        var isStopped = false
        var running = 0
    }

    private let state = Mutex(State())

    /// - Parameter ask: One request; what it throws or returns is a failure.
    init(clients: Int, ask: @escaping @Sendable () throws -> String?) {
        state.withLock { $0.running = clients }
        for _ in 0..<clients {
            Thread.detachNewThread { [self] in
                while !state.withLock({ $0.isStopped }) {
                    var failure: String?
                    do { failure = try ask() } catch { failure = "\(error)" }
                    state.withLock { state in
                        if let failure { state.failures.append(failure) } else { state.answered += 1 }
                    }
                }
                state.withLock { $0.running -= 1 }
            }
        }
    }

    var answered: Int { state.withLock { $0.answered } }
    var failures: [String] { state.withLock { $0.failures } }

    /// Waits until that many more requests were answered.
    func waitForMore(_ count: Int) throws {
        let goal = answered + count
        try wait("\(count) more answers; failures: \(failures)") { answered >= goal }
    }

    /// Stops the clients.
    ///
    /// - Returns: How many requests were answered, and what was wrong with the others.
    func stop() throws -> (answered: Int, failures: [String]) {
        state.withLock { $0.isStopped = true }
        try wait("the clients to end") { state.withLock { $0.running == 0 } }
        return state.withLock { ($0.answered, $0.failures) }
    }
}

/// Runs a closure on a thread of its own; its result is waited for with `get`.
final class Background<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, any Error>?>(nil)

    init(_ body: @escaping @Sendable () throws -> Value) {
        Thread.detachNewThread { [self] in
            let made = Result { try body() }
            result.withLock { $0 = made }
        }
    }

    var isDone: Bool { result.withLock { $0 != nil } }

    func get() throws -> Value {
        try wait("a background request", for: 60) { isDone }
        return try result.withLock { $0! }.get()
    }
}
