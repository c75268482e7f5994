/// A task in which handlers run, one request after another, with the executor that goes with it.
///
/// To make a task and an executor costs more than most handlers. So once a handler has returned in the
/// ordinary way a ``TaskPool`` keeps them for another request; a task that was cancelled, or whose
/// handler goes on after its request, serves no other.
///
/// Whoever drives the request uses it, one thread at a time.
@safe final class HandlerTask: @unchecked Sendable {
    // Sendable: see above; and the executor's lock orders one thread's use before the next one's.
    // Safe: `parked` is resumed once, since it is taken away before.

    let executor = RequestExecutor()
    /// What the requests in it have in common.
    var memory: RequestMemory
    private let isKept: Bool
    private var task: Task<Void, Never>?
    /// The request that is next, when `parked` is resumed.
    private var next: AsyncExchange?
    private var parked: UnsafeContinuation<Void, Never>?
    private var isRetired = false

    /// One that is kept, or a new one.
    ///
    /// - Parameter pool: Where it is kept. Without one it begins in the calling task's context, with its
    ///   task-local values.
    static func take(from pool: TaskPool?) -> HandlerTask {
        guard let pool else { return HandlerTask(isKept: false) }
        guard let kept = pool.take() else { return HandlerTask(isKept: true) }
        if kept.executor.adopt() { return kept }
        kept.dismiss()
        return HandlerTask(isKept: true)
    }

    private init(isKept: Bool) {
        self.isKept = isKept
        memory = RequestMemory(isUsed: isKept)
    }

    /// Has the task begin with a request; its executor has then to be drained.
    func begin(_ exchange: AsyncExchange) {
        next = exchange
        if executor.drive({ resumeParked() }) { return }
        task = executor.drive {
            if isKept {
                // Detached: it must not carry one request's context into others.
                Task.immediateDetached(executorPreference: executor) { await self.serveAll() }
            } else {
                Task.immediate(executorPreference: executor) { await self.serveOne() }
            }
        }
    }

    private func serveOne() async { await takeNext()?.handle() }

    private func serveAll() async {
        while true {
            // Nothing of a request is held while the task waits for another.
            do {
                guard let exchange = takeNext() else { return }
                await exchange.handle()
            }
            if isRetired { return }
            await unsafe withUnsafeContinuation { continuation in unsafe parked = continuation }
        }
    }

    private func takeNext() -> AsyncExchange? {
        defer { next = nil }
        return next
    }

    /// Cancels what runs in it, for good.
    func cancel() {
        isRetired = true
        task?.cancel()
    }

    /// The request is over.
    ///
    /// - Parameter pool: As for ``take(from:)``.
    func leave(to pool: TaskPool?) {
        guard let pool, unsafe parked != nil, !isRetired, !executor.hasJobs else { return retire() }
        executor.orphan()
        if !pool.put(self) { dismiss() }
    }

    /// Lets an idle task end that nobody needs any more.
    func dismiss() {
        if executor.adopt() { return retire() }
        // A job of somebody's has come, and a thread for it: that runs the end as well.
        isRetired = true
        resumeParked()
    }

    /// Lets the task end, now or when its handler returns.
    private func retire() {
        isRetired = true
        if executor.drive({ resumeParked() }) { executor.drain() }
        executor.orphan()
    }

    /// Lets the task go on from where it waits for its next request.
    ///
    /// - Returns: Whether it waits there.
    @discardableResult
    private func resumeParked() -> Bool {
        guard let parked = unsafe parked else { return false }
        unsafe self.parked = nil
        // The task is suspended there, and only this resumes it.
        unsafe parked.resume()
        return true
    }
}
