/// The body of a request: `swiftgi.input`, PEP 3333's `wsgi.input`.
///
/// A value of this type is a handle, for the thread that serves the request: copies read the same
/// stream. It ends with the bytes that the client sent, however they were framed, and stays at its
/// end. Behind the end of the request every call throws ``GatewayError/Code/finished``.
///
/// The first read answers a client that waits with `Expect: 100-continue`; an application that
/// never reads never invites the body.
public struct Input {
    private let exchange: Exchange

    package init(_ exchange: Exchange) { self.exchange = exchange }

    /// The next bytes, as many as there are, at most `count`.
    ///
    /// Waits until there is at least one byte, and gives at most 64 KiB.
    ///
    /// - Parameter count: 0 gives no bytes.
    /// - Returns: The bytes; none at the end of the body.
    /// - Throws: ``GatewayError`` with ``GatewayError/Code/clientGone``,
    ///   ``GatewayError/Code/bodyTooLarge``, ``GatewayError/Code/malformedBody``,
    ///   ``GatewayError/Code/timedOut`` or ``GatewayError/Code/input``. Every later call throws
    ///   the same. If the application lets it pass before a byte of the response was sent, the
    ///   client gets 413, 400, 408 or 500.
    public func read(upTo count: Int = 65536) throws(GatewayError) -> [UInt8] {
        try exchange.read(upTo: count)
    }

    /// The next bytes, or `nil` at the end of the body: `while let piece = try input.next()`.
    ///
    /// - Throws: As ``read(upTo:)``.
    public func next() throws(GatewayError) -> [UInt8]? {
        let bytes = try read()
        return bytes.isEmpty ? nil : bytes
    }

    /// The next line with its line feed, or `nil` at the end of the body. The last line may have
    /// none.
    ///
    /// - Parameter limit: The length that a line may have, line feed included.
    /// - Throws: As ``read(upTo:)``, and ``GatewayError/Code/lineTooLong``.
    public func readLine(upTo limit: Int = 1 << 20) throws(GatewayError) -> [UInt8]? {
        try exchange.readLine(upTo: limit)
    }

    /// Calls a closure with each piece of the body as it comes.
    ///
    /// - Parameter body: Called with pieces of at most 64 KiB, until the body ends or it throws.
    /// - Throws: As ``read(upTo:)``, and what `body` throws.
    public func forEach(_ body: ([UInt8]) throws -> Void) throws {
        while let piece = try next() { try body(piece) }
    }

    /// Calls a closure with each line of the body, as ``readLine(upTo:)`` gives them.
    ///
    /// - Parameters:
    ///   - limit: The length that a line may have, line feed included.
    ///   - body: Called with each line, until the body ends or it throws.
    /// - Throws: As ``readLine(upTo:)``, and what `body` throws.
    public func forEachLine(upTo limit: Int = 1 << 20, _ body: ([UInt8]) throws -> Void) throws {
        while let line = try readLine(upTo: limit) { try body(line) }
    }

    /// All that is left of the body.
    ///
    /// - Parameter limit: How many bytes there may be.
    /// - Throws: As ``read(upTo:)``, and ``GatewayError/Code/bodyTooLarge`` if there are more.
    public func collect(upTo limit: Int) throws(GatewayError) -> [UInt8] {
        try exchange.collect(upTo: limit)
    }
}

@available(*, unavailable)
extension Input: Sendable {}
