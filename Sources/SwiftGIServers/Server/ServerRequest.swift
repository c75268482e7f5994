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
    /// As they came; nothing is changed once the request has started.
    private var variables = RequestVariables()
    /// What the application sees; mod_swiftgi's variables are what others' are made to be like. An
    /// application that asks for none does without. It is the driving thread's.
    private lazy var normalized: RequestVariables = {
        var normalized = variables
        if !isExtended { normalized.normalize(gateway.options.rules) }
        if id != 0, !isExtended { normalized.set("FCGI_ROLE", role.name) }
        return normalized
    }()

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
    /// Whether it waits for more of its body before it gets a thread, and when some came last.
    private(set) var isHeld = false
    private var lastInput: Int64 = 0
    /// Whether it had to wait for what has not come together with its variables.
    private(set) var wasHeld = false
    /// Whether it is counted among those that have a thread.
    private var hasPlace = false
    /// Whether the web server wants nothing of it any more.
    var isAborted = false
    /// Whether the end of the response is on its way: the request's number is free.
    var hasEnded = false
    /// Whether the server counts it among those that it has.
    var isAdmitted = false
    /// What of the connection's output is this request's, up to where.
    var outputMark: Int64 = 0
    /// The fields behind the body, a line each.
    private var trailers: [UInt8] = []
    /// Whether the module was asked for a body that its client holds back, or need not be.
    private var hasAskedForInput = false
    private var hasHeardOfStop = false
    /// What waits, for what, and since when.
    private var waiting: AsyncExchange?
    private var interest = WaitEvents(rawValue: 0)
    private var waitingSince: Int64 = 0
    /// What has come while nothing waited.
    private var events = WaitEvents(rawValue: 0)
    /// What is to be told when the request is resumed.
    private var resumption: (exchange: AsyncExchange, events: WaitEvents)?

    /// The head, and with FastCGI room for a record's header before it, until it is sent.
    private var head: [UInt8] = []
    private var isHeadSent = false
    /// How much the head leaves to be sent of the body, to a web server other than mod_swiftgi; `nil` if it
    /// does not say.
    private var bodyLeft: Int64?
    /// Whether pieces of the body are behind the stored head.
    private var hasStoredPieces = false
    /// The fields to follow the body, a line each.
    private var ownTrailers: [UInt8] = []
    private lazy var isHead = variables.isHead
    private var startTime: Int64 = 0
    /// The driving thread's.
    private var worker: Worker?
    /// What mod_swiftgi has said; `nil`: the web server is another, and gets plain FastCGI or SCGI.
    private var extensions: RequestVariables.Extensions?
    /// What the web server calls the request, and if it has no name for it, its number here.
    private var givenID: Range<Int>?
    private var number: UInt64 = 0

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

    /// Takes bytes of the variables in, before it has started. The monitor is held.
    func appendHeader(_ bytes: Span<UInt8>) throws(WireError) {
        let limit = gateway.options.maxHeaderSize
        if bytes.count > limit - variables.bytes.count { throw WireError("variables of more than \(limit) bytes") }
        variables.append(bytes)
    }

    /// Called with the last of the variables. The monitor is held.
    func prepare() throws(WireError) {
        // One use of the property for all.
        var variables = RequestVariables()
        swap(&variables, &self.variables)
        defer { swap(&variables, &self.variables) }
        if id == 0 { try variables.locateHeader() } else { try variables.locatePairs() }
        if id != 0, role == .responder { extensions = variables.takeExtensions() }
        // The module says when the body ends, which a filter in httpd may have made longer or shorter.
        if !isExtended {
            if id != 0, role == .authorizer { isInputEnded = true }
            variables.normalizeLength(gateway.options.rules)
            let length = try variables.contentLength
            expected = length ?? (id == 0 ? 0 : nil)
            if role == .filter {
                let both = try variables.dataLength.map { (length ?? 0).addingReportingOverflow($0) }
                expected = both.map { $0.overflow ? .max : $0.partialValue }
            }
        }
        if let expected, let limit = gateway.options.maxBodySize, expected > limit {
            inputError = GatewayError(.bodyTooLarge, "\(expected) bytes")
        }
        if id == 0, expected == 0 { isInputEnded = true }
        if isInputEnded, role != .authorizer, let expected, inputTotal < expected {
            inputError = inputError ?? GatewayError(.malformedBody, "\(expected - inputTotal) bytes are missing")
        }
        checkInput()
        givenID = extensions?.requestID ?? variables.requestID
        if givenID == nil { number = gateway.nextRequestNumber() }
        startTime = System.now
        hasStarted = true
    }

    /// The request's name in logs, for any thread; mostly nobody asks for it.
    var logID: String { givenID.map(variables.printable) ?? gateway.requestID(number) }

    /// Before the answer's last byte leaves: whoever dies behind it did not die of this request.
    func noteEnd() { worker?.requestEnded() }

    /// Calls `body` with the bytes of the name, as the web server has given it.
    func withLogID(_ body: (Span<UInt8>) -> Void) {
        guard let givenID else { return body(gateway.requestID(number).utf8.span) }
        let bytes = variables.bytes
        body(bytes.span.extracting(givenID))
    }

    /// Whether the web server is mod_swiftgi, and speaks what it has beside FastCGI.
    var isExtended: Bool { extensions != nil }

    /// Serves the request, or begins to, on the calling thread.
    func run(_ worker: Worker) {
        defer { givePlace() }
        guard isAdmitted else {
            gateway.host.write(.error, "SGI0308: too many requests at a time, refused", requestID: logID)
            answer(.stopped)
            return gateway.requestDone()
        }
        if connection.monitor.withLock({ isAborted }) {
            // It has waited for longer than its web server did: the application never hears of it.
            connection.abort(self)
            return gateway.requestDone()
        }
        switch gateway.application.entry {
        case .application(let application):
            drive(worker) { finish(Exchange(self).serve(application)) }
        case .handler(let handler):
            let exchange = AsyncExchange(self, handler, pool: .shared)
            drive(worker) { proceed(exchange, exchange.start()) }
        }
    }

    /// Goes on with a request that was suspended.
    func resume(_ worker: Worker) {
        guard let (exchange, events) = connection.monitor.withLock({ resumption.take() }) else { return }
        drive(worker) { proceed(exchange, exchange.resume(events)) }
    }

    private func drive(_ worker: Worker, _ body: () -> Void) {
        self.worker = worker
        worker.serve(self, body)
    }

    private func proceed(_ exchange: AsyncExchange, _ progress: AsyncExchange.Progress) {
        // Once it is suspended another thread may have it already.
        if case .finished(let error) = progress { finish(exchange.conclude(error)) }
    }

    /// Says how the request ended to whoever does not know it yet.
    private func finish(_ outcome: Outcome) {
        if !hasEnded {
            if isExtended {
                flushStored()
                connection.end(self, outcome)
            } else if outcome == .clientGone || isHeadSent {
                connection.abort(self)
            } else {
                answer(outcome)
            }
        }
        gateway.requestDone()
    }

    /// Sends what is stored of a response that does not go on: who got it elsewhere is to get it here.
    private func flushStored() {
        guard hasStoredPieces, !isHeadSent else { return }
        do throws(GatewayError) { _ = try transmit(Span<UInt8>(), last: false, waits: false) } catch {}
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
        return normalized.withValue(of: name, body)
    }

    package func forEachVariable(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        normalized.forEach(body)
        body("swiftgi.request_id".utf8.span, logID.utf8.span)
    }

    package func forEachField(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        normalized.forEachField(body)
        guard let fields = extensions?.fields else { return }
        let bytes = normalized.bytes
        bytes.span.extracting(fields).forEachFieldLine(body)
    }

    // MARK: Input

    var buffered: Int { input.count - inputStart }

    /// A request that has as much of its body is worth a thread.
    private static let enoughInput = 65536
    /// Milliseconds after which one is of whose body nothing more comes.
    private static let heldTime: Int64 = 5000

    private var isOfGatewayContract: Bool {
        if case .application = gateway.application.entry { true } else { false }
    }

    /// Has a request that would only keep its thread waiting for a slow client go without one for now. The
    /// monitor is held.
    ///
    /// - Returns: `false` if it is none of those. A client that has to be asked for its body never sends it
    ///   unasked.
    func hold() -> Bool {
        guard isOfGatewayContract, role == .responder, isAdmitted, !isInputComplete,
            !(isExtended && variables.find("HTTP_EXPECT") != nil)
        else { return false }
        isHeld = true
        lastInput = System.now
        return true
    }

    private var isInputComplete: Bool { isInputEnded || isAborted || inputError != nil }

    /// Whether it is held no longer. The monitor is held.
    ///
    /// - Parameter always: Whether others wait for what it holds up.
    func letGo(always: Bool = false) -> Bool {
        guard isHeld else { return false }
        let isWorthIt = buffered >= Self.enoughInput || System.now - lastInput >= Self.heldTime
        if always || isInputComplete || gateway.hasRoom || (isWorthIt && gateway.hasReserve) {
            isHeld = false
            return true
        }
        wasHeld = true
        return false
    }

    /// A thread will have it, or had it. The monitor is held, or the thread has it.
    func takePlace() {
        guard isOfGatewayContract, !hasPlace else { return }
        hasPlace = true
        gateway.takePlace()
    }

    func givePlace() {
        guard hasPlace else { return }
        hasPlace = false
        gateway.givePlace()
    }

    /// Takes bytes of the body in. The monitor is held.
    func append(_ bytes: Span<UInt8>) {
        guard !isInputEnded, inputError == nil, !hasEnded else { return }
        if isHeld { lastInput = System.now }
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

    /// Takes what mod_swiftgi says of the request in a record of its own. The monitor is held.
    func take(_ type: FastCGI.ExtensionType, _ content: [UInt8]) {
        switch type {
        case .trailers:
            if !isInputEnded { trailers = content }
        case .inputFailed:
            guard !isInputEnded else { break }
            isInputEnded = true
            inputError = inputError ?? Self.inputError(content.first)
            post(.readable)
        case .stopping: noteStop()
        case .cancelled: cancel(content.first)
        case .file, .inputWanted: break
        }
    }

    /// Ends the request for a reason of mod_swiftgi's, a `swiftgi_status`.
    private func cancel(_ status: UInt8?) {
        guard hasStarted else { return }
        switch status {
        case 6: post(.stalled)
        case 10: post(.expired)
        case 11: post(.stopped)
        default: break
        }
    }

    /// What reads throw behind what has come; the number is a `swiftgi_status`.
    private static func inputError(_ status: UInt8?) -> GatewayError {
        switch status {
        case 4: GatewayError(.bodyTooLarge)
        case 5: GatewayError(.malformedBody)
        case 6: GatewayError(.timedOut)
        default: GatewayError(.input, "the server reports status \(status ?? 0)")
        }
    }

    /// Tells the application, once, that the server wants to end. The monitor is held.
    func noteStop() {
        guard hasStarted, !hasHeardOfStop else { return }
        hasHeardOfStop = true
        post(.stopping)
    }

    /// Whether mod_swiftgi has to be told that the body is wanted, which it is once: it waits for that
    /// before it asks its client for a body that is held back (RFC 9110, section 10.1.1). The monitor
    /// is held.
    func hasToAskForInput() -> Bool {
        guard isExtended, !hasAskedForInput, !isInputEnded, !hasEnded else { return false }
        hasAskedForInput = true
        return variables.find("HTTP_EXPECT") != nil
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
        if !isExtended { bodyLeft = length ?? fields[.contentLength].flatMap { Int64($0) } }
        beginHead(status, fields, length: length)
    }

    private func beginHead(_ status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?) {
        // Small bodies go along, and the records at the end.
        head = [UInt8](head: status, fields, length: length, room: id == 0 ? 0 : FastCGI.headerSize, spare: 256)
    }

    private func noteBody(_ count: Int64) {
        if let left = bodyLeft { bodyLeft = max(0, left - count) }
    }

    /// The place of a record's header.
    private static let noHeader = [UInt8](repeating: 0, count: FastCGI.headerSize)

    package func sendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) {
        noteBody(Int64(bytes.count))
        let bytes = bytes.extracting(first: isHead ? 0 : bytes.count)
        // Small pieces travel together.
        if !last, !flush, !isHeadSent, head.count + bytes.count < 16384 {
            head.append(copying: bytes)
            hasStoredPieces = true
            return
        }
        _ = try transmit(bytes, last: last, waits: true)
    }

    /// A part of a file: mod_swiftgi gets the descriptor, unless it is too little to be worth that. With SCGI
    /// the system sends it; plain FastCGI has the headers of records between the bytes.
    package func sendFile(_ file: BodyFile, offset: Int64, length: Int64, last: Bool) throws(GatewayError) {
        if id == 0, length > 0 {
            _ = try transmit(Span<UInt8>(), last: false, waits: true)
            let sent = try connection.sendFile(self, file, offset: offset, length: length, ends: last)
            // Some files can't be sent like that.
            if sent == length { return }
            return try sendContent(of: file, offset: offset + sent, length: length - sent, last: last)
        }
        guard isExtended, connection.isLocal, length > 16384 else {
            return try sendContent(of: file, offset: offset, length: length, last: last)
        }
        if !isHeadSent { _ = try transmit(Span<UInt8>(), last: false, waits: true) }
        var record: [UInt8] = []
        record.appendFile(id: id, offset: offset, length: length)
        if last { appendEnd(to: &record) }
        _ = try connection.send(
            self, record.span, Span<UInt8>(), Span<UInt8>(), ends: last, waits: true, passing: file.descriptor)
    }

    package func trySendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) -> Bool {
        noteBody(Int64(bytes.count))
        return try transmit(bytes.extracting(first: isHead ? 0 : bytes.count), last: last, waits: false)
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
        // What is left of a response that is complete waits on the connection, not on a thread.
        let waits = waits && !(last && bytes.count <= Self.leftover)
        if last, stored + bytes.count <= 8192 {
            // What is small is one piece.
            var first = takeHead(count: stored + bytes.count)
            first.append(copying: bytes)
            appendEnd(to: &first)
            return try connection.send(self, first.span, Span<UInt8>(), Span<UInt8>(), ends: true, waits: waits)
        }
        var tail: [UInt8] = []
        if last { appendEnd(to: &tail) }
        if stored + bytes.count <= FastCGI.largestContent {
            let first = takeHead(count: stored + bytes.count)
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
            let waits = waits && !(last && rest.count <= Self.leftover)
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

    /// How many bytes may wait for the peer when nobody waits for them.
    private static let leftover = 131_072

    private func appendEnd(to bytes: inout [UInt8]) {
        if !ownTrailers.isEmpty {
            bytes.appendHeader(.trailers, id: id, count: ownTrailers.count)
            bytes += ownTrailers
        }
        bytes.appendStreamEnd(.stdout, id: id)
        bytes.appendEndRequest(id: id, applicationStatus: 0, .requestComplete)
    }

    /// What is stored, with the header of a record of so many bytes before it, if there are any.
    private func takeHead(count: Int) -> [UInt8] {
        var head: [UInt8] = []
        swap(&head, &self.head)
        if count == 0 { return head }
        if head.count < FastCGI.headerSize { head = Self.noHeader }
        head[0] = FastCGI.version
        head[1] = FastCGI.RecordType.stdout.rawValue
        head[2] = UInt8(truncatingIfNeeded: id >> 8)
        head[3] = UInt8(truncatingIfNeeded: id)
        head[4] = UInt8(truncatingIfNeeded: count >> 8)
        head[5] = UInt8(truncatingIfNeeded: count)
        return head
    }

    /// For mod_swiftgi; CGI has no place for them.
    package func sendInformational(_ status: HTTPResponse.Status, _ fields: HTTPFields) throws(GatewayError) {
        guard isExtended else { return }
        let text = [UInt8](head: status, fields, length: nil)
        var records: [UInt8] = []
        records.appendStream(.stdout, id: id, text.span)
        _ = try connection.send(self, records.span, Span<UInt8>(), Span<UInt8>(), ends: false, waits: false)
    }

    /// For mod_swiftgi; CGI has no place for them.
    package func sendTrailers(_ fields: HTTPFields) throws(GatewayError) {
        guard isExtended else { return }
        ownTrailers = []
        for field in fields { ownTrailers.append(field) }
        if ownTrailers.count > FastCGI.largestContent {
            throw GatewayError(.invalidField, "trailers of more than \(FastCGI.largestContent) bytes")
        }
    }

    /// From mod_swiftgi; CGI has no place for them.
    package func forEachTrailer(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        let trailers = connection.monitor.withLock { isInputEnded && buffered == 0 ? self.trailers : [] }
        trailers.span.forEachFieldLine(body)
    }

    package func log(_ level: LogLevel, _ message: String, isFinished: Bool) {
        guard gateway.host.isLogged(level) else { return }
        if isFinished { return gateway.host.write(level, message, requestID: nil) }
        // What the web server's administrator has to know is told him, where the protocol can. mod_swiftgi
        // logs by level, as if the application were in httpd.
        // Others may have left as soon as they have the whole body.
        if id != 0, isExtended || (level.rawValue <= LogLevel.warning.rawValue && bodyLeft != 0),
            connection.sendError(self, level, message)
        {
            return
        }
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
            if events.contains(.readable) { connection.askForInput(self) }
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
        // Whoever waits for these later sees for himself.
        let isOfConnection = event == .readable || event == .writable
        guard let exchange = waiting else {
            if !isOfConnection { events.formUnion(event) }
            return
        }
        let matters = event.intersection(interest.union(.unasked))
        if isOfConnection, matters.isEmpty { return }
        waiting = nil
        resumption = (exchange, events.union(matters))
        events = []
        gateway.enqueue(.resume(self))
    }

    /// Some of the output has left. The monitor is held.
    func noteProgress(_ now: Int64) {
        if interest.contains(.writable) { waitingSince = now }
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
