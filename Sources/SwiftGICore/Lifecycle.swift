package import Synchronization

/// An application that was made: what serves, and what goes on beside the requests.
package struct LivingApplication: Sendable {
    package let entry: RunningApplication.Entry
    package let run: @Sendable () async throws -> Void
    package let shutdown: @Sendable () async throws -> Void
    /// Called when `run` goes on although most of the time to end is over.
    package let hurry: @Sendable () -> Void

    /// Sees, and may replace, what `start` is about to let run.
    package static let observer = Mutex<(@Sendable (LivingApplication, any GatewayHost) -> LivingApplication)?>(nil)

    package init(
        _ entry: RunningApplication.Entry, run: @escaping @Sendable () async throws -> Void,
        shutdown: @escaping @Sendable () async throws -> Void, hurry: @escaping @Sendable () -> Void = {}
    ) {
        self.entry = entry
        self.run = run
        self.shutdown = shutdown
        self.hurry = hurry
    }

    /// Makes an application, waits until it is made, and lets it run.
    ///
    /// `make`, `run` and `shutdown` are tasks of the process's concurrency pool. A thread waits for
    /// the server's word to stop and starts what follows, because that word may come in a signal
    /// handler, where nothing but posting a semaphore is permitted.
    ///
    /// - Parameters:
    ///   - label: The label of the logger that the application gets.
    ///   - make: Makes it.
    /// - Throws: What `make` throws.
    package static func start(
        _ host: some GatewayHost, label: String,
        _ make: @escaping @Sendable (Startup) async throws -> LivingApplication
    ) throws -> RunningApplication {
        let startup = Startup(
            server: host.traits.mode, software: host.software, logger: host.logger(label: label))
        let made = Handover<Result<LivingApplication, any Error>>()
        Task.detached {
            do {
                made.give(.success(try await make(startup)))
            } catch {
                made.give(.failure(error))
            }
        }
        let own = try made.take().get()
        let living = observer.withLock { $0 }?(own, host) ?? own
        let run = Task.detached {
            do {
                try await living.run()
            } catch is CancellationError {
            } catch {
                host.log(.error, "SGI0211: run() of the application failed: \(error)")
            }
        }
        let stop = Signal()
        let stopped = Signal()
        let patience = Atomic<UInt32>(0)
        do {
            try DetachedThread.start {
                stop.wait()
                let done = Signal()
                Task.detached {
                    run.cancel()
                    await run.value
                    do {
                        try await living.shutdown()
                    } catch {
                        host.log(.error, "SGI0212: shutdown() of the application failed: \(error)")
                    }
                    done.post()
                }
                if !done.wait(milliseconds: patience.load(ordering: .acquiring)) {
                    living.hurry()
                    done.wait()
                }
                stopped.post()
            }
        } catch {
            run.cancel()
            throw error
        }
        return RunningApplication(living.entry) { grace in
            patience.store(grace / 3 * 2, ordering: .releasing)
            stop.post()
            if !stopped.wait(milliseconds: grace) {
                host.log(.error, "SGI0213: the application did not end within \(grace) ms")
            }
        }
    }
}

/// Runs the life of an application around its requests.
package enum Lifecycle<Hosted: ApplicationLifecycle> {
    /// Makes the application, waits until it is made, and lets it run.
    ///
    /// - Parameter entry: What of it serves the requests.
    /// - Throws: What its `init` throws.
    package static func start(
        _ host: some GatewayHost, entry: @escaping @Sendable (Hosted) -> RunningApplication.Entry
    ) throws -> RunningApplication {
        if !Hosted.bootstrapsLogging { host.bootstrapLogging(metadataProvider: Hosted.metadataProvider) }
        return try LivingApplication.start(host, label: "\(Hosted.self)") { startup in
            let hosted = try await Hosted(startup)
            return LivingApplication(entry(hosted), run: hosted.run, shutdown: hosted.shutdown)
        }
    }
}

/// A value that one thread waits for and another gives.
private final class Handover<Value: Sendable>: Sendable {
    private let signal = Signal()
    private let value = Mutex<Value?>(nil)

    func give(_ value: Value) {
        self.value.withLock { $0 = value }
        signal.post()
    }

    func take() -> Value {
        while true {
            signal.wait()
            if let value = value.withLock({ $0 }) { return value }
        }
    }
}
