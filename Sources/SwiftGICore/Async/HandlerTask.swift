import Glibc

/// A task in which handlers run, one request after another, with the executor that goes with it.
///
/// To make a task and an executor costs more than most handlers. So each thread keeps one for its
/// next request once a handler has returned in the ordinary way; a task that was cancelled, or
/// whose handler goes on after its request, serves no other.
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

    /// The calling thread's, or a new one.
    ///
    /// - Parameter isKept: Whether the calling thread's may be used. What is not begins in the calling
    ///   task's context, with its task-local values.
    static func take(isKept: Bool) -> HandlerTask {
        guard isKept, let kept = ThreadSlot.take() else { return HandlerTask(isKept: isKept) }
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
        while let exchange = takeNext() {
            await exchange.handle()
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
    func leave() {
        guard unsafe parked != nil, !isRetired, !executor.hasJobs else { return retire() }
        executor.orphan()
        if !ThreadSlot.put(self) { dismiss() }
    }

    /// Lets an idle task end that nobody needs any more.
    private func dismiss() {
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

    /// What a thread keeps, until it ends.
    private enum ThreadSlot {
        private static let key: pthread_key_t? = {
            var key = pthread_key_t()
            let error = unsafe pthread_key_create(&key) { kept in
                // Put there with a reference of its own.
                if let kept = unsafe kept {
                    unsafe Unmanaged<HandlerTask>.fromOpaque(kept).takeRetainedValue().dismiss()
                }
            }
            return error == 0 ? key : nil
        }()

        static func take() -> HandlerTask? {
            guard let key, let kept = unsafe pthread_getspecific(key) else { return nil }
            pthread_setspecific(key, nil)
            return unsafe Unmanaged<HandlerTask>.fromOpaque(kept).takeRetainedValue()
        }

        /// - Returns: `false` if there is no room.
        static func put(_ task: HandlerTask) -> Bool {
            guard let key, unsafe pthread_getspecific(key) == nil else { return false }
            let kept = unsafe Unmanaged.passRetained(task)
            if unsafe pthread_setspecific(key, kept.toOpaque()) == 0 { return true }
            unsafe kept.release()
            return false
        }
    }
}
