import Glibc
import SwiftGICore

/// Requests that can start: mostly one, for which nothing is allocated.
private struct StartedRequests {
    private(set) var first: ServerRequest?
    private(set) var others: [ServerRequest] = []

    var isEmpty: Bool { first == nil }
    var all: [ServerRequest] { first.map { [$0] + others } ?? [] }

    mutating func append(_ request: ServerRequest) {
        if first == nil { first = request } else { others.append(request) }
    }
}

/// One connection of a web server, and the requests that it carries.
///
/// Its monitor guards all of its state. Two roles are taken under the monitor and played outside of
/// it: one thread reads the socket, one writes it. Whoever finds a role taken leaves word, and the
/// one who plays it takes care.
@safe final class Connection: @unchecked Sendable {
    // Sendable: see above.

    /// What is buffered of a request's body before the connection is not read any more.
    static let highWater = 131_072
    /// Bytes of answers that the peer does not take, from where on nothing more is read of it.
    private static let mostPending = 1_048_576
    /// Requests of a connection whose variables have begun to come.
    private static let mostBegun = 32
    /// Below what it is read again.
    static let lowWater = 65536
    /// What is buffered of a request's body at most, when others read past it.
    private static let limit = 1_048_576
    /// What messages for the web server's log may occupy.
    private static let errorLimit = 65536
    /// How much of a line goes to the web server's log at a time.
    private static let longestLine = 3900
    /// Milliseconds for a peer to take note that it is not listened to any more.
    private static let lingerTime: Int64 = 2000
    /// Milliseconds that a thread waits for what comes next on a connection, before it is the poller's.
    private static let stayTime = 4
    /// After waits in vain so many requests come by way of the poller, at most.
    private static let mostStaysSkipped = 64
    /// A request that comes in more pieces is waited for by the poller.
    private static let mostPartialStays = 8
    /// Milliseconds that a request may run before somebody else listens to its connection.
    private static let unwatchedTime: Int64 = 100
    /// Milliseconds for a new peer to send its first request when the server is to end.
    private static let firstTime: Int64 = 1000
    /// Milliseconds for which a thread waits for it.
    private static let firstMoment = 2

    let server: GatewayServer
    let descriptor: Int32
    /// Names it for the poller.
    let key: UInt64
    /// Whether it is a Unix socket's.
    let isLocal: Bool
    let monitor = Monitor()

    private var fastCGI = FastCGIDecoder()
    /// In place of the other, for SCGI.
    private var scgi: SCGIDecoder?
    /// Requests that have not been answered.
    private var requests: [ServerRequest] = []

    private var isReading = false
    /// Whether there may be more than the one who reads knows of.
    private var hasMoreToRead = false
    /// Whether reading was left off because what came is not taken.
    private var isPaused = false
    /// Whether nothing more comes.
    private var isAtEnd = false
    /// Whether some of the requests wait for more of their bodies.
    private var holdsRequests = false

    private var isWriting = false
    /// What the one who writes has still to send. It belongs to him.
    private var inFlight: [UInt8] = []
    private var inFlightStart = 0
    /// What is to be sent after that.
    private var pending: [UInt8] = []
    /// Bytes of output altogether, and how many of them have left.
    private var queuedTotal: Int64 = 0
    private var sentTotal: Int64 = 0
    private var isOutputBroken = false
    private var awaitsRoom = false
    /// When something left last, or began to wait for that.
    private var lastSent: Int64 = 0

    private var isRegistered = false
    /// Whether the peer sends several requests at a time, as far as is known.
    private var isMultiplexed = false
    private var hasTimeLimit = false
    /// How many times the thread does not wait for the next request, since that was in vain.
    private var staysToSkip = 0
    private var lastSkipped = 0
    /// How often a thread has waited for the rest of a request.
    private var partialStays = 0
    /// Whether a request has come on it.
    private var hasCarried = false
    /// No further request is taken.
    private var isClosing = false
    /// Whether the peer is mod_swiftgi, as a request has shown.
    private var isExtended = false
    /// Whether the server, which ends, has closed the way in: nothing comes, but for what was there already.
    private var isDrained = false
    /// Nothing is sent any more; what comes is thrown away until the peer has closed, too.
    private var isLingering = false
    private var hasAskedForOtherRole = false
    private var isRetired = false
    /// When it came to be what it is now: with a request half read, or closing.
    private var since = System.now

    init(_ server: GatewayServer, _ descriptor: Int32, key: UInt64, isLocal: Bool) {
        self.server = server
        self.descriptor = descriptor
        self.key = key
        self.isLocal = isLocal
        if case .scgi = server.options.protocolName { scgi = SCGIDecoder(limit: server.options.maxHeaderSize) }
    }

    deinit {
        // Nobody has a use for the descriptor now, so that its number is free for another.
        close(descriptor)
    }

    // MARK: Events

