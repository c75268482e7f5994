public import HTTPTypes

/// One event of a stream of server-sent events (HTML, section 9.2).
public struct ServerSentEvent: Sendable, Hashable {
    /// What the page gets. Each of its lines, whichever way it ends, arrives as one.
    public var data: String

    /// The event's type, one line; without it the page sees a `message`.
    public var event: String?

    /// What a client that connects anew sends as `Last-Event-ID`: one line without U+0000. An empty
    /// one makes it send none.
    public var id: String?

    /// How long a client is to wait before it connects anew.
    public var retry: Duration?

    /// An event.
    public init(_ data: String, event: String? = nil, id: String? = nil, retry: Duration? = nil) {
        self.data = data
        self.event = event
        self.id = id
        self.retry = retry
    }

    /// The event as it is sent, with the empty line that ends it.
    ///
    /// - Throws: ``GatewayError`` with ``GatewayError/Code/invalidField`` if type or id can't be sent.
    package func encoded() throws(GatewayError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(data.utf8.count + 32)
        func append(_ name: StaticString, _ value: Substring.UTF8View) {
            // The name is a constant of this file.
            unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
            bytes.append(contentsOf: value)
            bytes.append(0x0A)
        }
        func appendLine(_ name: StaticString, _ value: String, allowsNull: Bool) throws(GatewayError) {
            guard !value.utf8.contains(where: { $0 == 0x0A || $0 == 0x0D || ($0 == 0 && !allowsNull) }) else {
                throw GatewayError(.invalidField, "the \(name) of an event has to be one line")
            }
            append(name, value[...].utf8)
        }
        if let event { try appendLine("event: ", event, allowsNull: true) }
        if let id { try appendLine("id: ", id, allowsNull: false) }
        if let retry { append("retry: ", "\(retry.milliseconds)"[...].utf8) }
        var rest = data[...].utf8
        while let end = rest.firstIndex(where: { $0 == 0x0A || $0 == 0x0D }) {
            append("data: ", rest[..<end])
            var next = rest.index(after: end)
            if rest[end] == 0x0D, next < rest.endIndex, rest[next] == 0x0A { next = rest.index(after: next) }
            rest = rest[next...]
        }
        append("data: ", rest)
        bytes.append(0x0A)
        return bytes
    }
}

extension Duration {
    /// Never negative, and no more than there are.
    fileprivate var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, isTooMuch) = seconds.multipliedReportingOverflow(by: 1000)
        if isTooMuch { return seconds < 0 ? 0 : .max }
        return max(0, whole.addingReportingOverflow(attoseconds / 1_000_000_000_000_000).partialValue)
    }
}

extension HTTPRequest {
    /// The id of the last event that the client has got before it connected anew.
    public var lastEventID: String? { HTTPField.Name("Last-Event-ID").flatMap { headerFields[$0] } }
}

/// Writes a stream of events, as ``ResponseWriter`` writes bytes.
///
/// Each event leaves when it is sent; to send waits, without a thread, while a slow client has not
/// taken those before.
public struct EventWriter: ~Copyable, Sendable {
    private var writer: ResponseWriter

    init(_ writer: consuming ResponseWriter) { self.writer = writer }

    /// Sends an event.
    ///
    /// - Throws: As ``ResponseWriter/write(_:)-([UInt8])``; ``GatewayError`` with
    ///   ``GatewayError/Code/invalidField`` if the event's type or id has a line break, and then nothing
    ///   was sent.
    public mutating func send(_ event: ServerSentEvent) async throws { try await writer.write(event.encoded()) }

    /// Sends what no page sees, so that nobody on the way takes the connection for a dead one.
    ///
    /// - Throws: As ``ResponseWriter/write(_:)-([UInt8])``.
    public mutating func sendKeepAlive() async throws { try await writer.write(Self.keepAlive) }

    fileprivate static let keepAlive = Array(":\n\n".utf8)

