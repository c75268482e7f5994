import Glibc
import Synchronization

/// Brings the thread that drives an executor back to it. May be called from any thread, and at a
/// time when nobody waits any more.
package protocol Waker: Sendable {
    func wake()
}

/// One request's executor: jobs run one at a time, on whichever thread drives it at the moment.
///
/// It is the preferred executor of the handler's task and so of its child tasks, and of the default
/// actors that they enter. A job is queued from any thread; it runs when the driving thread drains
/// the queue. When there is nothing to do the driving thread parks the executor and leaves or
/// sleeps; the next job then wakes it, exactly once.
///
/// When the request is over the executor is orphaned: what still comes, from tasks that ignore
/// their cancellation, runs on a thread of its own as long as there is something.
package final class RequestExecutor: TaskExecutor, @unchecked Sendable {
    // Sendable: `state` has a lock, and the own jobs are the driving thread's.

    private enum Mode { case attached, parked, notified, orphaned }

    private struct State {
        var mode = Mode.attached
        var jobs: [UnownedJob] = []
        var hasThread = false
        var waker: (any Waker)?
    }

    private let state = Mutex(State())
    private let isPoked = Atomic(false)
    /// The thread that drains, or 0. Only a thread that is the one compares equal, so that no
    /// ordering is needed.
    private let driver = Atomic<UInt>(0)
    /// What the driving thread has queued itself, while it drives: that takes no lock. Mostly there
    /// is one at a time.
    private var ownJob: UnownedJob?
    private var moreOwnJobs: [UnownedJob] = []
    private var hasMoreOwnJobs = false

    package init() {}

    /// Whether the calling thread drives this executor: then nothing else of the request runs.
    package var isCurrent: Bool { driver.load(ordering: .relaxed) == UInt(pthread_self()) }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isCurrent {
            if ownJob == nil && !hasMoreOwnJobs {
                ownJob = job
            } else {
                moreOwnJobs.append(job)
                hasMoreOwnJobs = true
            }
        } else {
            notify { $0.jobs.append(job) }
        }
    }

    /// Has the driving thread look around, without a job.
    package func poke() {
        isPoked.store(true, ordering: .releasing)
        notify { _ in }
    }

    private func notify(_ change: (inout State) -> Void) {
        let (waker, needsThread) = state.withLock { state -> ((any Waker)?, Bool) in
            change(&state)
            switch state.mode {
            case .attached, .notified:
                return (nil, false)
            case .parked:
                state.mode = .notified
                return (state.waker, false)
            case .orphaned:
                if state.hasThread || state.jobs.isEmpty { return (nil, false) }
                state.hasThread = true
                return (nil, true)
            }
        }
        waker?.wake()
        if needsThread { startThread() }
    }

    /// Lets the calling thread be the one that drives, while a closure runs.
    package func drive<Result>(_ body: () -> Result) -> Result {
        let before = driver.exchange(UInt(pthread_self()), ordering: .relaxed)
        defer { driver.store(before, ordering: .relaxed) }
        return body()
    }

    /// Runs what is queued until nothing is, on the calling thread.
    ///
    /// - Parameter limit: After so many jobs, or a few more, it returns all the same.
    /// - Returns: Whether nothing is queued.
    @discardableResult
    package func drain(limit: Int = .max) -> Bool {
        drive {
            var count = 0
            while count < limit {
                if let job = ownJob {
                    ownJob = nil
                    // The executor outlives the call, and each job is run once.
                    unsafe job.runSynchronously(on: asUnownedTaskExecutor())
                    count += 1
                    continue
                }
                let batch = takeBatch()
                if batch.isEmpty { return true }
                for job in batch { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
                count += batch.count
            }
            return !leaveOwnJobs()
        }
    }

    private func takeBatch() -> [UnownedJob] {
        if hasMoreOwnJobs { return takeMoreOwnJobs() }
        return state.withLock { state in
            if state.jobs.isEmpty { return [] }
            let jobs = state.jobs
            state.jobs = []
            return jobs
        }
    }

    private func takeMoreOwnJobs() -> [UnownedJob] {
        let jobs = moreOwnJobs
        moreOwnJobs = []
        hasMoreOwnJobs = false
        return jobs
    }

    /// Puts what is left of the driving thread's own jobs where everybody finds them.
    ///
    /// - Returns: Whether anything is queued.
    private func leaveOwnJobs() -> Bool {
        let own = (ownJob.map { [$0] } ?? []) + takeMoreOwnJobs()
        ownJob = nil
        return state.withLock { state in
            if !own.isEmpty { state.jobs.insert(contentsOf: own, at: 0) }
            return !state.jobs.isEmpty
        }
    }

    /// Makes the next job wake whoever waits.
    ///
    /// - Parameter makeWaker: Called the first time.
    /// - Returns: `false` if there is something to do.
    package func park(_ makeWaker: () -> any Waker) -> Bool {
        // Only the driving thread parks.
        let waker = state.withLock { $0.waker } ?? makeWaker()
        return state.withLock { state in
            state.waker = waker
            guard state.jobs.isEmpty, !isPoked.load(ordering: .acquiring) else { return false }
            state.mode = .parked
            return true
        }
    }

    /// The calling thread drives it from now on.
    package func attach() { state.withLock { $0.mode = .attached } }

    package var hasJobs: Bool { state.withLock { !$0.jobs.isEmpty } }

    /// Whether it was poked since the last call.
    package func takePoke() -> Bool {
        isPoked.load(ordering: .relaxed) && isPoked.exchange(false, ordering: .acquiring)
    }

    /// Nobody drives it any more, for now or for good.
    package func orphan() {
        let needsThread = state.withLock { state in
            state.mode = .orphaned
            state.waker = nil
            state.hasThread = !state.jobs.isEmpty
            return state.hasThread
        }
        if needsThread { startThread() }
    }

    /// The calling thread drives an orphan from now on.
    ///
    /// - Returns: `false` if another thread is about to, since a job has come in the meantime.
    package func adopt() -> Bool {
        state.withLock { state in
            guard !state.hasThread else { return false }
            state.mode = .attached
            return true
        }
    }

    private func startThread() {
        do throws(GatewayError) {
            try DetachedThread.start { self.drainAsOrphan() }
        } catch {
            // Out of threads: late, and on a thread of somebody else, is better than never.
            drainAsOrphan()
        }
    }

    private func drainAsOrphan() {
        repeat {
            drain()
        } while !state.withLock { state in
            state.hasThread = !state.jobs.isEmpty
            return !state.hasThread
        }
    }
}
