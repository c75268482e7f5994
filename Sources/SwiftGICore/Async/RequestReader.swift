public import HTTPTypes

/// The body of a request.
///
/// It belongs to one task at a time and can't be copied. A task that reads waits without a thread.
public struct RequestReader: ~Copyable, Sendable {
    private let exchange: AsyncExchange

    init(_ exchange: AsyncExchange) { self.exchange = exchange }

    /// The next bytes, as many as there are, at most `count`; `nil` at the end of the body.
    ///
    /// - Parameter count: 1 or more; at most 64 KiB are given at a time.
    /// - Throws: ``GatewayError`` with ``GatewayError/Code/clientGone``,
    ///   ``GatewayError/Code/bodyTooLarge``, ``GatewayError/Code/malformedBody``,
    ///   ``GatewayError/Code/timedOut`` or ``GatewayError/Code/input``, and the same each time
    ///   afterwards; with ``GatewayError/Code/finished`` behind the end of the request; or
    ///   `CancellationError` if the task was cancelled while it waited.
    public mutating func next(upTo count: Int = 65536) async throws -> [UInt8]? {
        try await exchange.next(upTo: max(1, count))
    }

    /// All that is left of the body.
    ///
    /// - Parameter limit: How many bytes there may be.
    /// - Throws: As ``next(upTo:)``, and ``GatewayError/Code/bodyTooLarge`` if there are more, which
    ///   gives the client 413.
    public consuming func collect(upTo limit: Int) async throws -> [UInt8] {
        try await exchange.collect(upTo: limit)
    }

    /// The fields that followed the body, once ``next(upTo:)`` has given `nil`; none before it, and
    /// where the server does not pass them on.
    ///
    /// - Throws: As ``next(upTo:)``.
    public var trailers: HTTPFields {
        get async throws { try await exchange.trailers() }
    }

    /// The body as a sequence, for frameworks.
    public consuming func sequence() -> RequestBody { RequestBody(exchange) }
}

extension AsyncExchange {
    /// The next bytes of the body, or `nil` at its end.
    func next(upTo count: Int) async throws -> [UInt8]? {
        let bytes: [UInt8] =
            if let now = try readNow(upTo: count) { now } else { try await read(upTo: count) }
        return bytes.isEmpty ? nil : bytes
    }

    func collect(upTo limit: Int) async throws -> [UInt8] {
        var all: [UInt8] = []
        while true {
            // One byte more than the limit tells a body that fits from one that does not.
            let room = limit < Int.max ? limit - all.count + 1 : 65536
            let more = try await read(upTo: max(1, min(65536, room)))
            if more.isEmpty { return all }
            if more.count > limit - all.count { throw GatewayError(.bodyTooLarge, "more than \(limit) bytes") }
            if all.isEmpty { all = more } else { all += more }
        }
    }
}

/// The body of a request as an asynchronous sequence of pieces.
///
/// Copies and iterators read the same stream: what one got the others don't get.
public struct RequestBody: AsyncSequence, Sendable {
    /// A piece, never empty.
    public typealias Element = [UInt8]

    private let exchange: AsyncExchange

    init(_ exchange: AsyncExchange) { self.exchange = exchange }

    /// Gives the pieces of the body as they come.
    public struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate let exchange: AsyncExchange

        /// The next piece, or `nil` at the end of the body.
        ///
        /// - Throws: As ``RequestReader/next(upTo:)``.
        public mutating func next() async throws -> [UInt8]? {
            try await exchange.next(upTo: 65536)
        }
    }

    /// An iterator over what is left.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(exchange: exchange) }

    /// All that is left of the body.
    ///
    /// - Parameter limit: How many bytes there may be.
    /// - Throws: As ``RequestReader/collect(upTo:)``.
    public func collect(upTo limit: Int) async throws -> [UInt8] { try await exchange.collect(upTo: limit) }

    /// The fields that followed the body; see ``RequestReader/trailers``.
    public var trailers: HTTPFields {
        get async throws { try await exchange.trailers() }
    }
}