    /// Ends the stream. A browser then connects anew.
    ///
    /// - Throws: As ``ResponseWriter/finish(_:trailers:)``.
    public consuming func finish() async throws { try await writer.finish() }

    /// Sends the events of a sequence as they come, and ends the stream behind the last one, or when
    /// the server wants to end.
    ///
    /// The sequence's iteration is cancelled when the client goes away or the server wants to end.
    ///
    /// - Parameters:
    ///   - events: The events.
    ///   - keepAlive: After how long a silence something is sent that no page sees; `nil` for never.
    /// - Throws: As ``send(_:)``, and what the sequence throws, which aborts the response.
    public consuming func finish<Events: AsyncSequence & Sendable>(
        with events: Events, keepAlive: Duration? = .seconds(15)
    ) async throws where Events.Element == ServerSentEvent {
        let stream = EventStream(writer.shared)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                for try await event in events { try await stream.send(event) }
                return true
            }
            group.addTask {
                try await stream.writer.waitUntilServerStops()
                return true
            }
            if let keepAlive {
                group.addTask {
                    try await stream.keepAlive(every: keepAlive)
                    return false
                }
            }
            while let isEnd = try await group.next(), !isEnd {}
            group.cancelAll()
            // A task that is being cancelled has nothing more to tell.
            while let _ = await group.nextResult() {}
        }
        try await finish()
    }
}

/// A stream of events that one task fills and another keeps alive.
private actor EventStream {
    nonisolated let writer: SharedWriter
    private var isSending = false
    private var count = 0

    init(_ writer: SharedWriter) { self.writer = writer }

    func send(_ event: ServerSentEvent) async throws {
        isSending = true
        defer { isSending = false }
        count += 1
        try await writer.write(event.encoded())
    }

    /// Sends something whenever nothing was sent for so long. An event is never interrupted.
    func keepAlive(every interval: Duration) async throws {
        while true {
            let before = count
            try await Task.sleep(for: interval)
            if count == before && !isSending { try await writer.write(EventWriter.keepAlive) }
        }
    }
}

extension ResponseSender {
    /// Begins a stream of events.
    ///
    /// - Parameter headers: Further fields; they replace those that a stream of events has of itself:
    ///   `Content-Type`, `Cache-Control: no-store`, and `X-Accel-Buffering: no`, which has nginx pass
    ///   events on at once.
    /// - Returns: The writer of its events.
    /// - Throws: As ``send(_:)``.
    public consuming func sendEvents(headers: HTTPFields = [:]) async throws -> EventWriter {
        EventWriter(try await send(HTTPResponse(status: .ok, headerFields: .forEvents(headers))))
    }
}

extension Response {
    /// A stream of the events of a sequence; see ``EventWriter/finish(with:keepAlive:)``.
    ///
    /// ```swift
    /// let clock: AsyncApplication = { request in
    ///     .events(AsyncTimerSequence(interval: .seconds(1), clock: .continuous).map { ServerSentEvent("\($0)") })
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - events: The events.
    ///   - headers: As for ``ResponseSender/sendEvents(headers:)``.
    ///   - keepAlive: After how long a silence something is sent that no page sees; `nil` for never.
    public static func events<Events: AsyncSequence & Sendable>(
        _ events: Events, headers: HTTPFields = [:], keepAlive: Duration? = .seconds(15)
    ) -> Response where Events.Element == ServerSentEvent {
        Response(
            headers: .forEvents(headers),
            body: .stream { try await EventWriter($0).finish(with: events, keepAlive: keepAlive) })
    }
}

extension HTTPFields {
    fileprivate static func forEvents(_ more: HTTPFields) -> HTTPFields {
        var fields: HTTPFields = [.contentType: "text/event-stream", .cacheControl: "no-store"]
        if let name = HTTPField.Name("X-Accel-Buffering") { fields[name] = "no" }
        for field in more { fields[field.name] = nil }
        for field in more { fields.append(field) }
        return fields
    }
}
