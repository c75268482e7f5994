package import HTTPTypes
package import SwiftGICore
import Synchronization

/// One request over a connection.
///
/// What says "guarded" is guarded by the connection's monitor; the rest belongs to the thread that
/// drives the request, or, until the request starts, to the one that reads the connection.
@safe package final class ServerRequest: AsyncTransport, @unchecked Sendable {
    // Sendable: see above.

    let connection: Connection
    /// 0 for SCGI.
    let id: UInt16
    let keepsConnection: Bool
    let role: FastCGI.Role
    var variables = RequestVariables()

    /// What was read and not taken yet. Guarded, as all up to `events`.
    var input: [UInt8] = []
    var inputStart = 0
    /// How many bytes of the body have come.
    var inputTotal: Int64 = 0
    var isInputEnded = false
    var inputError: GatewayError?
    /// Bytes of the body by `CONTENT_LENGTH`.
    var expected: Int64?
    var hasStarted = false
    /// Whether the web server wants nothing of it any more.
    var isAborted = false
    /// Whether the end of the response is on its way: the request's number is free.
    var hasEnded = false
    /// Whether the server counts it among those that it has.
    var isAdmitted = false
    /// What of the connection's output is this request's, up to where.
    var outputMark: Int64 = 0
    /// What waits, for what, and since when.
    private var waiting: AsyncExchange?
    private var interest: WaitEvents = []
    private var waitingSince: Int64 = 0
    /// What has come while nothing waited.
    private var events: WaitEvents = []
    /// What is to be told when the request is resumed.
    private var resumption: (exchange: AsyncExchange, events: WaitEvents)?

    /// The head, and with FastCGI room for a record's header before it, until it is sent.
    private var head: [UInt8] = []
    private var isHeadSent = false
    private lazy var isHead = variables.find("REQUEST_METHOD").map { variables.isEqual($0, "HEAD") } ?? false
    private var startTime: Int64 = 0
    /// The driving thread's.
    private var worker: Worker?
    /// Log lines of any thread need it, so that it is made at the start.
    private(set) var logID = ""

    init(_ connection: Connection, id: UInt16, role: FastCGI.Role, keepsConnection: Bool) {
        self.connection = connection
        self.id = id
        self.role = role
        self.keepsConnection = keepsConnection
    }

    deinit {
        if isAdmitted { connection.server.releaseRequest() }
    }

    private var gateway: GatewayServer { connection.server }

    // MARK: Life

    /// Called with the last of the variables. The monitor is held.
    func prepare() throws(WireError) {
        if id == 0 { try variables.locateHeader() } else { try variables.locatePairs() }
        variables.normalize(gateway.options.rules)
        if id != 0 {
            variables.set("FCGI_ROLE", role.name)
            if role == .authorizer { isInputEnded = true }
        }
        if let length = variables.find("CONTENT_LENGTH") {
            let bytes = variables.bytes
            guard let count = bytes.span.extracting(length).decimal else {
                throw WireError("a CONTENT_LENGTH that is no number")
            }
            expected = role == .filter ? nil : count
        } else if id == 0 {
            expected = 0
        }
        if let expected, let limit = gateway.options.maxBodySize, expected > limit {
            inputError = GatewayError(.bodyTooLarge, "\(expected) bytes")
        }
        if id == 0, expected == 0 { isInputEnded = true }
        if isInputEnded, role != .authorizer, let expected, inputTotal < expected {
            inputError = inputError ?? GatewayError(.malformedBody, "\(expected - inputTotal) bytes are missing")
        }
        checkInput()
        logID = makeID()
        startTime = System.now
        hasStarted = true
    }

    private func makeID() -> String {
        for name: StaticString in ["SWIFTGI_REQUEST_ID", "UNIQUE_ID"] {
            if let value = variables.nonEmpty(name), value.count <= 64 {
                let bytes = variables.bytes
                return ServerHost.printable(Substring(String(repairing: bytes.span.extracting(value))))
            }
        }
        return gateway.makeRequestID()
    }

    /// Serves the request, or begins to, on the calling thread.
    func run(_ worker: Worker) {
        guard isAdmitted else {
            gateway.host.write(.error, "SGI0308: too many requests at a time, refused", requestID: logID)
            answer(.stopped)
            return gateway.requestDone()
        }
        switch gateway.application.entry {
        case .application(let application):
            drive(worker) { finish(Exchange(self).serve(application)) }
        case .handler(let handler):
            let exchange = AsyncExchange(self)
            drive(worker) { proceed(exchange, exchange.start(handler)) }
        }
    }

    /// Goes on with a request that was suspended.
    func resume(_ worker: Worker) {
        guard let (exchange, events) = connection.monitor.withLock({ resumption.take() }) else { return }
        drive(worker) { proceed(exchange, exchange.resume(events)) }
    }

    private func drive(_ worker: Worker, _ body: () -> Void) {
        self.worker = worker
        worker.request = self
        body()
        worker.request = nil
    }

    private func proceed(_ exchange: AsyncExchange, _ progress: AsyncExchange.Progress) {
        // Once it is suspended another thread may have it already.
        if case .finished(let error) = progress { finish(exchange.conclude(error)) }
    }

    /// Says how the request ended to whoever does not know it yet.
    private func finish(_ outcome: Outcome) {
        if !hasEnded {
            if outcome == .clientGone || isHeadSent {
                connection.abort(self)
            } else {
                answer(outcome)
            }
        }
        gateway.requestDone()
    }

    /// An answer of the server's own.
    func answer(_ outcome: Outcome) {
        let status = outcome.answer ?? .internalServerError
        let text = Array("\(status.code) \(status.reasonPhrase)\n".utf8)
        var fields: HTTPFields = [.contentType: "text/plain; charset=utf-8"]
        if outcome == .stopped { fields[.retryAfter] = "1" }
        beginHead(status, fields, length: Int64(text.count))
        do throws(GatewayError) {
            // What can't leave at once waits on the connection, which is not to hold up this thread.
            _ = try transmit(text.span.extracting(first: isHead ? 0 : text.count), last: true, waits: false)
        } catch {
            connection.abort(self)
        }
    }

    // MARK: Variables

    package var server: ServerTraits { gateway.host.traits }

    package func withVariable(_ name: Span<UInt8>, _ body: (Span<UInt8>) -> Void) -> Bool {
        if name.isEqual(to: "swiftgi.request_id") {
            body(logID.utf8.span)
            return true
        }
        guard let value = variables.find(name) else { return false }
        let bytes = variables.bytes
        body(bytes.span.extracting(value))
        return true
    }

    package func forEachVariable(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        variables.forEach(body)
        body("swiftgi.request_id".utf8.span, logID.utf8.span)
    }

    package func forEachField(_ body: (Span<UInt8>, Span<UInt8>) -> Void) { variables.forEachField(body) }

    // MARK: Input

    var buffered: Int { input.count - inputStart }

    /// Takes bytes of the body in. The monitor is held.
    func append(_ bytes: Span<UInt8>) {
        guard !isInputEnded, inputError == nil, !hasEnded else { return }
        inputTotal += Int64(bytes.count)
        input.append(copying: bytes)
        checkInput()
    }

    private func checkInput() {
        if let limit = gateway.options.maxBodySize, inputTotal > limit, inputError == nil {
            fail(GatewayError(.bodyTooLarge, "more than \(limit) bytes"))
        }
        guard let expected else { return }
        if inputTotal > expected {
            fail(GatewayError(.malformedBody, "more bytes than CONTENT_LENGTH"))
        } else if inputTotal == expected, id == 0 {
            isInputEnded = true
        }
    }

    private func fail(_ error: GatewayError) {
        inputError = inputError ?? error
        input = []
        inputStart = 0
    }

    /// The monitor is held.
    func endInput() {
        guard !isInputEnded else { return }
        isInputEnded = true
        if let expected, inputTotal < expected {
            inputError = inputError ?? GatewayError(.malformedBody, "\(expected - inputTotal) bytes are missing")
        }
    }

    /// What of the body there is, 0 at its end, or `nil` if nothing is there yet. The monitor is held.
    func take(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int? {
        if isAborted { throw GatewayError(.clientGone) }
        if buffered > 0 {
            let count = min(buffered, buffer.count)
            // Both have `count` bytes.
            unsafe buffer.copyBytes(from: input[inputStart..<inputStart + count])
            inputStart += count
            if inputStart == input.count {
                input.removeAll(keepingCapacity: true)
                inputStart = 0
            } else if inputStart >= 65536 {
                input.removeFirst(inputStart)
                inputStart = 0
            }
            return count
        }
        if let inputError { throw inputError }
        return isInputEnded ? 0 : nil
    }

    package func receive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int {
        guard let worker else { throw GatewayError(.finished) }
        return try unsafe connection.receive(self, into: buffer, worker)
    }

    package func tryReceive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int? {
        guard let worker else { throw GatewayError(.finished) }
        return try unsafe connection.tryReceive(self, into: buffer, worker)
    }

    package var isClientGone: Bool {
        guard let worker else { return true }
        return connection.isClientGone(self, worker)
    }

    // MARK: Output

    package func sendHead(
        _ status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?
    ) throws(GatewayError) {
        beginHead(status, fields, length: length)
    }

    private func beginHead(_ status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?) {
        head.removeAll(keepingCapacity: true)
        head.reserveCapacity(512)
        if id != 0 { head.append(contentsOf: [0, 0, 0, 0, 0, 0, 0, 0]) }
        head.appendHead(status, fields, length: length)
    }

    package func sendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) {
        let bytes = bytes.extracting(first: isHead ? 0 : bytes.count)
        // Small pieces travel together.
        if !last, !flush, !isHeadSent, head.count + bytes.count < 16384 {
            head.append(copying: bytes)
            return
        }
        _ = try transmit(bytes, last: last, waits: true)
    }

    package func trySendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) -> Bool {
        try transmit(bytes.extracting(first: isHead ? 0 : bytes.count), last: last, waits: false)
    }

    package func sendFile(
        _ file: BodyFile, offset: Int64, length: Int64, last: Bool
    ) throws(GatewayError) {
        // FastCGI has the headers of records between the bytes.
        guard id == 0, length > 0 else { return try sendContent(of: file, offset: offset, length: length, last: last) }
        _ = try transmit(Span<UInt8>(), last: false, waits: true)
        let sent = try connection.sendFile(self, file, offset: offset, length: length, ends: last)
        // Some files can't be sent like that.
        if sent < length { try sendContent(of: file, offset: offset + sent, length: length - sent, last: last) }
    }

    /// Sends what is stored, and a piece.
    ///
    /// - Returns: Whether some of it has still to leave.
    private func transmit(_ bytes: Span<UInt8>, last: Bool, waits: Bool) throws(GatewayError) -> Bool {
        isHeadSent = true
        if id == 0 {
            var first: [UInt8] = []
            swap(&first, &head)
            return try connection.send(self, first.span, bytes, Span<UInt8>(), ends: last, waits: waits)
        }
        let stored = max(0, head.count - FastCGI.headerSize)
        var tail: [UInt8] = []
        if last {
            tail.appendStreamEnd(.stdout, id: id)
            tail.appendEndRequest(id: id, applicationStatus: 0, .requestComplete)
        }
        if stored + bytes.count <= FastCGI.largestContent {
            var first: [UInt8] = []
            if stored + bytes.count > 0 { patchHeader(count: stored + bytes.count) }
            swap(&first, &head)
            return try connection.send(self, first.span, bytes, tail.span, ends: last, waits: waits)
        }
        // The stored bytes by themselves, then the piece in as many records as it takes.
        if stored > 0 {
            var records: [UInt8] = []
            var first: [UInt8] = []
            swap(&first, &head)
            records.appendStream(.stdout, id: id, first.span.extracting(droppingFirst: FastCGI.headerSize))
            _ = try connection.send(self, records.span, Span<UInt8>(), Span<UInt8>(), ends: false, waits: waits)
        }
        var rest = bytes
        var isOutstanding = false
        while !rest.isEmpty {
            let part = rest.extracting(first: FastCGI.largestContent)
            rest = rest.extracting(droppingFirst: part.count)
            var header: [UInt8] = []
            header.appendHeader(.stdout, id: id, count: part.count)
            let isLast = rest.isEmpty
            isOutstanding = try connection.send(
                self, header.span, part, tail.span.extracting(first: isLast ? tail.count : 0), ends: last && isLast,
                waits: waits)
        }
        return isOutstanding
    }

    private func patchHeader(count: Int) {
        if head.count < FastCGI.headerSize { head = [0, 0, 0, 0, 0, 0, 0, 0] }
        head[0] = FastCGI.version
        head[1] = FastCGI.RecordType.stdout.rawValue
        head[2] = UInt8(truncatingIfNeeded: id >> 8)
        head[3] = UInt8(truncatingIfNeeded: id)
        head[4] = UInt8(truncatingIfNeeded: count >> 8)
        head[5] = UInt8(truncatingIfNeeded: count)
    }

    /// CGI has no place for them.
    package func sendInformational(_ status: HTTPResponse.Status, _ fields: HTTPFields) throws(GatewayError) {}

    /// CGI has no place for them.
    package func sendTrailers(_ fields: HTTPFields) throws(GatewayError) {}

    /// CGI has no place for them.
    package func forEachTrailer(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {}

    package func log(_ level: LogLevel, _ message: String, isFinished: Bool) {
        guard gateway.host.isLogged(level) else { return }
        if isFinished { return gateway.host.write(level, message, requestID: nil) }
        // What the web server's administrator has to know is told him, where the protocol can.
        if id != 0, level.rawValue <= LogLevel.warning.rawValue, connection.sendError(self, level, message) { return }
        gateway.host.write(level, message, requestID: logID)
    }

    // MARK: Waiting

    package func makeWaker() -> any Waker { ServerWaker(self) }

    package func wait(for events: WaitEvents, _ exchange: AsyncExchange) -> Waited {
        connection.monitor.withLock {
            var present = self.events
            if events.contains(.readable), buffered > 0 || isInputEnded || inputError != nil {
                present.insert(.readable)
            }
            if events.contains(.writable), connection.hasSent(upTo: outputMark) { present.insert(.writable) }
            if isAborted { present.insert(.gone) }
            if !present.isEmpty {
                self.events = []
                return .attached(present)
            }
            waiting = exchange
            interest = events
            waitingSince = System.now
            return .suspended
        }
    }

    package func poll() -> WaitEvents {
        let isGone = isClientGone
        return connection.monitor.withLock {
            var came = events.intersection([.stopping, .gone, .expired, .stopped])
            events.subtract(came)
            if isGone { came.insert(.gone) }
            if isExpired(System.now) { came.insert(.expired) }
            return came
        }
    }

    private func isExpired(_ now: Int64) -> Bool {
        let timeout = gateway.options.requestTimeout
        return timeout > 0 && now - startTime > Int64(timeout)
    }

    /// Tells what has come. The monitor is held.
    func post(_ event: WaitEvents) {
        let matters = event.intersection(interest.union([.woken, .stopping, .stalled, .gone, .expired, .stopped]))
        if event == .readable || event == .writable {
            // Whoever waits for these later sees for himself.
            if waiting == nil || matters.isEmpty { return }
        }
        guard let exchange = waiting else { return events.formUnion(event) }
        waiting = nil
        resumption = (exchange, events.union(matters))
        events = []
        gateway.enqueue(.resume(self))
    }

    /// Looks at the clock. The monitor is held.
    func checkTime(_ now: Int64) {
        guard waiting != nil else { return }
        if isExpired(now) {
            post(.expired)
        } else if !interest.isDisjoint(with: [.readable, .writable]),
            now - waitingSince > Int64(gateway.options.ioTimeout)
        {
            post(.stalled)
        }
    }
}

/// Brings a request back to the pool.
private final class ServerWaker: Waker {
    private let request: ServerRequest

    init(_ request: ServerRequest) { self.request = request }

    func wake() { request.connection.monitor.withLock { request.post(.woken) } }
}
