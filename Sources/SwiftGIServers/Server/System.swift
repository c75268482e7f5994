import CSwiftGISystem
import Glibc
import SwiftGICore

/// The system's calls as this module needs them. None of them raises SIGPIPE or takes part in a
/// cancellation; all begin again when a signal interrupts them.
enum System {
    /// What came of a read or a write that does not wait.
    enum Transferred: Equatable {
        case bytes(Int)
        /// Nothing for now.
        case nothing
        case failed(Int32)
    }

    /// - Parameter waits: Whether to wait for something, up to the limit of ``limitWaits(_:milliseconds:)``.
    static func receive(
        _ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer, waits: Bool = false
    ) -> Transferred {
        while true {
            // The buffer is the caller's during the call.
            let count = unsafe recv(
                descriptor, buffer.baseAddress, buffer.count, waits ? 0 : Int32(truncatingIfNeeded: MSG_DONTWAIT))
            if count >= 0 { return .bytes(count) }
            if errno == EAGAIN || errno == EWOULDBLOCK { return .nothing }
            if errno != EINTR { return .failed(errno) }
        }
    }

    /// Sends up to three pieces, one after the other, as far as there is room.
    static func send(
        _ descriptor: Int32, _ first: Span<UInt8>, _ second: Span<UInt8>, _ third: Span<UInt8>
    ) -> Transferred {
        if second.isEmpty, third.isEmpty { return send(descriptor, first) }
        // The spans are borrowed during the call, and sendmsg only reads what they cover.
        return unsafe first.withUnsafeBytes { first in
            unsafe second.withUnsafeBytes { second in
                unsafe third.withUnsafeBytes { third in
                    var vectors = unsafe (
                        iovec(iov_base: UnsafeMutableRawPointer(mutating: first.baseAddress), iov_len: first.count),
                        iovec(iov_base: UnsafeMutableRawPointer(mutating: second.baseAddress), iov_len: second.count),
                        iovec(iov_base: UnsafeMutableRawPointer(mutating: third.baseAddress), iov_len: third.count)
                    )
                    return unsafe withUnsafeMutablePointer(to: &vectors) { pointer in
                        unsafe pointer.withMemoryRebound(to: iovec.self, capacity: 3) { vectors in
                            unsafe send(descriptor, vectors)
                        }
                    }
                }
            }
        }
    }

