/// Writes the body of a response piece by piece: PEP 3333's `write` callable.
///
/// Each call returns when the server has taken the piece and passed it on towards the client, and
/// blocks the thread that serves the request until then. An application lets what a call throws
/// pass; the server knows what to do.
public struct BodyWriter: ~Copyable {
    private let exchange: Exchange

    package init(_ exchange: Exchange) { self.exchange = exchange }

    /// Sends bytes. No bytes send nothing, not even the head.
    ///
    /// - Throws: ``GatewayError`` with ``GatewayError/Code/clientGone`` if the client went away,
    ///   ``GatewayError/Code/contentLengthExceeded`` behind the length that was given, with which
    ///   the response is complete, or ``GatewayError/Code/output`` if the server could not send
    ///   it: the response is aborted, or a 500 if nothing was sent yet. Every later call throws
    ///   the same.
    public mutating func write(_ bytes: [UInt8]) throws(GatewayError) {
        try exchange.send(bytes.span, flush: true)
    }

    /// Sends text in UTF-8.
    ///
    /// - Throws: As ``write(_:)-([UInt8])``.
    public mutating func write(_ string: String) throws(GatewayError) {
        try exchange.send(string.utf8.span, flush: true)
    }

    /// Sends the bytes of a span, without a copy of its own.
    ///
    /// - Throws: As ``write(_:)-([UInt8])``.
    public mutating func write(_ bytes: Span<UInt8>) throws(GatewayError) {
        try exchange.send(bytes, flush: true)
    }
}

@available(*, unavailable)
extension BodyWriter: Sendable {}