    /// Begins with a new connection, on the calling thread.
    func begin(_ worker: Worker) {
        // Who has had to wait may have left.
        var started = read(worker, isHangup: server.isBusy)
        // Who has connected is about to ask. One whose request was left for another thread would wait for
        // this process, though another may have a thread.
        if started.isEmpty, isLocal, System.wait(descriptor, for: POLLIN, milliseconds: Self.firstMoment) != 0 {
            started = read(worker, isHangup: false)
        }
        serve(started, worker)
    }

    func handle(_ event: Poller.Event, _ worker: Worker) {
        if event.isWritable { flush() }
        if event.isDead { monitor.withLock { breakOutput() } }
        serve(read(worker, isHangup: event.isHangup), worker)
    }

    /// Does what there is to do without running a request, since no thread is free for one.
    ///
    /// mod_swiftgi gets back what it has sent as a whole, and goes elsewhere with it.
    func turnAway(_ event: Poller.Event, _ worker: Worker) {
        if event.isWritable { flush() }
        if event.isDead { monitor.withLock { breakOutput() } }
        for request in read(worker, isHangup: event.isHangup).all {
            let wasTurnedAway = monitor.withLock {
                // Of what was held the module may not have all any more.
                guard request.isExtended, request.isAdmitted, request.isInputEnded, !request.isAborted,
                    !request.wasHeld, !isOutputBroken
                else { return false }
                request.givePlace()
                finish(request)
                answerEnd(request, applicationStatus: 0, .overloaded)
                return true
            }
            if wasTurnedAway { server.requestDone() } else { server.enqueue(.run(request)) }
        }
    }

    /// Serves what has come, the first request here, others on other threads; and what comes next, as long
    /// as the thread is not needed elsewhere.
    private func serve(_ started: StartedRequests, _ worker: Worker) {
        var started = started
        while true {
            for request in started.others { server.enqueue(.run(request)) }
            if let first = started.first {
                // Who sends several at a time is listened to meanwhile, others only if it takes long.
                if isMultiplexed { watch() }
                let began = System.now
                server.noteConnection(key)
                first.run(worker)
                server.noteTime(System.now - began)
            }
            guard let next = stay(worker) else { break }
            started = next
        }
        watch()
    }

    /// Has other threads serve what has come.
    private func runElsewhere(_ started: StartedRequests) {
        for request in started.all { server.enqueue(.run(request)) }
    }

    /// Has the poller tell of what comes.
    private func watch() { monitor.withLock { register() } }

    /// The monitor is held.
    private func register() {
        guard !isRegistered, !isRetired else { return }
        isRegistered = true
        let events = Poller.readable | (awaitsRoom ? Poller.writable : 0)
        if server.poller.add(descriptor, events, key: key) { return }
        let message = "SGI0307: connection can't be watched and is closed: \(System.reason())"
        server.host.write(.error, message, requestID: nil)
        fail()
    }

    /// Waits for a moment for what comes next: for the rest of a request, or for the next one.
    ///
    /// A web server that keeps its connections busy, or sends a request in pieces, is answered with two
    /// system calls that way, on a thread that has all at hand; by way of the poller it takes five, and
    /// another thread.
    ///
    /// - Returns: Requests that can start, or `nil` if the connection is one for the poller.
    private func stay(_ worker: Worker) -> StartedRequests? {
        guard !server.isCrowded else { return nil }
        let isMine = monitor.withLock {
            guard mayStay, server.mayStay() else { return false }
            if isRegistered {
                server.poller.remove(descriptor)
                isRegistered = false
            }
            isReading = true
            return true
        }
        guard isMine else { return nil }
        defer { server.stayEnded() }
        if !hasTimeLimit {
            System.limitWaits(descriptor, milliseconds: Self.stayTime)
            hasTimeLimit = true
        }
        return readOn(worker, untilEmpty: false, waits: true)
    }

    /// The monitor is held.
    private var mayStay: Bool {
        guard !isReading, !isAtEnd, !isPaused, !isRetired, !isLingering, !isWriting, !hasOutput, !isMultiplexed,
            !server.isDraining
        else { return false }
        if requests.isEmpty, !isClosing {
            if staysToSkip == 0 { return true }
            staysToSkip -= 1
            return false
        }
        guard partialStays < Self.mostPartialStays, requests.allSatisfy({ !$0.hasStarted }), !requests.isEmpty
        else { return false }
        partialStays += 1
        return true
    }

    /// Notes how a wait ended. The monitor is held.
    private func stayed(inVain: Bool) {
        if !inVain {
            lastSkipped = 0
        } else if requests.isEmpty {
            lastSkipped = min(Self.mostStaysSkipped, max(1, lastSkipped * 2))
            staysToSkip = lastSkipped
        } else {
            partialStays = Self.mostPartialStays
        }
    }

    // MARK: Reading

    /// Reads what there is, unless another thread does.
    ///
    /// - Returns: Requests that can start.
    private func read(_ worker: Worker, isHangup: Bool) -> StartedRequests {
        let isMine = monitor.withLock {
            if isReading {
                hasMoreToRead = true
                return false
            }
            if isAtEnd || isPaused { return false }
            isReading = true
            return true
        }
        return isMine ? readOn(worker, untilEmpty: isHangup) : StartedRequests()
    }

