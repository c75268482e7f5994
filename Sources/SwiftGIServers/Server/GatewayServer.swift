import CSwiftGISystem
import Glibc
package import SwiftGICore
import Synchronization

/// Serves an application over FastCGI or SCGI.
///
/// A pool of threads shares one set of watched descriptors and one queue. A request of the gateway
/// contract stays on its thread; one of the async contract is on a thread only while it has something
/// to do.
package final class GatewayServer: Sendable {
    /// How serving ended.
    package enum End: Sendable {
        /// All requests were answered.
        case done
        /// The grace period was over before.
        case unfinished
    }

    /// What a process is limited in.
    package enum Limit: Sendable {
        /// ``ServerOptions/maxRequests`` have begun.
        case requests
        /// ``ServerOptions/inactivityTimeout`` is over.
        case inactivity
    }

    enum Job {
        case run(ServerRequest)
        case resume(ServerRequest)
    }

    private struct Queue {
        var jobs: [Job] = []
        var next = 0

        mutating func pop() -> Job? {
            guard next < jobs.count else { return nil }
            let job = jobs[next]
            next += 1
            if next == jobs.count {
                jobs.removeAll(keepingCapacity: true)
                next = 0
            } else if next >= 1024 {
                jobs.removeFirst(next)
                next = 0
            }
            return job
        }
    }

    private struct Connections {
        var all: [UInt64: Connection] = [:]
        var lastKey: UInt64 = 16
        var isListening = false
        /// Whether no descriptor was left for a connection.
        var isStarved = false
    }

    private static let listenerKey: UInt64 = 0
    private static let wakeKey: UInt64 = 1
    /// Milliseconds after which the thread that called ``run()`` looks after threads that are all busy.
    private static let oversight: Int32 = 10
    /// How often nobody has to be busy until it does so no more.
    private static let calmness = 100
    /// From where on requests take long, what one that did adds, and the most.
    private static let slow = 8
    /// From where on many connections are busy, and the most that is counted.
    private static let crowded = 8
    private static let mostCrowded = 16
    private static let slowStep = 8
    private static let slowest = 64

    let options: ServerOptions
    let host: ServerHost
    let application: RunningApplication
    let poller: Poller
    private let listener: Int32
    private let stopDescriptor: Int32
    /// Wakes a thread of the pool.
    private let wakeDescriptor: Int32
    /// Wakes the thread that called ``run()``.
    private let noteDescriptor: Int32
    private let queue = Mutex(Queue())
    /// How many jobs are in the queue, for whoever need not have one.
    private let queued = Atomic(0)
    /// How many threads wait for whatever comes.
    private let idle = Atomic(0)
    /// How many wait for what comes next on a connection.
    private let staying = Atomic(0)
    /// How many are not needed. The fewer threads take turns, the more each finds in its processor's cache,
    /// and the less often one has to be woken.
    private let resting = Atomic(0)
    private let call = Signal()
    /// How many have a request of the gateway contract, or are about to.
    private let occupied = Atomic(0)
    /// How many threads can do something at the same time.
    private let processors: Int
    /// The connection whose request was the last, and how often others' came in between: 0 to ``mostCrowded``.
    private let lastKey = Atomic<UInt64>(0)
    private let crowd = Atomic(0)
    /// How much it seems that requests take long: 0 to ``slowest``. As long as they don't, those who are awake
    /// come back sooner than another could be called up.
    private let slowness = Atomic(0)
    /// Whether somebody may wait to be accepted who found all threads busy.
    private let hasBacklog = Atomic(false)
    /// How often threads of the pool have come to look for something to do.
    private let turns = Atomic(0)
    /// Whether the thread that called ``run()`` looks after the others.
    private let isOverseen = Atomic(false)
    private let connections = Mutex(Connections())
    private let draining = Atomic(false)
    private let finished = Atomic(false)
    private let admitted = Atomic(0)
    private let running = Atomic(0)
    private let served = Atomic<UInt64>(0)
    private let threads = Atomic(0)
    private let lastID = Atomic<UInt64>(0)
    private let idPrefix: String
    /// Hears of limits in place of the server's end; set before there is a request.
    private let reached = Mutex<(@Sendable (Limit) -> Void)?>(nil)

    /// - Parameters:
    ///   - listener: A listening socket, which stays the caller's.
    ///   - stop: A descriptor that becomes readable when the server is to end.
    /// - Throws: ``GatewayError`` with the system's reason.
    package init(
        _ application: RunningApplication, _ host: ServerHost, _ options: ServerOptions, listener: Int32, stop: Int32
    ) throws(GatewayError) {
        self.application = application
        self.host = host
        self.options = options
        self.listener = listener
        stopDescriptor = stop
        processors = max(1, Int(swiftgi_processor_count()))
        var isListening: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard unsafe getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &isListening, &size) == 0, isListening != 0 else {
            throw GatewayError(.output, "descriptor \(listener) is no listening socket")
        }
        let flags = fcntl(listener, F_GETFL)
        guard flags >= 0, fcntl(listener, F_SETFL, flags | O_NONBLOCK) == 0 else {
            throw GatewayError(.output, "fcntl: \(System.reason())")
        }
        // A connection comes when its request does: a process that took connections before that would take
        // many more than it has threads for, and others would have none. Unix sockets refuse both.
        System.setTCP(listener, TCP_DEFER_ACCEPT)
        // What is accepted inherits it.
        System.setTCP(listener, TCP_NODELAY)
        let poller = try Poller()
        self.poller = poller
        wakeDescriptor = swiftgi_eventfd()
        noteDescriptor = swiftgi_eventfd()
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        idPrefix = "\(String(getpid(), radix: 36))-\(String(Int(time.tv_sec) & 0xFFFFFF, radix: 36))-"
        guard wakeDescriptor >= 0, noteDescriptor >= 0,
            poller.add(wakeDescriptor, Poller.readable, key: Self.wakeKey)
        else { throw GatewayError(.output, "eventfd: \(System.reason())") }
    }

    deinit {
        poller.close()
        close(wakeDescriptor)
        close(noteDescriptor)
    }

    // MARK: The whole

    /// Serves until it is told to stop, and until all requests are answered or the grace period is over.
    ///
    /// - Parameters:
    ///   - reached: Called once for each limit that is reached, from any thread: the server goes on, until
    ///     it is told to stop. `nil`: it ends.
    ///   - ready: Called when connections are accepted.
    /// - Throws: ``GatewayError`` if it can't begin.
    package func run(
        ready: () -> Void, reached: (@Sendable (Limit) -> Void)? = nil
    ) throws(GatewayError) -> End {
        self.reached.withLock { $0 = reached }
        let count = max(1, options.threads)
        for number in 0..<count {
            threads.add(1, ordering: .relaxed)
            do throws(GatewayError) {
                try DetachedThread.start { [self] in work(number) }
            } catch {
                threads.subtract(1, ordering: .relaxed)
                if number == 0 { throw error }
                host.log(.warning, "SGI0309: only \(number) of \(count) threads could be made: \(error)")
                break
            }
        }
        listen()
        ready()
        let inactivity = Int64(options.inactivityTimeout)
        let pause = inactivity > 0 ? Int32(clamping: max(20, min(500, inactivity / 4))) : 500
        var activity = (served: UInt64(0), since: System.now, wasTold: false)
        let helper = Worker()
        var overseen = (turns: -1, calm: 0)
        var lastTick = System.now
        while !hasToStop(milliseconds: isOverseen.load(ordering: .relaxed) ? Self.oversight : pause) {
            clearNote()
            if isOverseen.load(ordering: .relaxed) {
                oversee(&overseen, helper)
                if System.now - lastTick < Int64(pause) { continue }
            }
            lastTick = System.now
            tick()
            guard inactivity > 0, !activity.wasTold else { continue }
            let count = served.load(ordering: .relaxed)
            if count != activity.served || running.load(ordering: .relaxed) > 0 {
                activity = (count, System.now, false)
            } else if count > 0, System.now - activity.since >= inactivity {
                activity.wasTold = true
                if tell(.inactivity) { continue }
                host.log(.info, "SGI0314: no request came for \(inactivity) ms, server ends")
                break
            }
        }
        let isDone = drain()
        finished.store(true, ordering: .sequentiallyConsistent)
        wake()
        while callUp() {}
        // Threads that are in an application's hands end with the process.
        for _ in 0..<100 where isDone && threads.load(ordering: .relaxed) > 0 { usleep(5000) }
        return isDone ? .done : .unfinished
    }

    /// - Returns: Whether somebody wanted to hear of it.
    private func tell(_ limit: Limit) -> Bool {
        guard let reached = reached.withLock({ $0 }) else { return false }
        reached(limit)
        return true
    }

    private func hasToStop(milliseconds: Int32) -> Bool {
        var entries = (
            pollfd(fd: stopDescriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: noteDescriptor, events: Int16(POLLIN), revents: 0)
        )
        // The tuple's two members lie one behind the other.
        _ = unsafe withUnsafeMutablePointer(to: &entries) { pointer in
            unsafe pointer.withMemoryRebound(to: pollfd.self, capacity: 2) { unsafe poll($0, 2, milliseconds) }
        }
        return entries.0.revents != 0 || draining.load(ordering: .relaxed)
    }

    private func drain() -> Bool {
        draining.store(true, ordering: .sequentiallyConsistent)
        // Nobody oversees them from here on.
        while callUp() {}
        stopListening()
        let start = System.now
        var isStopped = false
        host.log(.info, "SGI0310: server ends, \(running.load(ordering: .relaxed)) requests are not answered yet")
        while true {
            for connection in all { connection.drain() }
            if running.load(ordering: .acquiring) == 0, all.isEmpty { return true }
            let passed = System.now - start
            if passed > Int64(options.grace), !isStopped {
                isStopped = true
                for connection in all { connection.stop() }
            }
            if passed > Int64(options.grace) + 1000 { break }
            clearNote()
            var entry = pollfd(fd: noteDescriptor, events: Int16(POLLIN), revents: 0)
            unsafe poll(&entry, 1, 50)
            tick()
        }
        let left = running.load(ordering: .relaxed)
        if left > 0 { host.log(.error, "SGI0311: server ends without having answered \(left) requests") }
        for connection in all { connection.cut() }
        return left == 0
    }

    private func clearNote() {
        var value: UInt64 = 0
        _ = unsafe read(noteDescriptor, &value, 8)
    }

    private func note() {
        var value: UInt64 = 1
        _ = unsafe write(noteDescriptor, &value, 8)
    }

    /// What has to be looked at now and then.
    private func tick() {
        let now = System.now
        for connection in all { connection.checkTime(now) }
        let isStarved = connections.withLock { state in
            defer { state.isStarved = false }
            return state.isStarved
        }
        if isStarved { listen() }
    }

    /// Turns requests away that wait in connections of this process while all of its threads are busy:
    /// another process may have a thread for them. Nobody else reads them at that time.
    private func oversee(_ state: inout (turns: Int, calm: Int), _ helper: Worker) {
        let turns = turns.load(ordering: .relaxed)
        defer { state.turns = turns }
        guard idle.load(ordering: .sequentiallyConsistent) == 0 else {
            state.calm += 1
            guard state.calm >= Self.calmness else { return }
            state.calm = 0
            isOverseen.store(false, ordering: .sequentiallyConsistent)
            // Who became busy meanwhile has told nobody.
            if idle.load(ordering: .sequentiallyConsistent) == 0 {
                isOverseen.store(true, ordering: .sequentiallyConsistent)
            }
            return
        }
        state.calm = 0
        guard turns == state.turns else { return }
        if callUp() {
            slowness.store(Self.slowest, ordering: .relaxed)
            return
        }
        // Only mod_swiftgi goes elsewhere.
        guard options.board != nil else { return }
        var hasTakenWake = false
        var hasSeenListener = false
        look: for _ in 0..<64 {
            guard let event = poller.wait(milliseconds: 0) else { break }
            switch event.key {
            case Self.wakeKey: hasTakenWake = true
            case Self.listenerKey:
                // It is told of as long as somebody waits there: when it comes again, the others have come.
                if hasSeenListener { break look }
                hasSeenListener = true
            default: connections.withLock({ $0.all[event.key] })?.turnAway(event, helper)
            }
        }
        // It was for another.
        if hasTakenWake { wake() }
    }

    /// A thread has something to do, and no other is left that waits.
    private func nobodyWaits() {
        if slowness.load(ordering: .relaxed) >= Self.slow, callUp() { return }
        guard !isOverseen.load(ordering: .sequentiallyConsistent),
            !isOverseen.exchange(true, ordering: .sequentiallyConsistent)
        else { return }
        note()
    }

    private var all: [Connection] { connections.withLock { Array($0.all.values) } }

    var isDraining: Bool { draining.load(ordering: .relaxed) }

    // MARK: Threads

    private func work(_ number: Int) {
        let worker = Worker(options.board?.place(number))
        worker.run {
            var burst = 0
            var isForBacklog = false
            while !finished.load(ordering: .relaxed) {
                // Who waits for the network must not starve behind who is woken.
                if burst < 16, let (job, isLast) = pop() {
                    burst += 1
                    // Wakes that come together are one: each who is woken wakes the next.
                    if !isLast, idle.load(ordering: .sequentiallyConsistent) > 0 { wake() }
                    perform(job, worker)
                    continue
                }
                let isBusy = burst >= 16
                burst = 0
                if !isBusy, rest() { continue }
                // All who wait to be accepted have one turn together among the connections that were: every
                // second one is theirs. None is accepted for another thread, since another process may have one.
                if hasBacklog.load(ordering: .relaxed) {
                    isForBacklog.toggle()
                    if isForBacklog {
                        turns.add(1, ordering: .relaxed)
                        accept(worker)
                        continue
                    }
                }
                idle.add(1, ordering: .sequentiallyConsistent)
                // Whoever queued a job and saw nobody idle woke nobody.
                let waits = !isBusy && queued.load(ordering: .sequentiallyConsistent) == 0
                let event = poller.wait(milliseconds: waits ? -1 : 0)
                let isLast = idle.subtract(1, ordering: .sequentiallyConsistent).newValue == 0
                turns.add(1, ordering: .relaxed)
                if isLast { nobodyWaits() }
                guard let event else { continue }
                handle(event, worker)
            }
        }
        threads.subtract(1, ordering: .relaxed)
        wake()
    }

    /// How many are to be awake, if nothing takes long: while some wait for what comes next on a connection,
    /// another sees to the rest.
    private var attentive: Int { isCrowded ? processors : processors + 1 }

    /// Whether requests come on many connections. A thread that waited on one of them would only leave the
    /// others to another thread, which has to be woken.
    var isCrowded: Bool { crowd.load(ordering: .relaxed) >= Self.crowded }

    /// Notes on which connection a request has come.
    func noteConnection(_ key: UInt64) {
        // What threads overwrite of each other's is of no matter.
        let before = crowd.load(ordering: .relaxed)
        if lastKey.load(ordering: .relaxed) == key {
            if before > 0 { crowd.store(before - 1, ordering: .relaxed) }
            return
        }
        lastKey.store(key, ordering: .relaxed)
        if before < Self.mostCrowded { crowd.store(before + 1, ordering: .relaxed) }
    }

    /// Waits until it is needed, if enough others do what there is to do.
    ///
    /// - Returns: Whether it did.
    private func rest() -> Bool {
        guard !isDraining, idle.load(ordering: .relaxed) > 0,
            threads.load(ordering: .relaxed) - resting.load(ordering: .relaxed) > attentive
        else { return false }
        resting.add(1, ordering: .sequentiallyConsistent)
        // Whoever left nobody behind before that has called nobody.
        let isNeeded =
            idle.load(ordering: .sequentiallyConsistent) == 0
            || queued.load(ordering: .sequentiallyConsistent) > 0
            || draining.load(ordering: .sequentiallyConsistent)
            || finished.load(ordering: .sequentiallyConsistent)
        if isNeeded, leaveRest() { return true }
        call.wait()
        return true
    }

    private func leaveRest() -> Bool {
        var count = resting.load(ordering: .sequentiallyConsistent)
        while count > 0 {
            let (isDone, now) = resting.compareExchange(
                expected: count, desired: count - 1, ordering: .sequentiallyConsistent)
            if isDone { return true }
            count = now
        }
        return false
    }

    /// Has one that rests look for something to do.
    ///
    /// - Returns: `false` if none does.
    private func callUp() -> Bool {
        guard leaveRest() else { return false }
        call.post()
        return true
    }

    private func pop() -> (Job, isLast: Bool)? {
        guard queued.load(ordering: .relaxed) > 0 else { return nil }
        return queue.withLock { queue in
            guard let job = queue.pop() else { return nil }
            queued.subtract(1, ordering: .relaxed)
            return (job, queue.next == queue.jobs.count)
        }
    }

    private func perform(_ job: Job, _ worker: Worker) {
        switch job {
        case .run(let request): request.run(worker)
        case .resume(let request): request.resume(worker)
        }
    }

    private func handle(_ event: Poller.Event, _ worker: Worker) {
        switch event.key {
        case Self.wakeKey: break
        case Self.listenerKey: accept(worker)
        default:
            guard let connection = connections.withLock({ $0.all[event.key] }) else { return }
            connection.handle(event, worker)
        }
    }

    /// Has a thread of the pool do something.
    func enqueue(_ job: Job) {
        queue.withLock {
            $0.jobs.append(job)
            queued.add(1, ordering: .sequentiallyConsistent)
        }
        if idle.load(ordering: .sequentiallyConsistent) > 0 { wake() } else { nobodyWaits() }
    }

    /// Whether the calling thread can be spared for waiting on a connection; then ``stayEnded()`` has to be
    /// called.
    func mayStay() -> Bool {
        guard queued.load(ordering: .relaxed) == 0 else { return false }
        guard idle.load(ordering: .relaxed) > 0 else {
            // The next time one will be.
            _ = callUp()
            return false
        }
        if staying.add(1, ordering: .relaxed).newValue < attentive { return true }
        stayEnded()
        return false
    }

    /// Notes how many milliseconds of a coarse clock a request has had its thread for.
    func noteTime(_ milliseconds: Int64) {
        let before = slowness.load(ordering: .relaxed)
        if milliseconds > 0 {
            slowness.store(min(Self.slowest, before + Self.slowStep), ordering: .relaxed)
        } else if before > 0 {
            slowness.store(before - 1, ordering: .relaxed)
        }
    }

    /// Whether a request of the gateway contract may begin before its body is there: such have up to half of the
    /// threads.
    var hasRoom: Bool { occupied.load(ordering: .relaxed) < (threads.load(ordering: .relaxed) + 1) / 2 }

    /// Whether one may whose body is large, or does not come on: a quarter of the threads is left to others.
    var hasReserve: Bool {
        let all = threads.load(ordering: .relaxed)
        return occupied.load(ordering: .relaxed) < all - max(1, all / 4)
    }

    /// A request of the gateway contract is to have a thread, or has it no longer.
    func takePlace() { occupied.add(1, ordering: .relaxed) }
    func givePlace() { occupied.subtract(1, ordering: .relaxed) }

    /// Whether connections may have waited for a thread.
    var isBusy: Bool {
        idle.load(ordering: .relaxed) == 0 || slowness.load(ordering: .relaxed) >= Self.slow
    }

    func stayEnded() { staying.subtract(1, ordering: .relaxed) }

    private func wake() {
        var value: UInt64 = 1
        _ = unsafe write(wakeDescriptor, &value, 8)
    }

    // MARK: Requests

    func nextRequestNumber() -> UInt64 { lastID.add(1, ordering: .relaxed).newValue }

    /// What logs call a request that has no name but its number.
    func requestID(_ number: UInt64) -> String { idPrefix + String(number, radix: 36) }

    /// Whether there is room for one more; then it has to be released.
    func admitRequest() -> Bool {
        if admitted.add(1, ordering: .relaxed).newValue <= options.maxConcurrentRequests { return true }
        admitted.subtract(1, ordering: .relaxed)
        return false
    }

    func releaseRequest() { admitted.subtract(1, ordering: .relaxed) }

    func requestStarted() {
        running.add(1, ordering: .relaxed)
        let count = served.add(1, ordering: .relaxed).newValue
        guard options.maxRequests > 0, count == options.maxRequests, !tell(.requests) else { return }
        host.write(.info, "SGI0312: \(count) requests were served, server ends", requestID: nil)
        draining.store(true, ordering: .sequentiallyConsistent)
        note()
    }

    func requestDone() {
        if running.subtract(1, ordering: .acquiringAndReleasing).newValue == 0, isDraining { note() }
    }

    // MARK: Connections

    private func listen() {
        connections.withLock { state in
            guard !state.isListening, !isDraining else { return }
            state.isListening = poller.add(listener, Poller.connection, key: Self.listenerKey)
            state.isStarved = !state.isListening
        }
    }

    private func stopListening() {
        connections.withLock { state in
            if state.isListening { poller.remove(listener) }
            state.isListening = false
        }
    }

    private func accept(_ worker: Worker) {
        guard let connection = accept() else {
            hasBacklog.store(false, ordering: .relaxed)
            return
        }
        if idle.load(ordering: .relaxed) == 0 { hasBacklog.store(true, ordering: .relaxed) }
        connection.begin(worker)
    }

    /// - Returns: `nil` if nobody waits, or who does is not welcome.
    private func accept() -> Connection? {
        let descriptor = swiftgi_accept(listener)
        guard descriptor >= 0 else {
            acceptFailed(errno)
            return nil
        }
        let address = Address.ofPeer(descriptor)
        guard isWelcome(descriptor, address) else {
            close(descriptor)
            return nil
        }
        return connections.withLock { state in
            state.lastKey += 1
            let connection = Connection(self, descriptor, key: state.lastKey, isLocal: !address.isTCP)
            state.all[state.lastKey] = connection
            if state.all.count >= options.maxConnections, state.isListening {
                poller.remove(listener)
                state.isListening = false
            }
            return connection
        }
    }

    private func acceptFailed(_ error: Int32) {
        switch error {
        case EAGAIN, EINTR, ECONNABORTED, EPROTO, EPERM: break
        default:
            host.log(.error, "SGI0302: connection could not be accepted: \(System.reason(error))")
            // Without a descriptor the listener would stay readable: a pause, until tick().
            connections.withLock { state in
                if state.isListening { poller.remove(listener) }
                state.isListening = false
                state.isStarved = true
            }
        }
    }

    /// Whether the peer may connect.
    private func isWelcome(_ descriptor: Int32, _ address: Address) -> Bool {
        if !address.isTCP {
            guard let peer = options.peer else { return true }
            let user = System.peerUser(descriptor)
            if user == peer || user == 0 { return true }
            let name = user.map { "\($0)" } ?? "unknown"
            host.log(.error, "SGI0315: connection from user \(name) refused: not the one of --peer-user")
            return false
        }
        guard !options.webServers.isEmpty else { return true }
        if options.webServers.contains(address.text) { return true }
        host.log(.error, "SGI0301: connection from \(address.text) refused: not among FCGI_WEB_SERVER_ADDRS")
        return false
    }

    func connectionDone(_ connection: Connection) {
        let hasRoom = connections.withLock { state in
            state.all[connection.key] = nil
            return !state.isListening && !state.isStarved && state.all.count < options.maxConnections
        }
        if hasRoom { listen() }
        if isDraining { note() }
    }
}

