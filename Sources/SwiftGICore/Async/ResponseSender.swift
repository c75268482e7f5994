public import HTTPTypes

/// Sends the response to a request, once: the call that sends it consumes the sender.
public struct ResponseSender: ~Copyable, Sendable {
    let exchange: AsyncExchange
    package private(set) var transforms: [ResponseTransform] = []

    init(_ exchange: AsyncExchange) { self.exchange = exchange }

    private init(_ exchange: AsyncExchange, _ transforms: [ResponseTransform]) {
        self.exchange = exchange
        self.transforms = transforms
    }

    /// Sends an informational response, such as 103 Early Hints; any number of times.
    ///
    /// Nothing is sent to a client that does not know them (HTTP/1.0).
    ///
    /// - Parameter response: Its status is 100 to 199, but for 101.
    /// - Throws: ``GatewayError`` with ``GatewayError/Code/invalidStatus`` or
    ///   ``GatewayError/Code/invalidField``, or as ``ResponseWriter/write(_:)-([UInt8])``.
    public mutating func sendInformational(_ response: HTTPResponse) async throws {
        try await exchange.sendInformational(response)
    }

    /// Sends the head of the response.
    ///
    /// It leaves together with the first bytes of the body, or as soon as the handler waits for
    /// something; until then a handler that throws makes the response a 500.
    ///
    /// - Parameter response: Status and fields, as for ``StartResponse``.
    /// - Returns: The writer of the body.
    /// - Throws: ``GatewayError`` with ``GatewayError/Code/invalidStatus`` or
    ///   ``GatewayError/Code/invalidField``; with ``GatewayError/Code/finished`` behind the end of the
    ///   request.
    public consuming func send(_ response: HTTPResponse) async throws -> ResponseWriter {
        var response = response
        let filters = transforms.apply(&response)
        try await exchange.sendHead(response)
        return ResponseWriter(exchange, filters)
    }

    /// Sends a whole response. The server sets `Content-Length`.
    ///
    /// - Parameters:
    ///   - response: As for ``send(_:)``.
    ///   - body: The body; none for a response to HEAD.
    ///   - trailers: The fields behind the body, or `nil`.
    /// - Throws: As ``send(_:)`` and ``ResponseWriter/finish(_:trailers:)``.
    public consuming func sendAndFinish(
        _ response: HTTPResponse, _ body: [UInt8] = [], trailers: HTTPFields? = nil
    ) async throws {
        if transforms.isEmpty, try exchange.respondNow(response, body, trailers: trailers) { return }
        var response = response
        var body = body
        for filter in transforms.apply(&response) { body = try filter.transformLast(body) }
        try await exchange.respond(response, body, trailers: trailers)
    }

    /// What can still answer when the handler that gets this sender has failed.
    public var errorResponder: ErrorResponder { ErrorResponder(exchange, transforms) }

    /// A sender that changes the response on its way: what middleware hands to the handler that it
    /// wraps.
    ///
    /// - Parameter transform: Called once, with the head of the final response, which it may change.
    ///   What it returns, if anything, then gets the body; it has to take `Content-Length` out of the
    ///   head if that changes.
    public consuming func transforming(_ transform: @escaping ResponseTransform) -> ResponseSender {
        ResponseSender(exchange, transforms + [transform])
    }
}

/// Answers a request whose handler has failed: what a call of ``StartResponse`` with an error is in the
/// async contract.
///
/// ```swift
/// let responder = responseSender.errorResponder
/// do {
///     try await handler.handle(
///         request: request, requestContext: requestContext, reader: reader, responseSender: responseSender)
/// } catch {
///     try await responder.respond(HTTPResponse(status: .internalServerError), Array("Sorry.\n".utf8), to: error)
/// }
/// ```
public struct ErrorResponder: Sendable {
    private let exchange: AsyncExchange
    private let transforms: [ResponseTransform]

    fileprivate init(_ exchange: AsyncExchange, _ transforms: [ResponseTransform]) {
        self.exchange = exchange
        self.transforms = transforms
    }

    /// Sends a whole response in the place of the one that the handler may have begun.
    ///
    /// - Parameters:
    ///   - response: As for ``ResponseSender/send(_:)``.
    ///   - body: The body.
    ///   - error: What the handler threw.
    /// - Throws: `error`, if the head was sent: the response is aborted then, and the error is for the
    ///   server to log. Otherwise as ``ResponseSender/sendAndFinish(_:_:trailers:)``.
    public func respond(_ response: HTTPResponse, _ body: [UInt8], to error: any Error) async throws {
        var response = response
        var body = body
        for filter in transforms.apply(&response) { body = try filter.transformLast(body) }
        try await exchange.respond(response, body, insteadBecauseOf: error)
    }
}

