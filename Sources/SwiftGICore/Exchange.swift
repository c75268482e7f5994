package import HTTPTypes

/// One request and its response: what is stored, counted, cut and refused, the same for all
/// gateways.
///
/// It belongs to one thread. Somebody may refer to it after it ended (an ``Input`` that was kept);
/// then it does nothing, and the transport is not called.
package final class Exchange {
    private let transport: any Transport
    /// Whether the request's handler is asynchronous: nothing waits then.
    private let isAsync: Bool

    package static let version = Environ.Version(major: 1, minor: 0)

    /// The gateway's entries that have a textual form.
    package static let textEntries = [
        "swiftgi.version", "swiftgi.url_scheme", "swiftgi.multithread", "swiftgi.multiprocess",
        "swiftgi.run_once", "swiftgi.server", "swiftgi.request_id",
    ]

    /// No buffer is larger, whatever the application asks for.
    private static let largestRead = 65536

    /// `committed`: the transport has the head, and sends it with the first piece.
    private enum Phase { case idle, started, committed, sent, complete }

    private var phase = Phase.idle
    private var head: ResponseHead?
    /// What has to be known of it for each piece.
    private var permitsBody = false
    /// How many bytes the application's Content-Length leaves to be sent.
    private var remaining: Int64?
    private var startCalled = false
    /// Which of the following there are. To look at them each time costs more: a property that is no
    /// plain value is guarded against access by two at once.
    private var has: Rarities = []
    private var inputError: GatewayError?
    private var failure: GatewayError?
    private var lineBuffer: [UInt8] = []
    private var linePosition = 0
    private var errorLine = ""
    private var finishActions: [() -> Void] = []
    private var isFinished = false
    private var isWaitingForOutput = false
    private var isWriterWaiting = false
    /// Told of each use of the request's streams, and whether the request is over then. For the
    /// validator.
    package var onUse: ((_ what: String, _ isFinished: Bool) -> Void)? {
        didSet { has.insert(.observer) }
    }

    /// What most requests don't have.
    private struct Rarities: OptionSet {
        let rawValue: UInt8

        static let inputError = Self(rawValue: 1)
        static let outputError = Self(rawValue: 2)
        static let errorLine = Self(rawValue: 4)
        static let finishActions = Self(rawValue: 8)
        static let observer = Self(rawValue: 16)
    }

    package init(_ transport: any Transport) {
        self.transport = transport
        isAsync = false
    }

    /// For a request whose handler is asynchronous.
    package init(withoutWaiting transport: any AsyncTransport) {
        self.transport = transport
        isAsync = true
    }

    /// Whether output has still to leave: the next piece is to wait for that.
    package var isOutstanding: Bool {
        get { isWaitingForOutput }
        set { isWaitingForOutput = newValue }
    }

    /// Whether output waits for the client although the request's handler is asynchronous: an
    /// application of the gateway contract is what writes, and has no other way to wait.
    package var waitsForClient: Bool {
        get { isWriterWaiting }
        set { isWriterWaiting = newValue }
    }

    /// Why output failed. Behind that nothing is sent: the response would have a hole.
    package private(set) var outputError: GatewayError? {
        get { has.contains(.outputError) ? failure : nil }
        set {
            failure = newValue
            if newValue != nil { has.insert(.outputError) }
        }
    }

    /// Whether nothing works any more.
    package var isOver: Bool { isFinished }

    /// Whether there is a head, sent or not.
    package var isStarted: Bool { phase != .idle }

    /// Whether the head is on its way: nothing can replace it now.
    package var isHeadSent: Bool { phase == .sent || phase == .complete }

    /// The application's Content-Length.
    package var declaredLength: Int64? { head?.contentLength }

    /// Whether the whole response is on its way.
    package var isComplete: Bool { phase == .complete }

    // MARK: Entries

    package func withVariable(_ name: Span<UInt8>, _ body: (Span<UInt8>) -> Void) -> Bool {
        isFinished ? false : transport.withVariable(name, body)
    }

    package func forEachVariable(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        if !isFinished { transport.forEachVariable(body) }
    }

    package func forEachField(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        if !isFinished { transport.forEachField(body) }
    }

    package var isClientGone: Bool { isFinished ? false : transport.isClientGone }

    /// Whether a read or a write found the client gone, whatever the application made of it.
    package var hasLostClient: Bool { inputError?.code == .clientGone || outputError?.code == .clientGone }

    /// Whether the client took nothing for as long as the server waits.
    package var isOutputStalled: Bool { outputError?.code == .timedOut }

    package func log(_ level: LogLevel, _ message: String) {
        transport.log(level, message, isFinished: isFinished)
    }

    /// A message that names no request, from any thread.
    package func logApart(_ level: LogLevel, _ message: String) {
        transport.log(level, message, isFinished: true)
    }

    package var server: ServerTraits { transport.server }

    package func text(_ name: String) -> String? {
        if name.utf8.count > 8, name.hasPrefix("swiftgi."), let entry = entry(name) { return "\(entry)" }
        return variableText(name)
    }

    private func variableText(_ name: String) -> String? { isFinished ? nil : transport.text(of: name) }

    package func entry(_ name: String) -> (any Sendable)? {
        switch name {
        case "swiftgi.version": Exchange.version
        case "swiftgi.url_scheme": text("REQUEST_SCHEME") ?? "http"
        case "swiftgi.multithread": transport.server.multithread
        case "swiftgi.multiprocess": transport.server.multiprocess
        case "swiftgi.run_once": transport.server.runOnce
        case "swiftgi.server": transport.server.mode
        case "swiftgi.request_id": variableText(name)
        default: nil
        }
    }

    /// A copy of all variables, and the gateway's own that have a textual form.
    package func snapshot() -> [String: String] {
        var all: [String: String] = [:]
        forEachVariable { name, value in
            all[String(repairing: name)] = String(repairing: value)
        }
        for name in Self.textEntries { all[name] = text(name) }
        return all
    }

    /// The head of the request as the async contract has it.
    package func makeRequest(_ memory: inout RequestMemory) -> HTTPRequest {
        if isFinished { return HTTPRequest(method: .get, scheme: nil, authority: nil, path: nil) }
        return memory.makeRequest(transport)
    }

    /// The request's header fields, but for those whose names are not HTTP's.
    package var fields: HTTPFields {
        var collector = FieldCollector(takesHost: false)
        if !isFinished { transport.collectFields(&collector) }
        return collector.finish().fields
    }

    package func onFinish(_ action: @escaping () -> Void) {
        guard !isFinished else { return action() }
        finishActions.append(action)
        has.insert(.finishActions)
    }

    // MARK: The head

    package func startResponse(
        _ status: HTTPResponse.Status, _ fields: HTTPFields, _ error: (any Error)?
    ) throws {
        if let error {
            if isHeadSent { throw error }
        } else if startCalled {
            throw GatewayError(.startResponseCalledTwice)
        }
        if isFinished { throw GatewayError(.finished) }
        startCalled = true
        let checked = try ResponseHead(status, fields)
        permitsBody = checked.permitsBody
        head = checked
        phase = .started
    }

    /// Sends the stored head along with what follows, if it is still here.
    private func commit(length known: Int64?) throws(GatewayError) {
        guard phase == .idle || phase == .started else { return }
        guard let head else { throw GatewayError(.startResponseNotCalled) }
        let length = head.contentLength ?? known
        remaining = head.contentLength
        try transport.sendHead(head.status, head.fields, length: permitsBody ? length : nil)
        phase = .committed
    }

    /// From here on the head is on its way.
    private func transmit(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) {
        phase = .sent
        // Behind the end some gateways have no way to the request's log.
        if last { flushErrors() }
        if isAsync && !isWriterWaiting {
            let isLeft = try transport.trySendPiece(bytes, flush: flush, last: last)
            isWaitingForOutput = isLeft
        } else {
            try transport.sendPiece(bytes, flush: flush, last: last)
            if flush { isWaitingForOutput = false }
        }
        if last { phase = .complete }
    }

    /// Sends a stored head by itself.
    package func flushHead() throws(GatewayError) {
        guard phase == .started, outputError == nil, !isFinished else { return }
        do throws(GatewayError) {
            try commit(length: nil)
            try transmit(Span<UInt8>(), flush: true, last: false)
        } catch {
            outputError = error
            throw error
        }
    }

    /// An informational response has its place before the head.
    package func requireHeadUnsent() throws(GatewayError) {
        try requireOpen()
        if isHeadSent { throw GatewayError(.finished, "the head was sent") }
    }

    /// Every further write throws this.
    package func failOutput(_ error: GatewayError) {
        if phase != .complete { outputError = outputError ?? error }
    }

    /// Whether the body's content goes anywhere: not with HEAD, 204 and 304.
    package var omitsBody: Bool {
        guard permitsBody else { return true }
        var isHead = false
        _ = withVariable("REQUEST_METHOD".utf8.span) { isHead = $0.isEqual(to: "HEAD".utf8.span) }
        return isHead
    }

    // MARK: The body

    /// Sends a piece, after the head if that is still here.
    ///
    /// - Parameters:
    ///   - known: The length of the whole body, if it is known.
    ///   - trailers: The fields behind the last piece.
    package func send(
        _ bytes: Span<UInt8>, flush: Bool = false, last: Bool = false, known: Int64? = nil,
        trailers: HTTPFields? = nil
    ) throws(GatewayError) {
        try requireOpen()
        if bytes.isEmpty && !last { return }
        do throws(GatewayError) {
            try commit(length: known)
            if let trailers { try transport.sendTrailers(trailers) }
            try sendPiece(bytes, flush: flush, last: last)
        } catch {
            outputError = error
            throw error
        }
    }

    private func requireOpen() throws(GatewayError) {
        if has.contains(.observer) { onUse?("a write to the response", isFinished) }
        if let outputError { throw outputError }
        if isFinished || phase == .complete { throw GatewayError(.finished) }
    }

    /// Sends what the application's Content-Length leaves room for.
    private func sendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) {
        guard permitsBody else {
            if last { try complete(Span<UInt8>()) }
            return
        }
        guard let limit = remaining, Int64(bytes.count) > limit else {
            remaining = remaining.map { $0 - Int64(bytes.count) }
            if last {
                try complete(bytes)
            } else {
                try transmit(bytes, flush: flush, last: false)
            }
            return
        }
        remaining = 0
        do throws(GatewayError) {
            try complete(bytes.extracting(first: Int(limit)))
        } catch {
            if limit > 0 || error.code != .clientGone { throw error }
            // A client that has had all of the body may be gone.
            phase = .complete
        }
        throw GatewayError(.contentLengthExceeded, "Content-Length is \(declaredLength ?? 0)")
    }

    /// Sends the end of the body, with the bytes before it.
    private func complete(_ bytes: Span<UInt8>) throws(GatewayError) {
        if let remaining, remaining > 0, !omitsBody {
            if !bytes.isEmpty { try transmit(bytes, flush: true, last: false) }
            throw GatewayError(.contentLengthNotReached, "\(remaining) bytes are missing")
        }
        try transmit(bytes, flush: false, last: true)
    }

    /// Sends a part of a file as the whole body.
    package func send(_ file: BodyFile, offset: Int64, length: Int64) throws(GatewayError) {
        try requireOpen()
        do throws(GatewayError) {
            try commit(length: length)
            try sendFile(file, offset: offset, length: length)
        } catch {
            outputError = error
            throw error
        }
    }

    private func sendFile(_ file: BodyFile, offset: Int64, length: Int64) throws(GatewayError) {
        if omitsBody { return try complete(Span<UInt8>()) }
        let declared = remaining ?? length
        let count = min(declared, length)
        if count > 0 {
            phase = .sent
            try transport.sendFile(file, offset: offset, length: count, last: count == declared)
        } else if declared == 0 {
            try transmit(Span<UInt8>(), flush: false, last: true)
        }
        guard count == declared else {
            throw GatewayError(.contentLengthNotReached, "\(declared - count) bytes are missing")
        }
        phase = .complete
    }

    // MARK: Input

    package func read(upTo count: Int) throws(GatewayError) -> [UInt8] {
        if linePosition < lineBuffer.count {
            try requireInput()
            return takeLine(to: linePosition + max(0, min(count, lineBuffer.count - linePosition)))
        }
        return try receive(upTo: min(count, Self.largestRead))
    }

    private func receive(upTo count: Int) throws(GatewayError) -> [UInt8] {
        try unsafe fill(count) { (buffer) throws(GatewayError) in try unsafe transport.receive(into: buffer) } ?? []
    }

    /// The next bytes, none at the end of the body, or `nil` if nothing is there yet.
    package func tryRead(upTo count: Int) throws(GatewayError) -> [UInt8]? {
        guard isAsync, linePosition == lineBuffer.count else { return try read(upTo: count) }
        return try unsafe fill(min(count, Self.largestRead)) { (buffer) throws(GatewayError) in
            try unsafe transport.tryReceive(into: buffer)
        }
    }

    private func fill(
        _ count: Int, _ receive: (UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int?
    ) throws(GatewayError) -> [UInt8]? {
        try requireInput()
        if count <= 0 { return [] }
        var failure: GatewayError?
        var isThere = true
        // `receive` tells how many bytes of the buffer it has written.
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(GatewayError) {
                let received = unsafe try receive(UnsafeMutableRawBufferPointer(buffer))
                isThere = received != nil
                initialized = received ?? 0
            } catch {
                initialized = 0
                failure = error
            }
        }
        if let failure {
            failInput(failure)
            throw failure
        }
        return isThere ? bytes : nil
    }

    /// Every further read throws this.
    package func failInput(_ error: GatewayError) {
        inputError = inputError ?? error
        has.insert(.inputError)
    }

    private func requireInput() throws(GatewayError) {
        if has.contains(.observer) { onUse?("a read of the input", isFinished) }
        if isFinished { throw GatewayError(.finished) }
        if has.contains(.inputError), let inputError { throw inputError }
    }

    package func readLine(upTo limit: Int) throws(GatewayError) -> [UInt8]? {
        try requireInput()
        var searched = linePosition
        while true {
            let window = linePosition + max(0, min(limit, lineBuffer.count - linePosition))
            if searched < window, let end = lineBuffer[searched..<window].firstIndex(of: 0x0A) {
                return takeLine(to: end + 1)
            }
            if lineBuffer.count - linePosition > limit {
                throw GatewayError(.lineTooLong, "more than \(limit) bytes")
            }
            searched = lineBuffer.count
            let more = try receive(upTo: 8192)
            if more.isEmpty {
                return linePosition < lineBuffer.count ? takeLine(to: lineBuffer.count) : nil
            }
            if linePosition > 0 {
                lineBuffer.removeFirst(linePosition)
                searched -= linePosition
                linePosition = 0
            }
            lineBuffer += more
        }
    }

    private func takeLine(to end: Int) -> [UInt8] {
        let line = Array(lineBuffer[linePosition..<end])
        linePosition = end
        if linePosition == lineBuffer.count {
            lineBuffer.removeAll(keepingCapacity: true)
            linePosition = 0
        }
        return line
    }

    package func collect(upTo limit: Int) throws(GatewayError) -> [UInt8] {
        var all: [UInt8] = []
        while true {
            // One byte more than the limit tells a body that fits from one that does not.
            let room = limit < Int.max ? limit - all.count + 1 : 65536
            let more = try read(upTo: max(1, min(65536, room)))
            if more.isEmpty { return all }
            if more.count > limit - all.count {
                throw GatewayError(.bodyTooLarge, "more than \(limit) bytes")
            }
            if all.isEmpty { all = more } else { all += more }
        }
    }

    // MARK: Errors

    package func writeError(_ string: String) {
        if has.contains(.observer) { onUse?("a write to the errors", isFinished) }
        errorLine += string
        var rest = errorLine[...]
        while let end = rest.utf8.firstIndex(of: 0x0A) {
            log(.error, String(rest[..<end]))
            rest = rest[rest.utf8.index(after: end)...]
        }
        if rest.startIndex > errorLine.startIndex { errorLine = String(rest) }
        has.insert(.errorLine)
        if isFinished { flushErrors() }
    }

    package func flushErrors() {
        guard has.contains(.errorLine) else { return }
        has.remove(.errorLine)
        if !errorLine.isEmpty { log(.error, errorLine) }
        errorLine = ""
    }

    // MARK: The end

    /// Runs what waits for the end of the response. Nothing works afterwards.
    package func finish() {
        flushErrors()
        if has.contains(.finishActions) {
            while let action = finishActions.popLast() { action() }
        }
        flushErrors()
        isFinished = true
    }
}

@available(*, unavailable)
extension Exchange: Sendable {}
