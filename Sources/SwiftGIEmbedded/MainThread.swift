import CSwiftGISystem
import Glibc
import SwiftGICore
import Synchronization
@_spi(ExperimentalCustomExecutors) import _Concurrency

/// The main actor's executor in a process whose main thread is the server's.
///
/// Nobody drains the main queue there, and what is isolated to the main actor would never run. It
/// runs on a thread of its own instead, which is started when there is something to run.
///
/// How executors are chosen is no public interface of Swift yet; all that depends on it is in this
/// file.
final class MainThread: MainExecutor {
    private struct State {
        var jobs: [UnownedJob] = []
        var isStarted = false
    }

    private static let shared = MainThread()
    private static let isInstalled = Atomic(false)

    private let state = Mutex(State())
    private let signal = Signal()
    /// The thread, once it runs.
    private let thread = Atomic<UInt>(0)

    private struct Factory: ExecutorFactory {
        static var mainExecutor: any MainExecutor { MainThread.shared }
        static var defaultExecutor: any TaskExecutor { PlatformExecutorFactory.defaultExecutor }
    }

    /// Makes it the main actor's executor, before the first task of the process is made.
    ///
    /// - Parameter inProgram: Whether also in a program that has a main thread of its own: because it
    ///   serves on that. Otherwise it does nothing there.
    static func install(inProgram: Bool = false) {
        guard inProgram || !swiftgi_is_program(),
            isInstalled.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged
        else { return }
        _createExecutors(factory: Factory.self)
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let needsThread = state.withLock { state in
            state.jobs.append(job)
            defer { state.isStarted = true }
            return !state.isStarted
        }
        if needsThread {
            do throws(GatewayError) {
                try DetachedThread.start { self.serve() }
            } catch {
                // Out of threads: the next job tries again.
                state.withLock { $0.isStarted = false }
            }
        }
        signal.post()
    }

    private func serve() {
        thread.store(UInt(pthread_self()), ordering: .relaxed)
        var batch: [UnownedJob] = []
        while true {
            signal.wait()
            state.withLock { swap(&$0.jobs, &batch) }
            // The executor lives as long as the process, and each job is run once.
            for job in batch { unsafe job.runSynchronously(on: asUnownedSerialExecutor()) }
            batch.removeAll(keepingCapacity: true)
        }
    }

    func checkIsolated() {
        precondition(isIsolatingCurrentContext() == true, "not on the main actor's thread")
    }

    func isIsolatingCurrentContext() -> Bool? { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

    // Its thread runs as long as the process.
    func run() throws {}
    func stop() {}
}