/// What middleware does to a response: changes the head, and may give a filter for the body.
public typealias ResponseTransform = @Sendable (_ response: inout HTTPResponse) -> (any BodyFilter)?

extension [ResponseTransform] {
    /// Lets each see the head, the innermost middleware first.
    func apply(_ response: inout HTTPResponse) -> [any BodyFilter] {
        var filters: [any BodyFilter] = []
        for transform in reversed() {
            if let filter = transform(&response) { filters.append(filter) }
        }
        return filters
    }
}

/// Changes the bytes of a response's body. One serves one response.
public protocol BodyFilter: Sendable {
    /// What is sent instead of these bytes.
    ///
    /// - Throws: Anything; the response is aborted.
    func transform(_ bytes: [UInt8]) throws -> [UInt8]

    /// What is sent behind the last bytes.
    ///
    /// - Throws: Anything; the response is aborted.
    func finish() throws -> [UInt8]
}

extension BodyFilter {
    /// Nothing.
    public func finish() throws -> [UInt8] { [] }

    func transformLast(_ bytes: [UInt8]) throws -> [UInt8] { try transform(bytes) + finish() }
}

/// Writes the body of a response.
///
/// It belongs to one task at a time. A writer that is dropped before ``finish(_:trailers:)`` leaves
/// the response incomplete: when the handler returns the response is aborted.
public struct ResponseWriter: ~Copyable, Sendable {
    /// The same, for helpers that write from several tasks.
    package let shared: SharedWriter

    init(_ exchange: AsyncExchange, _ filters: [any BodyFilter]) { shared = SharedWriter(exchange, filters) }

    /// Sends bytes towards the client.
    ///
    /// Waits, without a thread, while what was written before has still to leave: a slow client slows
    /// down its handler and costs no more than 64 KiB.
    ///
    /// - Throws: ``GatewayError`` with ``GatewayError/Code/clientGone`` if the client went away,
    ///   ``GatewayError/Code/timedOut`` if it took nothing for as long as the server waits,
    ///   ``GatewayError/Code/contentLengthExceeded`` behind the length that was given, or
    ///   ``GatewayError/Code/output``, and the same each time afterwards; `CancellationError` if the
    ///   task was cancelled while it waited.
    public mutating func write(_ bytes: [UInt8]) async throws {
        try await shared.write(bytes)
    }

    /// Sends text in UTF-8.
    ///
    /// - Throws: As ``write(_:)-([UInt8])``.
    public mutating func write(_ string: String) async throws { try await write(Array(string.utf8)) }

    /// Ends the response.
    ///
    /// - Parameters:
    ///   - bytes: The last bytes of the body.
    ///   - trailers: The fields behind the body, or `nil`. They reach clients of HTTP/2; where the
    ///     protocol or the server has no place for them they are left out.
    /// - Throws: As ``write(_:)-([UInt8])``; ``GatewayError`` with
    ///   ``GatewayError/Code/contentLengthNotReached`` if the body is shorter than the head says.
    public consuming func finish(_ bytes: [UInt8] = [], trailers: HTTPFields? = nil) async throws {
        try await shared.finish(bytes, trailers: trailers)
    }
}

/// A writer that can be copied. Whoever has one sees to it that what several tasks write does not
/// get mixed up.
package struct SharedWriter: Sendable {
    private let exchange: AsyncExchange
    private let filters: [any BodyFilter]

    init(_ exchange: AsyncExchange, _ filters: [any BodyFilter]) {
        self.exchange = exchange
        self.filters = filters
    }

    package func write(_ bytes: [UInt8]) async throws {
        if filters.isEmpty, try exchange.writeNow(bytes) { return }
        var bytes = bytes
        for filter in filters { bytes = try filter.transform(bytes) }
        try await exchange.write(bytes)
    }

    package func finish(_ bytes: [UInt8], trailers: HTTPFields?) async throws {
        var bytes = bytes
        for filter in filters { bytes = try filter.transformLast(bytes) }
        try await exchange.finish(bytes, trailers: trailers)
    }

    func waitUntilServerStops() async throws { try await exchange.waitUntilStopping() }
}
