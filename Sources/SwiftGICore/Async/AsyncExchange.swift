import Glibc
import HTTPTypes
import Synchronization

/// One request whose handler is asynchronous: drives its executor, and lets whoever holds the
/// request's reader or writer at the ``Exchange`` that is the request.
///
/// The server calls ``start(_:)`` and, each time the request was suspended, ``resume(_:)``; in
/// between nothing of the request's is touched. Everything but the executor is used by the thread
/// that drives it and by no other: what comes from elsewhere is moved there first.
package final class AsyncExchange: @unchecked Sendable {
    // Sendable: see above; `perform` is the one way in.

    /// How far a request has come.
    package enum Progress {
        /// It waits. ``resume(_:)`` goes on with it.
        case suspended
        /// It is over, with this error or none.
        case finished((any Error)?)
    }

    private enum Side { case reader, writer, stop }

    private final class Waiter: Sendable {
        let side: Side
        let isCancelled = Atomic(false)
        let continuation = Mutex<CheckedContinuation<Void, any Error>?>(nil)

        init(_ side: Side) { self.side = side }

        func resume(_ error: (any Error)? = nil) {
            guard let continuation = continuation.withLock({ $0.take() }) else { return }
            if let error { continuation.resume(throwing: error) } else { continuation.resume() }
        }
    }

    /// What is written at a time: less than what makes httpd wait for a slow client.
    package static let pieceSize = 32768

    /// How many jobs run before the driving thread looks around: a handler that yields without end
    /// must not miss its cancellation.
    private static let jobLimit = 256

    /// How often a handler that was cancelled and goes on has that many jobs run.
    private static let roundsAfterCancellation = 16

    /// For how many milliseconds a handler that was cancelled may have nothing to do and not end.
    private static let patienceAfterCancellation = 30

    private let task: HandlerTask
    private let pool: TaskPool?
    private let handler: any RequestHandler
    /// What was made of the environ before.
    private let changes: Environ.Changes?
    private let transport: any AsyncTransport
    private let exchange: Exchange
    private var isHandled = false
    /// What the handler has thrown.
    private var failure: (any Error)?
    /// Tasks that wait for input, for output to leave, for the server to end. There may be several
    /// of each: whoever comes too late looks again and waits anew.
    private var waiters: [Waiter] = []
    private var hasWaiters = false
    private var isServerStopping = false
    /// Why the request ended before its handler did.
    private var cause: GatewayError?
    private var isTerminated = false

    /// - Parameter pool: Where the handler gets the task from in which it runs, and leaves it for another
    ///   request. Without one it runs in a new task, which inherits the calling task's context.
    package init(
        _ transport: any AsyncTransport, _ handler: any RequestHandler, changes: Environ.Changes? = nil,
        pool: TaskPool? = nil
    ) {
        self.transport = transport
        self.handler = handler
        self.changes = changes
        self.pool = pool
        exchange = Exchange(withoutWaiting: transport)
        task = HandlerTask.take(from: pool)
    }

    private var executor: RequestExecutor { task.executor }

    // MARK: Driving

    /// Begins to serve the request, on the calling thread.
    package func start() -> Progress {
        task.begin(self)
        return drive()
    }

    /// Runs the handler, in its task.
    func handle() async {
        do {
            try await handler.handle(
                request: exchange.makeRequest(&task.memory), requestContext: RequestContext(self, changes: changes),
                reader: RequestReader(self), responseSender: ResponseSender(self))
        } catch {
            failure = error
        }
        isHandled = true
    }

    /// Serves the request to its end, over a transport that never suspends.
    package func serve() -> Outcome {
        var progress = start()
        while true {
            switch progress {
            case .suspended: progress = resume(.stopped)
            case .finished(let error): return conclude(error)
            }
        }
    }

    /// Goes on with a suspended request, on the calling thread.
    package func resume(_ events: WaitEvents) -> Progress {
        executor.attach()
        handle(events)
        return drive()
    }

    private func drive() -> Progress {
        var rounds = 0
        var patience = Self.patienceAfterCancellation
        while true {
            let isIdle = executor.drain(limit: Self.jobLimit)
            if executor.takePoke() { resumeCancelledWaiters() }
            if isHandled { return end() }
            guard isIdle else {
                if !isTerminated {
                    handle(transport.poll())
                } else if rounds < Self.roundsAfterCancellation {
                    rounds += 1
                } else {
                    return end()
                }
                continue
            }
            if isTerminated, !executor.hasJobs {
                // What it waited for may have come at the same time, on a thread that has not said so yet.
                guard patience > 0 else { return end() }
                patience -= 1
                usleep(1000)
                continue
            }
            // Whoever waits has said all that he had to say: the client may see the head.
            sendHeadBeforeWaiting()
            guard executor.park({ transport.makeWaker() }) else { continue }
            switch transport.wait(for: interest, self) {
            case .suspended: return .suspended
            case .attached(let events):
                executor.attach()
                handle(events)
            }
        }
    }

    private var interest: WaitEvents {
        var events: WaitEvents = []
        for waiter in waiters {
            switch waiter.side {
            case .reader: events.insert(.readable)
            case .writer: events.insert(.writable)
            case .stop: break
            }
        }
        if exchange.isOutstanding { events.insert(.writable) }
        return events
    }

    private func handle(_ events: WaitEvents) {
        if events.contains(.writable) {
            exchange.isOutstanding = false
            resume(.writer)
        }
        if events.contains(.readable) { resume(.reader) }
        if events.contains(.stalled) {
            let error = GatewayError(.timedOut)
            if exchange.isOutstanding {
                exchange.failOutput(error)
                exchange.isOutstanding = false
            }
            if waiters.contains(where: { $0.side == .reader }) { exchange.failInput(error) }
            resume(.writer, error)
            resume(.reader, error)
        }
        if events.contains(.stopping) {
            isServerStopping = true
            resume(.stop)
        }
        if !events.isDisjoint(with: .terminal) { terminate(events) }
    }

    /// Ends the request whatever its handler does: its I/O throws from now on.
    private func terminate(_ events: WaitEvents) {
        let error =
            if events.contains(.gone) {
                GatewayError(.clientGone)
            } else if events.contains(.expired) {
                GatewayError(.deadlineExceeded)
            } else {
                GatewayError(.serverStopped)
            }
        cause = error
        isTerminated = true
        exchange.failInput(error)
        exchange.failOutput(error)
        // Whoever writes is to get the error at once.
        exchange.isOutstanding = false
        task.cancel()
        resumeAll(error)
    }

    private func resumeAll(_ error: GatewayError) { resume(error) { _ in true } }

    private func resume(_ side: Side, _ error: GatewayError? = nil) { resume(error) { $0.side == side } }

    private func resumeCancelledWaiters() {
        for waiter in take(where: { $0.isCancelled.load(ordering: .acquiring) }) { waiter.resume(CancellationError()) }
    }

    private func resume(_ error: GatewayError?, where isMeant: (Waiter) -> Bool) {
        if !hasWaiters { return }
        for waiter in take(where: isMeant) { waiter.resume(error) }
    }

    private func take(where isMeant: (Waiter) -> Bool) -> [Waiter] {
        let all = waiters
        let others = all.filter { !isMeant($0) }
        waiters = others
        hasWaiters = !others.isEmpty
        return all.filter(isMeant)
    }

    private func sendHeadBeforeWaiting() {
        do throws(GatewayError) { try exchange.flushHead() } catch {}
    }

    private func end() -> Progress {
        // A client that has got all of its response may go while the handler tidies up.
        if !isHandled, !exchange.isComplete {
            exchange.log(.warning, "SGI0215: handler goes on after its request was cancelled")
        }
        // An error of the output that the handler has swallowed is one all the same.
        let error =
            cause ?? failure ?? exchange.outputError ?? (exchange.isComplete ? nil : GatewayError(.responseNotFinished))
        return .finished(error)
    }

    /// Ends it all; nothing of the request works afterwards.
    package func conclude(_ error: (any Error)?) -> Outcome {
        let outcome = exchange.conclude(error)
        resumeAll(GatewayError(.finished))
        task.leave(to: pool)
        return outcome
    }

    /// Ends it all for somebody who does not want to know how it ended.
    func abandon() {
        exchange.finish()
        resumeAll(GatewayError(.finished))
        task.leave(to: pool)
    }

    // MARK: From the handler's side

    /// Runs a closure on the thread that drives the request.
    ///
    /// The handler's own task and its child tasks are there already, and call it at once.
    func perform<Value: Sendable>(_ body: @Sendable (Exchange) throws -> Value) async throws -> Value {
        if executor.isCurrent { return try body(exchange) }
        return try await performThere(body)
    }

    @concurrent
    private func performThere<Value: Sendable>(_ body: @Sendable (Exchange) throws -> Value) async throws -> Value {
        try await withTaskExecutorPreference(executor) { try body(exchange) }
    }

    /// Suspends the calling task until its side can go on, or might.
    private func wait(_ side: Side) async throws {
        if executor.isCurrent { return try await waitHere(side) }
        try await waitThere(side)
    }

    @concurrent
    private func waitThere(_ side: Side) async throws {
        try await withTaskExecutorPreference(executor) { try await waitHere(side) }
    }

    private func waitHere(_ side: Side) async throws {
        let waiter = Waiter(side)
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                register(waiter, continuation)
            }
        } onCancel: {
            waiter.isCancelled.store(true, ordering: .releasing)
            executor.poke()
        }
    }

    private func register(_ waiter: Waiter, _ continuation: CheckedContinuation<Void, any Error>) {
        // Somebody started a task on the driving thread that does not belong there: it tries again.
        guard executor.isCurrent else { return continuation.resume() }
        if let cause { return continuation.resume(throwing: cause) }
        if exchange.isOver { return continuation.resume(throwing: GatewayError(.finished)) }
        if waiter.isCancelled.load(ordering: .acquiring) { return continuation.resume(throwing: CancellationError()) }
        waiter.continuation.withLock { $0 = continuation }
        waiters.append(waiter)
        hasWaiters = true
    }

    // What follows comes in pairs: the first does it at once, if the calling task is on the driving
    // thread and nothing has to be waited for, and costs a call; the second does it in any case.

    // MARK: Input

    /// The next bytes of the body, none at its end, or `nil` if that takes ``read(upTo:)``.
    func readNow(upTo count: Int) throws -> [UInt8]? {
        executor.isCurrent ? try exchange.tryRead(upTo: count) : nil
    }

    /// The next bytes of the body; none at its end.
    func read(upTo count: Int) async throws -> [UInt8] {
        while true {
            if let bytes = try await perform({ try $0.tryRead(upTo: count) }) { return bytes }
            try await wait(.reader)
        }
    }

    func trailers() async throws -> HTTPFields {
        try await perform { [self] exchange in
            var collector = FieldCollector(takesHost: false)
            if !exchange.isOver { transport.forEachTrailer { collector.append($0, $1) } }
            return collector.finish().fields
        }
    }

    // MARK: Output

    func sendInformational(_ response: HTTPResponse) async throws {
        try await perform { [self] exchange in
            try exchange.requireHeadUnsent()
            let head = try ResponseHead(informational: response.status, response.headerFields)
            try transport.sendInformational(head.status, head.fields)
        }
    }

    func sendHead(_ response: HTTPResponse) async throws {
        try await perform { try $0.startResponse(response.status, response.headerFields, nil) }
    }

    /// Sends a piece. `false`: that takes ``write(_:count:known:)``.
    func writeNow(_ bytes: [UInt8]) throws -> Bool {
        guard executor.isCurrent, bytes.count <= Self.pieceSize, !exchange.isOutstanding else { return false }
        try exchange.send(bytes.span, flush: true)
        return true
    }

    /// Sends pieces.
    ///
    /// - Parameters:
    ///   - count: How many of the bytes; `nil` for all.
    ///   - known: The length of the whole body, if it is known.
    func write(_ bytes: [UInt8], count: Int? = nil, known: Int64? = nil) async throws {
        let count = count ?? bytes.count
        var offset = 0
        while offset < count {
            let end = min(count, offset + Self.pieceSize)
            let range = offset..<end
            let isTaken = try await perform { exchange in
                if exchange.isOutstanding { return false }
                try exchange.send(bytes.span.extracting(range), flush: true, known: known)
                return true
            }
            if isTaken { offset = end } else { try await wait(.writer) }
        }
    }

    /// Sends a whole response. `false`: that takes ``respond(_:_:trailers:)``.
    func respondNow(_ response: HTTPResponse, _ body: [UInt8], trailers: HTTPFields?) throws -> Bool {
        guard executor.isCurrent, body.count <= Self.pieceSize, !exchange.isOutstanding else { return false }
        try exchange.startResponse(response.status, response.headerFields, nil)
        try end(exchange, body.span, trailers, known: Int64(body.count))
        return true
    }

    /// Sends a whole response.
    func respond(_ response: HTTPResponse, _ body: [UInt8], trailers: HTTPFields?) async throws {
        try await sendHead(response)
        try await finish(body, trailers: trailers, known: Int64(body.count))
    }

    /// Sends the last bytes of the body, and with them its end.
    func finish(_ bytes: [UInt8], trailers: HTTPFields?, known: Int64? = nil) async throws {
        let rest = max(0, bytes.count - Self.pieceSize)
        if rest > 0 { try await write(bytes, count: rest, known: known) }
        while true {
            let isTaken = try await perform { [self] exchange in
                if exchange.isOutstanding { return false }
                try end(exchange, bytes.span.extracting(rest..<bytes.count), trailers, known: known)
                return true
            }
            if isTaken { return }
            try await wait(.writer)
        }
    }

    /// Sends a whole response in the place of one of which nothing was sent, because of an error.
    ///
    /// - Throws: The error, if it is too late.
    func respond(_ response: HTTPResponse, _ body: [UInt8], insteadBecauseOf error: any Error) async throws {
        try await perform { exchange in
            // What the handler wrote and what came of it belong together.
            if let outputError = exchange.outputError { throw outputError }
            try exchange.startResponse(response.status, response.headerFields, error)
        }
        try await finish(body, trailers: nil, known: Int64(body.count))
    }

    private func end(_ exchange: Exchange, _ bytes: Span<UInt8>, _ trailers: HTTPFields?, known: Int64?) throws {
        try exchange.send(bytes, last: true, known: known, trailers: trailers.map(ResponseHead.checkTrailers))
    }

    // MARK: The server

    var isStopping: Bool {
        get async { (try? await perform { [self] _ in isServerStopping }) ?? true }
    }

    /// Returns when the server wants to end.
    func waitUntilStopping() async throws {
        while try await !perform({ [self] _ in isServerStopping }) { try await wait(.stop) }
    }

    func snapshot() async throws -> [String: String] {
        try await perform { exchange in
            if exchange.isOver { throw GatewayError(.finished) }
            return exchange.snapshot()
        }
    }

    func variable(_ name: String) async -> String? {
        try? await perform { $0.text(name) }
    }

    /// A message to the error log, from any thread.
    func log(_ level: LogLevel, _ message: String) {
        if executor.isCurrent {
            exchange.log(level, message)
        } else {
            transport.log(level, message, isFinished: true)
        }
    }
}
