import Glibc
import HTTPTypes
import SwiftGICore
import Synchronization
import Testing

/// How a request waits.
enum WaitMode: CaseIterable, CustomTestStringConvertible {
    /// On its thread.
    case attached
    /// Aside: each time it comes back on another thread, maybe before the last one is out of it.
    case suspended

    var testDescription: String { self == .attached ? "attached" : "suspended" }
}

/// A server of one request whose client is the test: it says what comes and when, and sees what
/// was sent.
///
/// Whether the application keeps to the rules of a transport is noted in ``violations``.
final class WaitingTransport: AsyncTransport, @unchecked Sendable {
    // Sendable: what the test and the request share is behind a mutex; the rest is set before.
    enum Event: Equatable {
        case informational(Int, [String])
        case head(Int, [String], length: Int64?)
        case piece([UInt8], flush: Bool, last: Bool)
        case trailers([String])
    }

    struct LogLine: Equatable {
        let level: LogLevel
        let message: String
        let isFinished: Bool
    }

    private struct State {
        var input: [[UInt8]] = []
        var isAtEnd = false
        var inputError: GatewayError?
        var trailers: [(name: String, value: String)] = []
        /// Whether the client takes nothing.
        var isFull = false
        var isOutstanding = false
        var posted: WaitEvents = []
        var isWoken = false
        /// What the request waits for, while it does.
        var interest: WaitEvents?
        var waits: [WaitEvents] = []
        var events: [Event] = []
        var log: [LogLine] = []
        var violations: [String] = []
        /// Who may call.
        var thread: pthread_t?
        var isOver = false
        var outcome: Outcome?
    }

    let mode: WaitMode
    let server = ServerTraits(mode: "test", multithread: true, multiprocess: false, runOnce: false)
    var variables: [String: String] = ["REQUEST_METHOD": "GET", "REQUEST_URI": "/target?query"]
    var fields: [(name: String, value: String)] = []
    /// Fails an output, by its number from 0.
    var failure: (Int) -> GatewayError? = { _ in nil }

    private let state = Mutex(State())
    private let changed = Signal()
    private let came = Signal()
    private var exchange: AsyncExchange?
    private var outputs = 0

    init(_ mode: WaitMode = .attached, method: String = "GET", body pieces: [String]? = nil) {
        self.mode = mode
        variables["REQUEST_METHOD"] = method
        guard let pieces else { return }
        state.withLock { state in
            state.input = pieces.map { Array($0.utf8) }
            state.isAtEnd = true
        }
    }

    // MARK: Serving

    /// Begins to serve the request, on threads of a server's.
    @discardableResult
    func serve(_ body: @escaping Handling.Body) -> Self { serve(Handling(body)) }

    @discardableResult
    func serve(_ handler: any RequestHandler) -> Self {
        let exchange = AsyncExchange(self, handler, pool: TaskPool())
        self.exchange = exchange
        onThread { self.advance { exchange.start() } }
        return self
    }

    /// Serves the request to its end.
    func outcome(_ body: @escaping Handling.Body) async -> Outcome? { await serve(body).outcome }

    /// How the request ended, when it has; `nil` if it does not end.
    var outcome: Outcome? {
        get async {
            await eventually { self.state.withLock { $0.outcome != nil } }
            return state.withLock { $0.outcome }
        }
    }

    /// Makes the calling thread the one that the request is on, for a test that drives it itself.
    func adopt() {
        let thread = pthread_self()
        state.withLock { $0.thread = thread }
    }

    /// One step of the request, on the calling thread.
    private func advance(_ step: () -> AsyncExchange.Progress) {
        let thread = pthread_self()
        state.withLock { state in
            state.thread = thread
            state.isOver = false
        }
        guard case .finished(let error) = step(), let exchange else { return }
        let outcome = exchange.conclude(error)
        self.exchange = nil
        state.withLock { state in
            state.thread = nil
            state.isOver = true
            state.outcome = outcome
        }
    }

    private func onThread(_ body: @escaping @Sendable () -> Void) {
        do {
            try DetachedThread.start(body)
        } catch {
            Issue.record(error)
        }
    }

    func wait(for events: WaitEvents, _ exchange: AsyncExchange) -> Waited {
        note("wait")
        state.withLock { state in
            state.waits.append(events)
            state.interest = events
            if mode == .suspended { state.thread = nil }
        }
        if mode == .suspended {
            onThread {
                let events = self.awaitEvents()
                self.advance { exchange.resume(events) }
            }
            return .suspended
        }
        return .attached(awaitEvents())
    }

