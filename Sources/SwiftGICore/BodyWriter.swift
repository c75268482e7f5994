/// Writes the body of a response piece by piece: PEP 3333's `write` callable.
///
/// Each call returns when the server has taken the piece and passed it on towards the client, and
/// blocks the thread that serves the request until then. An application lets what a call throws
/// pass; the server knows what to do.
public struct BodyWriter: ~Copyable {
    private let exchange: Exchange
    private let filters: [any BodyFilter]

    package init(_ exchange: Exchange) {
        self.exchange = exchange
        filters = []
    }

    /// A writer whose bytes pass through filters before those of another.
    init(_ writer: borrowing BodyWriter, through filters: [any BodyFilter]) {
        exchange = writer.exchange
        self.filters = filters + writer.filters
    }

    private func send(_ bytes: Span<UInt8>) throws(GatewayError) {
        if filters.isEmpty { return try exchange.send(bytes, flush: true) }
        var filtered = [UInt8](copying: bytes)
        do {
            for filter in filters { filtered = try filter.transform(filtered) }
        } catch {
            throw error as? GatewayError ?? GatewayError(.output, "a filter of the body failed: \(error)")
        }
        try exchange.send(filtered.span, flush: true)
    }

    /// Sends bytes. No bytes send nothing, not even the head.
    ///
    /// - Throws: ``GatewayError`` with ``GatewayError/Code/clientGone`` if the client went away,
    ///   ``GatewayError/Code/contentLengthExceeded`` behind the length that was given, with which
    ///   the response is complete, or ``GatewayError/Code/output`` if the server could not send
    ///   it: the response is aborted, or a 500 if nothing was sent yet. Every later call throws
    ///   the same.
    public mutating func write(_ bytes: [UInt8]) throws(GatewayError) {
        try send(bytes.span)
    }

    /// Sends text in UTF-8.
    ///
    /// - Throws: As ``write(_:)-([UInt8])``.
    public mutating func write(_ string: String) throws(GatewayError) {
        try send(string.utf8.span)
    }

    /// Sends the bytes of a span, without a copy of its own.
    ///
    /// - Throws: As ``write(_:)-([UInt8])``.
    public mutating func write(_ bytes: Span<UInt8>) throws(GatewayError) {
        try send(bytes)
    }
}

@available(*, unavailable)
extension BodyWriter: Sendable {}
