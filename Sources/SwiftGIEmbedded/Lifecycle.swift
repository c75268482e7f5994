import Glibc
package import SwiftGICore
import Synchronization

/// Runs the life of a ``GatewayApplication`` around its requests.
///
/// `init`, `run` and `shutdown` are tasks of the process's concurrency pool. A thread waits for
/// the server's word to stop and starts what follows, because that word may come in a signal
/// handler, where nothing but posting a semaphore is permitted.
package enum Lifecycle<Hosted: GatewayApplication> {
    /// Makes the application and waits until it is made.
    ///
    /// - Throws: What its `init` throws.
    package static func start(_ host: Host) throws -> HostedApplication.Running {
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
            try startThread {
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
        return HostedApplication.Running(application: hosted.application) { grace in
            stop.post()
            if !stopped.wait(milliseconds: grace) {
                host.log(.error, "SGI0213: the application did not end within \(grace) ms")
            }
        }
    }

    private static func startThread(_ body: @escaping @Sendable () -> Void) throws {
        var thread = pthread_t()
        let box = unsafe Unmanaged.passRetained(ThreadBody(body))
        // The thread takes over the reference that was retained for it.
        let error = unsafe pthread_create(
            &thread, nil,
            { argument in
                if let argument = unsafe argument {
                    unsafe Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().body()
                }
                return nil
            }, box.toOpaque())
        guard error == 0 else {
            unsafe box.release()
            throw GatewayError(.output, unsafe "pthread_create: \(String(cString: strerror(error)))")
        }
        pthread_detach(thread)
    }
}

/// What a thread runs.
private final class ThreadBody: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// A semaphore: posting is permitted in signal handlers.
@safe private final class Signal: @unchecked Sendable {
    // Sendable and safe: sem_t is made for threads, and its address is this object's own.
    private let semaphore: UnsafeMutablePointer<sem_t>

    init() {
        unsafe semaphore = .allocate(capacity: 1)
        unsafe sem_init(semaphore, 0, 0)
    }

    deinit {
        unsafe sem_destroy(semaphore)
        unsafe semaphore.deallocate()
    }

    func post() { unsafe sem_post(semaphore) }

    func wait() {
        while unsafe sem_wait(semaphore) != 0 && errno == EINTR {}
    }

    /// - Returns: Whether it was posted in time.
    func wait(milliseconds: UInt32) -> Bool {
        var deadline = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &deadline)
        let nanoseconds = deadline.tv_nsec + Int(milliseconds % 1000) * 1_000_000
        deadline.tv_sec += Int(milliseconds / 1000) + nanoseconds / 1_000_000_000
        deadline.tv_nsec = nanoseconds % 1_000_000_000
        while true {
            if unsafe sem_timedwait(semaphore, &deadline) == 0 { return true }
            if errno != EINTR { return false }
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
