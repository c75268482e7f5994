import Glibc

/// A semaphore: posting is permitted in signal handlers.
@safe package final class Signal: @unchecked Sendable {
    // Sendable and safe: sem_t is made for threads, and its address is this object's own.
    private let semaphore: UnsafeMutablePointer<sem_t>

    package init() {
        unsafe semaphore = .allocate(capacity: 1)
        unsafe sem_init(semaphore, 0, 0)
    }

    deinit {
        unsafe sem_destroy(semaphore)
        unsafe semaphore.deallocate()
    }

    package func post() { unsafe sem_post(semaphore) }

    package func wait() {
        while unsafe sem_wait(semaphore) != 0 && errno == EINTR {}
    }

    /// - Returns: Whether it was posted in time.
    package func wait(milliseconds: UInt32) -> Bool {
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

/// A thread of our own that runs a closure and ends.
///
/// It takes no signals but those that say what it did itself: the others are for threads that know what
/// to do with them.
package enum DetachedThread {
    private final class Start: Sendable {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// - Throws: ``GatewayError`` if the system has no thread to give.
    package static func start(_ body: @escaping @Sendable () -> Void) throws(GatewayError) {
        var thread = pthread_t()
        let start = unsafe Unmanaged.passRetained(Start(body))
        // A thread takes on the mask of the one that starts it.
        var blocked = sigset_t()
        var before = sigset_t()
        unsafe sigfillset(&blocked)
        for fault in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP] { unsafe sigdelset(&blocked, fault) }
        unsafe pthread_sigmask(SIG_BLOCK, &blocked, &before)
        defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
        // The thread takes over the reference that was retained for it.
        let error = unsafe pthread_create(
            &thread, nil,
            { argument in
                if let argument = unsafe argument {
                    unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body()
                }
                return nil
            }, start.toOpaque())
        guard error == 0 else {
            unsafe start.release()
            throw GatewayError(.output, unsafe "pthread_create: \(String(cString: strerror(error)))")
        }
        pthread_detach(thread)
    }
}
