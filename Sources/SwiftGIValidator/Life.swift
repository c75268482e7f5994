package import SwiftGICore
import Synchronization

extension Validator {
    /// The life of an application, under observation: A9.
    ///
    /// - Parameters:
    ///   - patience: How long `run` may take from the cancellation of its task, and `shutdown`.
    ///   - log: Says what is wrong.
    package func observed(
        _ life: LivingApplication, patience: Duration = .seconds(2), log: @escaping @Sendable (String) -> Void
    ) -> LivingApplication {
        LivingApplication(
            life.entry,
            run: {
                let isOver = Flag()
                defer { isOver.set() }
                try await withTaskCancellationHandler(operation: life.run) {
                    complain(
                        unless: isOver, patience, "run() has not returned \(patience) after its task was cancelled", log
                    )
                }
            },
            shutdown: {
                let isOver = Flag()
                defer { isOver.set() }
                complain(unless: isOver, patience, "shutdown() has not returned within \(patience)", log)
                try await life.shutdown()
            }, hurry: life.hurry)
    }

    private func complain(
        unless isOver: Flag, _ patience: Duration, _ message: String, _ log: @escaping @Sendable (String) -> Void
    ) {
        Task.detached {
            try? await Task.sleep(for: patience)
            if !isOver.isSet { log("\(ValidationError("A9", message))") }
        }
    }

    private final class Flag: Sendable {
        private let value = Atomic(false)

        var isSet: Bool { value.load(ordering: .acquiring) }
        func set() { value.store(true, ordering: .releasing) }
    }
}
