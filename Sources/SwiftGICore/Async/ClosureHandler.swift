public import HTTPTypes

/// A handler out of a closure: what middleware of the async contract is made of.
///
/// ```swift
/// let quiet: HandlerMiddleware = { handler in
///     ClosureHandler { request, context, reader, sender in
///         try await handler.handle(
///             request: request, requestContext: context, reader: reader,
///             responseSender: sender.transforming { response in
///                 response.headerFields[.server] = nil
///                 return nil
///             })
///     }
/// }
/// ```
public struct ClosureHandler: RequestHandler {
    /// What serves a request; see ``RequestHandler/handle(request:requestContext:reader:responseSender:)``.
    public typealias Closure =
        @Sendable (
            _ request: HTTPRequest, _ requestContext: consuming RequestContext,
            _ reader: consuming sending RequestReader, _ responseSender: consuming sending ResponseSender
        ) async throws -> Void

    private let closure: Closure

    /// A handler that calls a closure.
    public init(_ closure: @escaping Closure) { self.closure = closure }

    /// Serves the request with the closure.
    public func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        try await closure(request, requestContext, reader, responseSender)
    }
}