    /// Reads what there is and gives the role back.
    ///
    /// - Parameter waits: Whether to wait for the first bytes, up to the time limit that was set.
    private func readOn(_ worker: Worker, untilEmpty: Bool, waits: Bool = false) -> StartedRequests {
        var started = StartedRequests()
        var waits = waits
        while true {
            let received = unsafe System.receive(descriptor, worker.buffer, waits: waits)
            let isDone = monitor.withLock {
                var isEmpty = false
                if waits { stayed(inVain: received == .nothing) }
                waits = false
                switch received {
                case .bytes(0): end()
                case .bytes(let count):
                    // The worker's buffer has as many as were received.
                    let bytes = unsafe UnsafeRawBufferPointer(rebasing: worker.buffer[..<count])
                    unsafe take(bytes.bindMemory(to: UInt8.self).span, &started)
                    isEmpty = count < Worker.bufferSize && !untilEmpty
                case .nothing: isEmpty = true
                case .failed: end()
                }
                if !isAtEnd, !isPaused {
                    guard isEmpty else { return false }
                    if hasMoreToRead {
                        hasMoreToRead = false
                        return false
                    }
                }
                isReading = false
                hasMoreToRead = false
                monitor.notifyAll()
                return true
            }
            if isDone { return started }
        }
    }

    /// Takes bytes apart. The monitor is held.
    private func take(_ bytes: Span<UInt8>, _ started: inout StartedRequests) {
        if isLingering || isRetired { return }
        do throws(WireError) {
            var position = 0
            if scgi != nil {
                while let event = try scgi?.next(bytes, &position) { try handle(event, bytes, &started) }
            } else {
                // One use of the property for all events.
                var decoder = FastCGIDecoder()
                swap(&decoder, &fastCGI)
                defer { swap(&decoder, &fastCGI) }
                while let event = try decoder.next(bytes, &position) { try handle(event, bytes, &started) }
                if requests.isEmpty && decoder.isBetweenRecords { since = System.now }
            }
        } catch {
            server.host.write(
                .error, "SGI0303: web server breaks the protocol, connection closed: \(error)", requestID: nil)
            // Requests that are complete in themselves could be answered, but to whom?
            fail()
            return
        }
        if requests.contains(where: { $0.buffered >= Self.highWater }) || pending.count >= Self.mostPending {
            isPaused = true
        }
        startHeld(&started, always: isPaused && requests.contains { !$0.isHeld && $0.buffered >= Self.highWater })
        monitor.notifyAll()
    }

    private func find(_ id: UInt16) -> ServerRequest? { requests.first { $0.id == id } }

    private func handle(
        _ event: FastCGIDecoder.Event, _ bytes: Span<UInt8>, _ started: inout StartedRequests
    ) throws(WireError) {
        switch event {
        case .begin(let id, let role, let keepsConnection):
            try begin(id, role: role, keepsConnection: keepsConnection)
        case .params(let id, let range):
            guard let request = find(id) else { return }
            if request.hasStarted { throw WireError("variables behind their end") }
            try request.appendHeader(bytes.extracting(range))
        case .paramsEnd(let id):
            guard let request = find(id), !request.hasStarted else { return }
            try request.prepare()
            if request.isExtended {
                isExtended = true
                // Only then the module has all that it has sent: of what is read while the way in is open
                // it may be sending more already.
                if isDrained { return refuse(request) }
            }
            start(request, &started)
        case .stdin(let id, let range), .data(let id, let range):
            guard let request = find(id) else { return }
            request.append(bytes.extracting(range))
            request.post(.readable)
        case .stdinEnd(let id):
            // A filter gets the data after it.
            guard let request = find(id), request.role != .filter else { return }
            request.endInput()
            request.post(.readable)
        case .dataEnd(let id):
            guard let request = find(id) else { return }
            request.endInput()
            request.post(.readable)
        case .abort(let id):
            guard let request = find(id) else { return }
            if request.hasStarted { return abandon(request) }
            requests.removeAll { $0 === request }
            answerEnd(request, applicationStatus: 1, .requestComplete)
        case .getValues(let pairs): try answerValues(pairs)
        case .extension(let type, let id, let content):
            if let request = find(id), request.isExtended {
                request.take(type, content)
                monitor.notifyAll()
            } else if !isExtended {
                answerUnknown(type.rawValue)
            }
        case .unknown(let type): answerUnknown(type)
        }
    }

    private func answerUnknown(_ type: UInt8) {
        pending.appendUnknownType(type)
        enqueued(16)
    }

    /// Says that a request was not begun, so that another process can have it.
    private func refuse(_ request: ServerRequest) {
        requests.removeAll { $0 === request }
        answerEnd(request, applicationStatus: 0, .overloaded)
    }

