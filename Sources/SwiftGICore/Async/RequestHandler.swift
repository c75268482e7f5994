public import HTTPTypes

/// An application of the async contract.
///
/// ```swift
/// struct Hello: RequestHandler {
///     func handle(
///         request: HTTPRequest, requestContext: consuming RequestContext,
///         reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
///     ) async throws {
///         try await responseSender.sendAndFinish(HTTPResponse(status: .ok), Array("Hello, world!\n".utf8))
///     }
/// }
/// ```
///
/// Labels and ownership are those of Apple's HTTP API proposal: the sender is consumed by the one
/// final response, which gives the writer of its body; the writer is consumed by the end of the
/// body. A reader or a writer belongs to one task at a time, which the compiler checks, and both may
/// be used at once, by two tasks.
///
/// The handler runs on the thread that the server gave the request and never occupies it while it
/// waits, where the server can put a request aside; its child tasks and the actors it calls run there
/// too, one at a time. ``AsyncApplication`` is the simpler form for the common case.
///
/// Specification, section "The async contract".
public protocol RequestHandler: Sendable {
    /// Serves one request.
    ///
    /// Its task is cancelled when the client goes away, when the time that the server's configuration
    /// gives a request is over, and when the server has waited long enough to end. Reading and writing
    /// throw from then on, and the request ends without waiting for the handler.
    ///
    /// - Parameters:
    ///   - request: The head of the request. Its path is the target as it came.
    ///   - requestContext: What the server knows besides.
    ///   - reader: The body of the request.
    ///   - responseSender: Sends the response.
    /// - Throws: Anything. As long as the head of the response was not sent the client gets status 500
    ///   (413, 400 or 408 if what is thrown is the ``GatewayError`` of a body that could not be read);
    ///   later the response is aborted. Either way the server logs the error. To return without having
    ///   finished the response is such an error.
    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws
}
