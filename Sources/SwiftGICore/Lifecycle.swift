import Synchronization

/// Runs the life of an application around its requests.
///
/// `init`, `run` and `shutdown` are tasks of the process's concurrency pool. A thread waits for
/// the server's word to stop and starts what follows, because that word may come in a signal
/// handler, where nothing but posting a semaphore is permitted.
package enum Lifecycle<Hosted: ApplicationLifecycle> {
    /// Makes the application and waits until it is made.
    ///
    /// - Parameter entry: What of it serves the requests.
    /// - Throws: What its `init` throws.
    package static func start(
        _ host: some GatewayHost, entry: (Hosted) -> RunningApplication.Entry
    ) throws -> RunningApplication {
        if !Hosted.bootstrapsLogging { host.bootstrapLogging() }
        let startup = Startup(
            server: host.traits.mode, software: host.software, logger: host.logger(label: "\(Hosted.self)"))
        let made = Handover<Result<Hosted, any Error>>()
        Task.detached {
            do {
                made.give(.success(try await Hosted(startup)))
            } catch {
                made.give(.failure(error))
            }
        }
        let hosted = try made.take().get()
        let run = Task.detached {
            do {
                try await hosted.run()
            } catch is CancellationError {
            } catch {
                host.log(.error, "SGI0211: run() of the application failed: \(error)")
            }
        }
        let stop = Signal()
        let stopped = Signal()
        do {
            try DetachedThread.start {
                stop.wait()
                let done = Handover<Void>()
                Task.detached {
                    run.cancel()
                    await run.value
                    do {
                        try await hosted.shutdown()
                    } catch {
                        host.log(.error, "SGI0212: shutdown() of the application failed: \(error)")
                    }
                    done.give(())
                }
                done.take()
                stopped.post()
            }
        } catch {
            run.cancel()
            throw error
        }
        return RunningApplication(entry(hosted)) { grace in
            stop.post()
            if !stopped.wait(milliseconds: grace) {
                host.log(.error, "SGI0213: the application did not end within \(grace) ms")
            }
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