    private func handle(
        _ event: SCGIDecoder.Event, _ bytes: Span<UInt8>, _ started: inout StartedRequests
    ) throws(WireError) {
        if requests.isEmpty, !isClosing {
            requests.append(ServerRequest(self, id: 0, role: .responder, keepsConnection: false))
        }
        guard let request = requests.first else { return }
        switch event {
        case .header(let range): try request.appendHeader(bytes.extracting(range))
        case .headerEnd:
            try request.prepare()
            // There is but one.
            isClosing = true
            start(request, &started)
        case .body(let range):
            request.append(bytes.extracting(range))
            request.post(.readable)
        }
    }

    private func begin(_ id: UInt16, role: UInt16, keepsConnection: Bool) throws(WireError) {
        guard find(id) == nil else { throw WireError("request \(id) begins while it is served") }
        guard let role = FastCGI.Role(rawValue: role) else {
            answerEnd(id, keepsConnection: keepsConnection, applicationStatus: 0, .unknownRole)
            if !hasAskedForOtherRole {
                let message = "SGI0304: web server asks for role \(role), which there is not"
                server.host.write(.error, message, requestID: nil)
            }
            hasAskedForOtherRole = true
            return
        }
        guard !isClosing else { return answerEnd(id, keepsConnection: true, applicationStatus: 0, .cannotMultiplex) }
        guard !(isExtended && isDrained), requests.count(where: { !$0.hasStarted }) < Self.mostBegun,
            server.admitRequest()
        else {
            return answerEnd(id, keepsConnection: keepsConnection, applicationStatus: 0, .overloaded)
        }
        let request = ServerRequest(self, id: id, role: role, keepsConnection: keepsConnection)
        request.isAdmitted = true
        // Who sends one request at a time calls each the first, but for mod_swiftgi.
        if !requests.isEmpty || (id != 1 && !isExtended) { isMultiplexed = true }
        requests.append(request)
        since = System.now
        if !keepsConnection { isClosing = true }
    }

    private func start(_ request: ServerRequest, _ started: inout StartedRequests) {
        if request.id == 0 { request.isAdmitted = server.admitRequest() }
        since = System.now
        hasCarried = true
        partialStays = 0
        server.requestStarted()
        if !server.hasRoom, request.hold() {
            holdsRequests = true
        } else {
            request.takePlace()
            started.append(request)
        }
    }

    /// Starts what was held, as far as it need not be any more. The monitor is held.
    ///
    /// - Parameter always: Whether all of it is to start: nothing is read any more before another request goes
    ///   on.
    private func startHeld(_ started: inout StartedRequests, always: Bool) {
        guard holdsRequests else { return }
        for request in requests where request.letGo(always: always) {
            request.takePlace()
            started.append(request)
        }
        holdsRequests = requests.contains { $0.isHeld }
    }

    /// Has a thread serve a request that was held, if it need not be any more. The monitor is held.
    private func launch(_ request: ServerRequest) {
        guard request.letGo() else { return }
        request.takePlace()
        server.enqueue(.run(request))
    }

    private func answerValues(_ pairs: [UInt8]) throws(WireError) {
        var places: [VariablePlace] = []
        try NameValuePairs.locate(pairs.span, limit: 64, into: &places)
        var answer: [UInt8] = []
        for place in places {
            let name = pairs.span.extracting(place.name)
            let value: String
            if name.isEqual(to: "FCGI_MAX_CONNS") {
                value = "\(server.options.maxConnections)"
            } else if name.isEqual(to: "FCGI_MAX_REQS") {
                value = "\(server.options.maxConcurrentRequests)"
            } else if name.isEqual(to: "FCGI_MPXS_CONNS") {
                value = "1"
                isMultiplexed = true
            } else {
                continue
            }
            answer.appendPair(name, value.utf8.span)
        }
        pending.appendHeader(.getValuesResult, id: 0, count: answer.count)
        pending += answer
        enqueued(answer.count + 8)
    }

    /// The web server wants nothing of a request any more. The monitor is held.
    private func abandon(_ request: ServerRequest) {
        request.isAborted = true
        launch(request)
        request.post(.gone)
        monitor.notifyAll()
    }

    /// Nothing more comes. The monitor is held.
    private func end() {
        guard !isAtEnd else { return }
        isAtEnd = true
        var wasCut = scgi == nil && !fastCGI.isBetweenRecords && !isLingering
        for request in requests {
            if isDrained {
                // It is the server who does not listen any more: what has come as a whole is answered.
                if request.hasStarted {
                    request.endInput()
                    launch(request)
                    request.post(.readable)
                } else if request.id != 0 {
                    answerEnd(request, applicationStatus: 0, .overloaded)
                }
            } else if !request.hasStarted {
                wasCut = true
            } else if request.id != 0 || !request.isInputEnded {
                // With SCGI a peer may end its side and wait for the answer.
                abandon(request)
            }
        }
        requests.removeAll { !$0.hasStarted }
        if wasCut {
            server.host.write(.info, "SGI0306: web server closed the connection within a request", requestID: nil)
        }
        if requests.isEmpty {
            if isDrained, hasOutput, !isOutputBroken { isClosing = true } else { retire() }
        }
        monitor.notifyAll()
    }