    /// Returns what the request waits for, or what ends it, when it is there.
    private func awaitEvents() -> WaitEvents {
        while true {
            let events = state.withLock { state -> WaitEvents in
                guard let interest = state.interest else { return [] }
                var events = state.posted
                if state.isWoken { events.insert(.woken) }
                let isThere = !state.input.isEmpty || state.isAtEnd || state.inputError != nil
                if interest.contains(.readable), isThere { events.insert(.readable) }
                if interest.contains(.writable), !state.isFull { events.insert(.writable) }
                if events.isEmpty { return [] }
                if events.contains(.writable) { state.isOutstanding = false }
                state.posted = []
                state.isWoken = false
                state.interest = nil
                return events
            }
            if !events.isEmpty { return events }
            changed.wait()
        }
    }

    func poll() -> WaitEvents {
        note("poll")
        return state.withLock { state in
            let events = state.posted.intersection([.gone, .expired, .stopping, .stopped])
            state.posted.subtract(events)
            return events
        }
    }

    func makeWaker() -> any Waker {
        note("makeWaker")
        return WaitingWaker(self)
    }

    fileprivate func wake() { change { $0.isWoken = true } }

    private func change(_ body: (inout State) -> Void) {
        state.withLock { body(&$0) }
        changed.post()
        came.post()
    }

    // MARK: The client

    /// Sends some of the body.
    func give(_ text: String) { change { $0.input.append(Array(text.utf8)) } }

    func endInput(_ trailers: [(name: String, value: String)] = []) {
        change { state in
            state.trailers = trailers
            state.isAtEnd = true
        }
    }

    func failInput(_ code: GatewayError.Code) { change { $0.inputError = GatewayError(code) } }

    /// Takes nothing more: what is written is left standing.
    func stopTaking() { change { $0.isFull = true } }

    func takeAgain() { change { $0.isFull = false } }

    /// Lets events come.
    func post(_ events: WaitEvents) { change { $0.posted.formUnion(events) } }

    /// What was sent.
    var events: [Event] { state.withLock { $0.events } }

    /// The bytes that were sent.
    var text: String {
        String(decoding: pieces.reduce(into: []) { $0 += $1 }, as: UTF8.self)
    }

    var pieces: [[UInt8]] {
        events.compactMap { if case .piece(let bytes, _, _) = $0 { bytes } else { nil } }
    }

    var log: [LogLine] { state.withLock { $0.log } }

    /// What was waited for, each time.
    var waits: [WaitEvents] { state.withLock { $0.waits } }

    /// How the rules were broken.
    var violations: [String] { state.withLock { $0.violations } }

    /// Whether the calling thread is the one that the request is on.
    var isCurrent: Bool {
        let own = pthread_self()
        return state.withLock { state in state.thread.map { pthread_equal($0, own) != 0 } ?? false }
    }

    /// Waits until the request waits for all of these events.
    func waits(for events: WaitEvents, sourceLocation: SourceLocation = #_sourceLocation) async {
        await holds(sourceLocation: sourceLocation) {
            $0.state.withLock { $0.interest?.isSuperset(of: events) == true }
        }
    }

    /// Waits until something holds.
    func holds(
        sourceLocation: SourceLocation = #_sourceLocation, _ condition: @Sendable (WaitingTransport) -> Bool
    ) async {
        await eventually(sourceLocation: sourceLocation) { condition(self) }
    }

    // MARK: The request

    private func note(_ call: String) {
        let own = pthread_self()
        state.withLock { state in
            if state.isOver { return state.violations.append("\(call) behind the end") }
            guard let thread = state.thread, pthread_equal(thread, own) != 0 else {
                return state.violations.append("\(call) on another thread")
            }
        }
    }

    func withVariable(_ name: Span<UInt8>, _ body: (Span<UInt8>) -> Void) -> Bool {
        note("withVariable")
        guard let value = variables[String(repairing: name)] else { return false }
        body(value.utf8.span)
        return true
    }

    func forEachVariable(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        note("forEachVariable")
        for (name, value) in variables { body(name.utf8.span, value.utf8.span) }
    }

    func forEachField(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        note("forEachField")
        for (name, value) in fields { body(name.utf8.span, value.utf8.span) }
    }

    func forEachTrailer(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        note("forEachTrailer")
        let trailers = state.withLock { $0.isAtEnd && $0.input.isEmpty ? $0.trailers : [] }
        for (name, value) in trailers { body(name.utf8.span, value.utf8.span) }
    }

    func tryReceive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int? {
        note("tryReceive")
        let (piece, error, isAtEnd) = state.withLock { state -> ([UInt8]?, GatewayError?, Bool) in
            guard var piece = state.input.first else { return (nil, state.inputError, state.isAtEnd) }
            let count = min(buffer.count, piece.count)
            let taken = Array(piece.prefix(count))
            piece.removeFirst(count)
            if piece.isEmpty { state.input.removeFirst() } else { state.input[0] = piece }
            return (taken, nil, false)
        }
        if let error { throw error }
        guard let piece else { return isAtEnd ? 0 : nil }
        buffer.copyBytes(from: piece)
        return piece.count
    }