    private static func send(_ descriptor: Int32, _ bytes: Span<UInt8>) -> Transferred {
        let flags = Int32(truncatingIfNeeded: MSG_DONTWAIT) | Int32(truncatingIfNeeded: MSG_NOSIGNAL)
        while true {
            // The span is borrowed during the call.
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, flags)
            }
            if count >= 0 { return .bytes(count) }
            if errno == EAGAIN || errno == EWOULDBLOCK { return .nothing }
            if errno != EINTR { return .failed(errno) }
        }
    }

    private static func send(_ descriptor: Int32, _ vectors: UnsafeMutablePointer<iovec>) -> Transferred {
        var message = unsafe msghdr()
        unsafe message.msg_iov = vectors
        unsafe message.msg_iovlen = 3
        let flags = Int32(truncatingIfNeeded: MSG_DONTWAIT) | Int32(truncatingIfNeeded: MSG_NOSIGNAL)
        while true {
            let count = unsafe sendmsg(descriptor, &message, flags)
            if count >= 0 { return .bytes(count) }
            if errno == EAGAIN || errno == EWOULDBLOCK { return .nothing }
            if errno != EINTR { return .failed(errno) }
        }
    }

    /// Writes two pieces to whatever a descriptor is, one after the other, as far as there is room.
    static func write(_ descriptor: Int32, _ first: Span<UInt8>, _ second: Span<UInt8>) -> Transferred {
        // The spans are borrowed during the call, and writev only reads what they cover.
        unsafe first.withUnsafeBytes { first in
            unsafe second.withUnsafeBytes { second in
                let vectors: [2 of iovec] = unsafe [
                    iovec(iov_base: UnsafeMutableRawPointer(mutating: first.baseAddress), iov_len: first.count),
                    iovec(iov_base: UnsafeMutableRawPointer(mutating: second.baseAddress), iov_len: second.count),
                ]
                while true {
                    let count = unsafe vectors.span.withUnsafeBufferPointer {
                        unsafe writev(descriptor, $0.baseAddress, 2)
                    }
                    if count >= 0 { return .bytes(count) }
                    if errno == EAGAIN || errno == EWOULDBLOCK { return .nothing }
                    if errno != EINTR { return .failed(errno) }
                }
            }
        }
    }

    /// Sends bytes of a file, which the system does not copy, as far as there is room.
    ///
    /// - Parameter position: Where in the file; moves behind what was sent. Nothing is sent behind the
    ///   file's end.
    static func sendFile(_ descriptor: Int32, _ file: Int32, _ position: inout Int64, _ count: Int64) -> Transferred {
        while true {
            // Linux sends no more at a time.
            let result = unsafe swiftgi_sendfile(descriptor, file, &position, Int(min(count, 0x7FFF_F000)))
            if result >= 0 { return .bytes(Int(result)) }
            if errno == EAGAIN || errno == EWOULDBLOCK { return .nothing }
            if errno != EINTR { return .failed(errno) }
        }
    }

    /// Sends bytes over a Unix socket, and a descriptor with the first of them.
    static func send(_ descriptor: Int32, _ bytes: Span<UInt8>, passing other: Int32) -> Transferred {
        while true {
            // The span is borrowed during the call.
            let count = unsafe bytes.withUnsafeBytes {
                unsafe swiftgi_send_descriptor(descriptor, $0.baseAddress, $0.count, other)
            }
            if count >= 0 { return .bytes(count) }
            if errno == EAGAIN || errno == EWOULDBLOCK { return .nothing }
            if errno != EINTR { return .failed(errno) }
        }
    }

    /// The user at the other end of a Unix socket's connection.
    static func peerUser(_ descriptor: Int32) -> UInt32? {
        var user: UInt32 = 0
        return unsafe swiftgi_peer_user(descriptor, &user) == 0 ? user : nil
    }

    /// Limits how long a read of a socket waits that is to wait.
    static func limitWaits(_ descriptor: Int32, milliseconds: Int) {
        var time = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Turns an option of TCP on, where the socket is one of TCP.
    static func setTCP(_ descriptor: Int32, _ option: Int32) {
        var isOn: Int32 = 1
        unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), option, &isOn, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Has the system's calls that can't be told otherwise not wait.
    static func makeNonblocking(_ descriptor: Int32) {
        let flags = fcntl(descriptor, F_GETFL)
        if flags >= 0, flags & O_NONBLOCK == 0 { _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
    }

    /// Waits until a descriptor has one of the events.
    ///
    /// - Returns: What it has; 0 if the time is over.
    static func wait(_ descriptor: Int32, for events: Int32, milliseconds: Int) -> Int32 {
        var entry = pollfd(fd: descriptor, events: Int16(truncatingIfNeeded: events), revents: 0)
        while true {
            let count = unsafe poll(&entry, 1, Int32(clamping: milliseconds))
            if count > 0 { return Int32(entry.revents) }
            if count == 0 { return 0 }
            if errno != EINTR { return Int32(POLLERR) }
        }
    }

    /// Milliseconds of a clock that only goes forward.
    static var now: Int64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    static func reason(_ error: Int32 = errno) -> String { unsafe String(cString: strerror(error)) }

    /// Breaks a connection off: a peer over TCP sees that this was no orderly end.
    static func reset(_ descriptor: Int32) {
        var address = sockaddr()
        address.sa_family = sa_family_t(AF_UNSPEC)
        // On TCP this is a reset; other sockets don't know it.
        let size = socklen_t(MemoryLayout<sockaddr>.size)
        if unsafe connect(descriptor, &address, size) != 0 {
            shutdown(descriptor, Int32(truncatingIfNeeded: SHUT_RDWR))
        }
    }
}

/// A set of descriptors that threads wait for.
struct Poller {
    struct Event {
        let key: UInt64
        let events: UInt32

        var isWritable: Bool { events & Poller.writable != 0 }
        var isHangup: Bool { events & Poller.hangup != 0 }
        /// Whether not even what is sent can arrive.
        var isDead: Bool { events & Poller.death != 0 }
    }

    /// Told each time that something has come.
    static let readable = bits(SWIFTGI_EPOLL_IN) | bits(SWIFTGI_EPOLL_RDHUP) | bits(SWIFTGI_EPOLL_EDGE)
    static let writable = bits(SWIFTGI_EPOLL_OUT)
    /// For a listening socket: of several processes one is told.
    static let connection = bits(SWIFTGI_EPOLL_IN) | bits(SWIFTGI_EPOLL_EXCLUSIVE)
    private static let death = bits(SWIFTGI_EPOLL_HUP) | bits(SWIFTGI_EPOLL_ERR)
    private static let hangup = bits(SWIFTGI_EPOLL_RDHUP) | death

    private static func bits(_ value: some BinaryInteger) -> UInt32 { UInt32(truncatingIfNeeded: value) }

    private let descriptor: Int32

    init() throws(GatewayError) {
        descriptor = swiftgi_epoll_create()
        guard descriptor >= 0 else { throw GatewayError(.output, "epoll_create1: \(System.reason())") }
    }

    func close() { _ = Glibc.close(descriptor) }

    /// - Returns: Whether it worked.
    func add(_ other: Int32, _ events: UInt32, key: UInt64) -> Bool {
        swiftgi_epoll_control(descriptor, Int32(SWIFTGI_EPOLL_ADD), other, events, key) == 0
    }

    func change(_ other: Int32, _ events: UInt32, key: UInt64) {
        _ = swiftgi_epoll_control(descriptor, Int32(SWIFTGI_EPOLL_CHANGE), other, events, key)
    }

    func remove(_ other: Int32) { _ = swiftgi_epoll_control(descriptor, Int32(SWIFTGI_EPOLL_REMOVE), other, 0, 0) }

    /// One event: whoever gets it may be busy with it for long.
    func wait(milliseconds: Int32) -> Event? {
        var events: UInt32 = 0
        var key: UInt64 = 0
        guard unsafe swiftgi_epoll_wait(descriptor, &events, &key, milliseconds) > 0 else { return nil }
        return Event(key: key, events: events)
    }
}

/// A lock, and a condition that threads which hold it can wait for.
@safe final class Monitor: @unchecked Sendable {
    // Sendable and safe: what it points to is made for threads and its own until `deinit`.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var waiters = 0

    init() {
        unsafe mutex = .allocate(capacity: 1)
        unsafe condition = .allocate(capacity: 1)
        unsafe pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(condition, &attributes)
        unsafe pthread_condattr_destroy(&attributes)
    }

    deinit {
        unsafe pthread_cond_destroy(condition)
        unsafe pthread_mutex_destroy(mutex)
        unsafe condition.deallocate()
        unsafe mutex.deallocate()
    }

    func withLock<Value, Failure>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Lets go of the lock until ``notifyAll()`` is called, or something like it, or the time is over.
    func wait(milliseconds: Int) {
        var deadline = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &deadline)
        let nanoseconds = deadline.tv_nsec + (milliseconds % 1000) * 1_000_000
        deadline.tv_sec += milliseconds / 1000 + nanoseconds / 1_000_000_000
        deadline.tv_nsec = nanoseconds % 1_000_000_000
        waiters += 1
        unsafe pthread_cond_timedwait(condition, mutex, &deadline)
        waiters -= 1
    }

    /// Wakes those who wait. The caller holds the lock.
    func notifyAll() {
        if waiters > 0 { unsafe pthread_cond_broadcast(condition) }
    }
}