    /// The peer can't be understood, or the process can't go on with it. The monitor is held.
    private func fail() {
        isAtEnd = true
        isClosing = true
        for request in requests where request.hasStarted { abandon(request) }
        requests.removeAll { !$0.hasStarted }
        breakOutput()
        shutdown(descriptor, Int32(truncatingIfNeeded: SHUT_RDWR))
        retire()
    }

    // MARK: What a request reads

    func receive(
        _ request: ServerRequest, into buffer: UnsafeMutableRawBufferPointer, _ worker: Worker
    ) throws(GatewayError) -> Int {
        let deadline = System.now + Int64(server.options.ioTimeout)
        var waits = false
        while true {
            if let count = try unsafe tryReceive(request, into: buffer, worker) { return count }
            let left = Int(deadline - System.now)
            if left <= 0 { throw GatewayError(.timedOut) }
            let isMine = monitor.withLock {
                // Between then and now there may have come something.
                if request.buffered > 0 || request.isInputEnded || request.inputError != nil || isAtEnd { return false }
                askForInput(request)
                if !isReading, !requests.contains(where: { $0.buffered >= Self.limit }) {
                    isReading = true
                    return true
                }
                monitor.wait(milliseconds: left)
                return false
            }
            guard isMine else { continue }
            if waits, System.wait(descriptor, for: POLLIN, milliseconds: left) == 0 {
                monitor.withLock {
                    isReading = false
                    monitor.notifyAll()
                }
                throw GatewayError(.timedOut)
            }
            waits = true
            runElsewhere(readOn(worker, untilEmpty: false))
        }
    }

    func tryReceive(
        _ request: ServerRequest, into buffer: UnsafeMutableRawBufferPointer, _ worker: Worker
    ) throws(GatewayError) -> Int? {
        let (count, goesOn) = try monitor.withLock { () throws(GatewayError) -> (Int?, Bool) in
            let count = try unsafe request.take(into: buffer)
            guard isPaused, mayGoOn else { return (count, false) }
            isPaused = false
            return (count, true)
        }
        if goesOn {
            runElsewhere(read(worker, isHangup: true))
        }
        return count
    }

    /// Lets mod_swiftgi know that the request's body is waited for. The monitor is held.
    func askForInput(_ request: ServerRequest) {
        guard request.hasToAskForInput() else { return }
        pending.appendHeader(.inputWanted, id: request.id, count: 0)
        enqueued(FastCGI.headerSize)
    }

    func isClientGone(_ request: ServerRequest, _ worker: Worker) -> Bool {
        runElsewhere(read(worker, isHangup: true))
        return monitor.withLock { request.isAborted || isOutputBroken }
    }

    // MARK: Writing

    /// Whether output up to a mark has left. The monitor is held.
    func hasSent(upTo mark: Int64) -> Bool { sentTotal >= mark || isOutputBroken }

    private var hasOutput: Bool { inFlightStart < inFlight.count || !pending.isEmpty }

    /// Notes that so much was put into `pending`, and sends it if nobody does. The monitor is held.
    private func enqueued(_ count: Int) {
        queuedTotal += Int64(count)
        guard !isWriting, !isOutputBroken else { return }
        sendPending()
    }

    /// Sends what is queued as far as there is room. The monitor is held, and nobody writes.
    private func sendPending() {
        while hasOutput, !isOutputBroken {
            if inFlightStart == inFlight.count {
                inFlight.removeAll(keepingCapacity: inFlight.capacity <= 65536)
                inFlightStart = 0
                swap(&inFlight, &pending)
            }
            let bytes = inFlight
            switch System.send(
                descriptor, bytes.span.extracting(droppingFirst: inFlightStart), Span<UInt8>(), Span<UInt8>())
            {
            case .bytes(let count):
                inFlightStart += count
                sent(count)
            case .nothing:
                awaitRoom()
                return
            case .failed:
                breakOutput()
            }
        }
        if awaitsRoom {
            awaitsRoom = false
            if isRegistered, !isRetired { server.poller.change(descriptor, Poller.readable, key: key) }
        }
        if isPaused, mayGoOn { goOn() }
        closeIfDone()
    }

    private func awaitRoom() {
        if !awaitsRoom { lastSent = System.now }
        awaitsRoom = true
        guard isRegistered, !isRetired else { return }
        server.poller.change(descriptor, Poller.readable | Poller.writable, key: key)
    }

    private func sent(_ count: Int) {
        sentTotal += Int64(count)
        lastSent = System.now
        for request in requests {
            if sentTotal >= request.outputMark { request.post(.writable) } else { request.noteProgress(lastSent) }
        }
    }

    /// Nothing can be sent any more. The monitor is held.
    private func breakOutput() {
        guard !isOutputBroken else { return }
        isOutputBroken = true
        pending = []
        if !isWriting {
            inFlight = []
            inFlightStart = 0
        }
        for request in requests where request.hasStarted { abandon(request) }
        monitor.notifyAll()
    }