    /// Waits for the client, as a server does for an application that waits itself.
    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int {
        while true {
            if let count = try tryReceive(into: buffer) { return count }
            if state.withLock({ $0.posted.contains(.gone) }) { throw GatewayError(.clientGone) }
            came.wait()
        }
    }

    private func output(_ event: Event) throws(GatewayError) {
        defer { outputs += 1 }
        if let error = failure(outputs) { throw error }
        change { $0.events.append(event) }
    }

    func sendHead(_ status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?) throws(GatewayError) {
        note("sendHead")
        try output(.head(status.code, fields.map(\.description), length: length))
    }

    func sendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) {
        note("sendPiece")
        try output(.piece([UInt8](copying: bytes), flush: flush, last: last))
        while state.withLock({ $0.isFull }) {
            if state.withLock({ $0.posted.contains(.gone) }) { throw GatewayError(.clientGone) }
            came.wait()
        }
    }

    func trySendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) -> Bool {
        note("trySendPiece")
        state.withLock { state in
            if state.isOutstanding { state.violations.append("a piece before the last one has left") }
        }
        try output(.piece([UInt8](copying: bytes), flush: flush, last: last))
        return state.withLock { state in
            state.isOutstanding = state.isFull
            return state.isFull
        }
    }

    func sendInformational(_ status: HTTPResponse.Status, _ fields: HTTPFields) throws(GatewayError) {
        note("sendInformational")
        try output(.informational(status.code, fields.map(\.description)))
    }

    func sendTrailers(_ fields: HTTPFields) throws(GatewayError) {
        note("sendTrailers")
        state.withLock { state in
            let hasHead = state.events.contains { if case .head = $0 { true } else { false } }
            if !hasHead { state.violations.append("trailers before the head") }
        }
        try output(.trailers(fields.map(\.description)))
    }

    var isClientGone: Bool {
        note("isClientGone")
        return state.withLock { $0.posted.contains(.gone) }
    }

    func log(_ level: LogLevel, _ message: String, isFinished: Bool) {
        if !isFinished { note("log") }
        state.withLock { $0.log.append(LogLine(level: level, message: message, isFinished: isFinished)) }
    }
}

private final class WaitingWaker: Waker {
    private let transport: WaitingTransport

    init(_ transport: WaitingTransport) { self.transport = transport }

    func wake() { transport.wake() }
}

/// A handler out of a closure.
struct Handling: RequestHandler {
    typealias Body =
        @Sendable (
            _ request: HTTPRequest, _ context: RequestContext, _ reader: consuming sending RequestReader,
            _ sender: consuming sending ResponseSender
        ) async throws -> Void

    private let body: Body

    init(_ body: @escaping Body) { self.body = body }

    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        try await body(request, requestContext, reader, responseSender)
    }
}

/// Waits until something holds; a minute is never.
func eventually(
    sourceLocation: SourceLocation = #_sourceLocation, _ condition: @Sendable () -> Bool
) async {
    let deadline = ContinuousClock.now + .seconds(60)
    while !condition() {
        guard ContinuousClock.now < deadline else {
            Issue.record("what was waited for did not come", sourceLocation: sourceLocation)
            return
        }
        try? await Task.sleep(for: .milliseconds(1))
    }
}

/// The code of the gateway's error that `body` throws, `cancelled` for a `CancellationError`, `none`
/// if it throws none.
func thrown(_ body: () async throws -> Void) async -> String {
    do {
        try await body()
        return "none"
    } catch {
        return name(of: error)
    }
}

/// As ``thrown(_:)`` has it.
func name(of error: any Error) -> String {
    if let error = error as? GatewayError { return error.code.description }
    return error is CancellationError ? "cancelled" : "\(error)"
}

/// What handlers note for the test.
final class Notes: Sendable {
    private let lines = Mutex<[String]>([])

    func note(_ line: String) { lines.withLock { $0.append(line) } }

    var all: [String] { lines.withLock { $0 } }
}

/// A number that several threads change.
final class Count: Sendable {
    private let number = Atomic(0)

    /// - Returns: The new value.
    @discardableResult
    func add(_ addend: Int) -> Int { number.add(addend, ordering: .relaxed).newValue }

    func raise(to value: Int) { number.max(value, ordering: .relaxed) }

    var value: Int { number.load(ordering: .relaxed) }
}

/// A value that a handler hands to the test.
final class Held<Value: Sendable>: Sendable {
    private let held = Mutex<Value?>(nil)

    var value: Value? {
        get { held.withLock { $0 } }
        set { held.withLock { $0 = newValue } }
    }
}

extension HTTPResponse {
    static let ok = HTTPResponse(status: .ok)
}