/// Where a connection comes from.
package struct Address {
    let isTCP: Bool
    /// The address without its port; an IPv4 address as such even if it came to an IPv6 socket.
    let text: String

    /// An address as it is compared, out of what people write; `nil` if it is none.
    package static func canonical(_ text: String) -> String? {
        for family in [AF_INET, AF_INET6] {
            // Large enough for either.
            var address = in6_addr()
            guard unsafe inet_pton(family, text, &address) == 1 else { continue }
            var written = [CChar](repeating: 0, count: 64)
            guard unsafe inet_ntop(family, &address, &written, socklen_t(written.count)) != nil else { return nil }
            return ofIPv4(String(decoding: written.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        return nil
    }

    private static func ofIPv4(_ address: String) -> String {
        address.hasPrefix("::ffff:") && address.contains(".") ? String(address.dropFirst(7)) : address
    }

    static func ofPeer(_ descriptor: Int32) -> Address {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let known = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getpeername(descriptor, $0, &size) == 0
            }
        }
        let family = Int32(storage.ss_family)
        guard known, family == AF_INET || family == AF_INET6 else { return Address(isTCP: false, text: "") }
        // Room for the longest address and the zero byte.
        var text = [CChar](repeating: 0, count: 64)
        let result = unsafe withUnsafePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getnameinfo($0, size, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            }
        }
        guard result == 0 else { return Address(isTCP: true, text: "") }
        let address = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return Address(isTCP: true, text: ofIPv4(address))
    }
}