    /// There is room again.
    private func flush() {
        monitor.withLock {
            guard !isWriting, !isOutputBroken else { return }
            sendPending()
        }
    }

    /// Sends pieces of a request's, one after the other and with nothing in between.
    ///
    /// - Parameters:
    ///   - ends: Whether the response ends with them.
    ///   - waits: Whether the calling thread waits until all has left.
    ///   - passed: A descriptor that goes with the first byte of the first piece, over a Unix socket and if
    ///     the thread waits; -1 for none. Then there are no other pieces.
    /// - Returns: Whether some of it has still to leave.
    func send(
        _ request: ServerRequest, _ first: Span<UInt8>, _ second: Span<UInt8>, _ third: Span<UInt8>, ends: Bool,
        waits: Bool, passing passed: Int32 = -1
    ) throws(GatewayError) -> Bool {
        let total = first.count + second.count + third.count
        // The peer has as long for each byte that it takes.
        let patience = Int64(server.options.ioTimeout)
        var deadline = System.now + patience
        var lastTotal = Int64.max
        let outstanding = try monitor.withLock { () throws(GatewayError) -> Bool? in
            while true {
                if request.isAborted || isOutputBroken { throw GatewayError(.clientGone) }
                if !isWriting, !hasOutput {
                    isWriting = true
                    // Before the last byte leaves: its number may come again at once.
                    if ends { finish(request) }
                    return nil
                }
                if !waits {
                    pending.append(copying: first)
                    pending.append(copying: second)
                    pending.append(copying: third)
                    if ends { finish(request) }
                    request.outputMark = queuedTotal + Int64(total)
                    enqueued(total)
                    return !hasSent(upTo: request.outputMark)
                }
                if sentTotal > lastTotal { deadline = System.now + patience }
                lastTotal = sentTotal
                let left = Int(deadline - System.now)
                if left <= 0 { throw GatewayError(.timedOut) }
                // Output of others is in the way. If nobody sends it, it is ours to do.
                monitor.wait(milliseconds: isWriting ? left : min(left, 20))
                if !isWriting, !isOutputBroken, hasOutput { sendPending() }
            }
        }
        if let outstanding { return outstanding }
        var offset = 0
        var failure: GatewayError?
        while offset < total, failure == nil {
            let inFirst = min(offset, first.count)
            let inSecond = min(offset - inFirst, second.count)
            let inThird = offset - inFirst - inSecond
            let result =
                if passed >= 0, offset == 0 {
                    System.send(descriptor, first, passing: passed)
                } else {
                    System.send(
                        descriptor, first.extracting(droppingFirst: inFirst),
                        second.extracting(droppingFirst: inSecond), third.extracting(droppingFirst: inThird))
                }
            switch result {
            case .bytes(let count):
                offset += count
                if offset < total { deadline = System.now + patience }
            case .failed: failure = GatewayError(.clientGone)
            case .nothing:
                if !waits { break }
                failure = waitForRoom(request, deadline)
                continue
            }
            if case .nothing = result { break }
        }
        return try monitor.withLock { () throws(GatewayError) -> Bool in
            isWriting = false
            queuedTotal += Int64(total)
            sentTotal += Int64(offset)
            defer { monitor.notifyAll() }
            if let failure {
                breakOutput()
                if failure.code != .clientGone || ends {
                    // Somebody in the midst of a record can't make room for others.
                    System.reset(descriptor)
                    retire()
                }
                throw failure
            }
            if offset < total {
                // It comes before what others have queued meanwhile.
                let inFirst = min(offset, first.count)
                let inSecond = min(offset - inFirst, second.count)
                inFlight.removeAll(keepingCapacity: true)
                inFlightStart = 0
                inFlight.append(copying: first.extracting(droppingFirst: inFirst))
                inFlight.append(copying: second.extracting(droppingFirst: inSecond))
                inFlight.append(copying: third.extracting(droppingFirst: offset - inFirst - inSecond))
                lastSent = System.now
            }
            request.outputMark = sentTotal + Int64(total - offset)
            if hasOutput { sendPending() } else { closeIfDone() }
            return !hasSent(upTo: request.outputMark)
        }
    }

    /// Sends a part of a file of the only request that the connection carries, behind what it has sent, and
    /// waits until all has left.
    ///
    /// - Parameter ends: Whether the response ends with it.
    /// - Returns: How many bytes were sent: less than there are of a file that has to be read.
    func sendFile(
        _ request: ServerRequest, _ file: BodyFile, offset: Int64, length: Int64, ends: Bool
    ) throws(GatewayError) -> Int64 {
        try monitor.withLock { () throws(GatewayError) in
            if request.isAborted || isOutputBroken { throw GatewayError(.clientGone) }
            isWriting = true
        }
        // What else is sent says so itself.
        System.makeNonblocking(descriptor)
        var position = offset
        var failure: GatewayError?
        var deadline = System.now + Int64(server.options.ioTimeout)
        var canSend = true
        while position < offset + length, failure == nil, canSend {
            switch System.sendFile(descriptor, file.descriptor, &position, offset + length - position) {
            case .bytes(0): failure = GatewayError(.output, "the file became shorter")
            case .bytes: deadline = System.now + Int64(server.options.ioTimeout)
            case .nothing: failure = waitForRoom(request, deadline)
            case .failed(EINVAL), .failed(ENOSYS), .failed(EOVERFLOW): canSend = false
            case .failed(EPIPE), .failed(ECONNRESET): failure = GatewayError(.clientGone)
            case .failed(let error): failure = GatewayError(.output, "sendfile: \(System.reason(error))")
            }
        }
        return try monitor.withLock { () throws(GatewayError) in
            isWriting = false
            queuedTotal += position - offset
            sentTotal += position - offset
            request.outputMark = sentTotal
            defer { monitor.notifyAll() }
            if let failure {
                if failure.code == .clientGone { breakOutput() }
                throw failure
            }
            if ends, canSend { finish(request) }
            closeIfDone()
            return position - offset
        }
    }

    /// Waits until the peer takes something, and sees to what it sends meanwhile: it may not be able
    /// to read before it has written.
    private func waitForRoom(_ request: ServerRequest, _ deadline: Int64) -> GatewayError? {
        guard let worker = Worker.current else { return GatewayError(.output, "not on a thread of the server") }
        while true {
            let left = Int(deadline - System.now)
            if left <= 0 { return GatewayError(.timedOut) }
            let canRead = monitor.withLock { !isAtEnd && !isPaused && !isReading }
            let events = System.wait(
                descriptor, for: canRead ? POLLOUT | POLLIN : POLLOUT, milliseconds: canRead ? left : min(left, 1000))
            if events & POLLIN != 0 {
                runElsewhere(read(worker, isHangup: events & POLLHUP != 0))
            }
            if monitor.withLock({ request.isAborted || isOutputBroken }) { return GatewayError(.clientGone) }
            if events & POLLOUT != 0 { return nil }
            if events & (POLLERR | POLLHUP) != 0 { return GatewayError(.clientGone) }
        }
    }

    /// Sends a message to the web server's log. `false`: it can't be had there.
    func sendError(_ request: ServerRequest, _ level: LogLevel, _ message: String) -> Bool {
        var text: [UInt8] = []
        let prefix = Array("[\(level)] [\(request.logID)] ".utf8)
        for line in message.split(separator: "\n", omittingEmptySubsequences: true) {
            // mod_swiftgi cuts a line that is longer, and would not know the level of the rest.
            var rest = Array(ServerHost.printable(line).utf8)[...]
            repeat {
                text += prefix
                text += rest.prefix(Self.longestLine)
                text.append(0x0A)
                rest = rest.dropFirst(Self.longestLine)
            } while !rest.isEmpty
        }
        return monitor.withLock {
            // mod_swiftgi listens for a moment to what it has cancelled.
            guard !request.hasEnded, !request.isAborted || (request.isExtended && !isAtEnd), !isOutputBroken,
                text.count <= Self.errorLimit,
                pending.count <= Self.errorLimit
            else { return false }
            let before = pending.count
            pending.appendStream(.stderr, id: request.id, text.span)
            enqueued(pending.count - before)
            return true
        }
    }

    // MARK: The end

    /// The response is complete, sent or queued: its number is free. The monitor is held.
    private func finish(_ request: ServerRequest) {
        request.hasEnded = true
        request.noteEnd()
        isInputComplete = request.isInputEnded
        // What the web server still sends of the body is nobody's: whoever reads on comes to an end.
        request.endInput()
        request.post(.readable)
        monitor.notifyAll()
        requests.removeAll { $0 === request }
        if !request.keepsConnection || isAtEnd || (server.isDraining && !request.isExtended) { isClosing = true }
        // Before mod_swiftgi can come with another request: it knows that nothing of it arrives, and goes
        // elsewhere.
        if server.isDraining, request.isExtended { closeWayIn() }
        since = System.now
        // What was not read of its body is passed over, by whoever comes along.
        if isPaused, mayGoOn { goOn() }
    }

    /// Whether there is room for what comes. The monitor is held.
    private var mayGoOn: Bool {
        pending.count < Self.mostPending && !requests.contains { $0.buffered > Self.lowWater }
    }

    /// Has the poller tell again of what is there to be read. The monitor is held.
    private func goOn() {
        isPaused = false
        if isRegistered, !isRetired {
            server.poller.change(descriptor, Poller.readable | (awaitsRoom ? Poller.writable : 0), key: key)
        }
    }

    /// Tells mod_swiftgi what a request came to that has no complete response.
    func end(_ request: ServerRequest, _ outcome: Outcome) {
        monitor.withLock {
            guard !request.hasEnded else { return }
            finish(request)
            guard !isOutputBroken else { return closeIfDone() }
            answerEnd(request, applicationStatus: outcome.applicationStatus, .requestComplete)
        }
    }

    /// Ends a request in a way that can't pass for a complete response.
    func abort(_ request: ServerRequest) {
        monitor.withLock {
            guard !request.hasEnded else { return }
            let isAlone = requests.allSatisfy { $0 === request }
            if request.isAborted, request.id != 0, request.keepsConnection, !isAtEnd, !isOutputBroken {
                // The web server asked for it: it can have the connection again.
                finish(request)
                return answerEnd(request, applicationStatus: 1, .requestComplete)
            }
            if request.id != 0, !isAlone, !isOutputBroken {
                finish(request)
                return answerEnd(request, applicationStatus: 1, .requestComplete)
            }
            finish(request)
            isClosing = true
            if request.id != 0, !isWriting, !hasOutput, !isOutputBroken {
                // nginx takes the end of a connection for the end of the response; what is no record
                // of FastCGI's it takes for a failure, as everybody does.
                let nonsense: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0]
                _ = System.send(descriptor, nonsense.span, Span<UInt8>(), Span<UInt8>())
                // Unread bytes would take back what was sent, the lines for its log among it.
                return closeIfDone()
            }
            System.reset(descriptor)
            isOutputBroken = true
            retire()
        }
    }

    private func answerEnd(_ request: ServerRequest, applicationStatus: UInt32, _ status: FastCGI.ProtocolStatus) {
        answerEnd(
            request.id, keepsConnection: request.keepsConnection, applicationStatus: applicationStatus, status)
    }

    private func answerEnd(
        _ id: UInt16, keepsConnection: Bool, applicationStatus: UInt32, _ status: FastCGI.ProtocolStatus
    ) {
        if !keepsConnection { isClosing = true }
        pending.appendEndRequest(id: id, applicationStatus: applicationStatus, status)
        enqueued(16)
    }

    /// Closes a connection that has nothing more to do. The monitor is held.
    private func closeIfDone() {
        guard isClosing, requests.isEmpty, !hasOutput, !isWriting, !isLingering, !isRetired else { return }
        shutdown(descriptor, Int32(truncatingIfNeeded: SHUT_WR))
        if isAtEnd || isOutputBroken || isInputComplete { return retire() }
        // To close with unread bytes would take the response back.
        isLingering = true
        isPaused = false
        since = System.now
        if isRegistered { server.poller.change(descriptor, Poller.readable, key: key) }
    }

    /// Whether the peer has sent all that it has to send.
    private var isInputComplete = false

    /// Takes it out of the server. The monitor is held.
    private func retire() {
        guard !isRetired else { return }
        isRetired = true
        isAtEnd = true
        if isRegistered { server.poller.remove(descriptor) }
        server.connectionDone(self)
        monitor.notifyAll()
    }

    // MARK: Time and the server's end

    func checkTime(_ now: Int64) {
        monitor.withLock {
            for request in requests {
                request.checkTime(now)
                launch(request)
            }
            if !isRegistered, !isReading, !requests.isEmpty, now - since > Self.unwatchedTime { register() }
            if isLingering, now - since > Self.lingerTime { return retire() }
            // What nobody waits for must leave all the same.
            if requests.isEmpty, hasOutput, !isWriting, !isOutputBroken,
                now - lastSent > Int64(server.options.ioTimeout)
            {
                return fail()
            }
            // An SCGI connection has come for one request.
            let isPartial =
                requests.contains { !$0.hasStarted }
                || (requests.isEmpty && (scgi == nil ? !isBetweenRequests : !hasCarried && !isClosing))
            if isPartial, now - since > Int64(server.options.headerTimeout) {
                let message = "SGI0305: web server did not send the variables of a request in time, connection closed"
                server.host.write(.warning, message, requestID: nil)
                fail()
            }
        }
    }

    private var isBetweenRequests: Bool {
        scgi.map { isClosing || $0.isAtStart } ?? fastCGI.isBetweenRecords
    }

    /// The server is to end: an idle connection closes, others when they have answered.
    func drain() {
        monitor.withLock {
            for request in requests { request.noteStop() }
            guard requests.isEmpty, isBetweenRequests, !isReading, !hasOutput, !isWriting, !isRetired, !isDrained
            else { return }
            // Who has just connected to a server that did not yet want to end is about to ask.
            if !hasCarried, System.now - since < Self.firstTime { return }
            if isLocal {
                closeWayIn()
            } else if System.wait(descriptor, for: POLLIN, milliseconds: 0) == 0 {
                isClosing = true
                isInputComplete = true
                closeIfDone()
            }
        }
    }

    /// What the peer writes from now on fails, so that it knows that nothing of it has arrived. What has
    /// arrived is read before the end is. The monitor is held.
    private func closeWayIn() {
        guard isLocal, !isRetired, !isDrained else { return }
        register()
        isDrained = true
        shutdown(descriptor, Int32(truncatingIfNeeded: SHUT_RD))
    }

    /// The server ends now.
    func stop() {
        monitor.withLock {
            for request in requests where request.hasStarted { request.post(.stopped) }
        }
    }

    /// Takes the connection away from whoever still works with it.
    func cut() {
        monitor.withLock {
            fail()
        }
    }
}
