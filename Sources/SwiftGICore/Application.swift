public import HTTPTypes

/// An application of the gateway contract: a value that a server calls once for each request.
///
/// ```swift
/// let hello: Application = { environ, startResponse in
///     try startResponse(.ok, [.contentType: "text/plain"], nil)
///     return .string("Hello, world!\n")
/// }
/// ```
///
/// The application reads what it wants of `environ`, calls `startResponse` before it returns, and
/// returns the body of the response. It may be called any number of times, on several threads at
/// a time where ``Environ/multithread`` says so. One request stays on one thread, which the
/// application may block.
///
/// - Parameters:
///   - environ: The request. It is the application's until it returns; what it changes there is
///     seen by the applications it calls and by nobody else.
///   - startResponse: Stores the head of the response; see ``StartResponse``.
/// - Returns: The body. ``Body`` is closed once, whatever becomes of the request.
/// - Throws: Anything. Before the first byte was sent the client gets status 500 (413, 400 or 408
///   if what is thrown is the ``GatewayError`` of an ``Input`` that could not be read); after it
///   the response is aborted. Either way the server logs the error.
///
/// Specification, section "The application"; PEP 3333, "The Application/Framework Side".
public typealias Application =
    @Sendable (_ environ: inout Environ, _ startResponse: StartResponse) throws -> Body

/// Stores the status and the header fields of the response.
///
/// Nothing is sent by the call. The head goes out with the first byte of the body, or with its end
/// if there is none, so that an error found until then can still change it.
///
/// - Parameters:
///   - status: 200 to 599.
///   - headers: The fields. Hop-by-hop fields are the server's business and are refused, and so
///     is `Status`. `Content-Length` is set by the server where the body's length is known; where
///     it is given it is binding.
///   - error: `nil`, or the error because of which the response is started anew. With an error
///     the stored head is replaced if it was not sent, and the error is thrown back if it was.
/// - Throws: ``GatewayError`` with ``GatewayError/Code/startResponseCalledTwice``,
///   ``GatewayError/Code/invalidStatus`` or ``GatewayError/Code/invalidField``; or `error` itself.
///   The client of an application that lets them pass gets status 500 or, if the head was sent, an
///   aborted response.
///
/// The function is usable only until the application returns; that it does not outlive the call
/// is checked by the compiler.
public typealias StartResponse = (
    _ status: HTTPResponse.Status, _ headers: HTTPFields, _ error: (any Error)?
) throws -> Void

/// A function that wraps an application in another.
///
/// It is called once, when the application is put together; what it returns is called for each
/// request. It sees the request in `environ`, the head by wrapping `startResponse`, and the body
/// as what the inner application returns.
///
/// ```swift
/// let poweredBy: Middleware = { application in
///     { environ, startResponse in
///         try application(&environ) { status, headers, error in
///             var headers = headers
///             headers[.init("X-Powered-By")!] = "SwiftGI"
///             try startResponse(status, headers, error)
///         }
///     }
/// }
/// ```
public typealias Middleware = @Sendable (@escaping Application) -> Application
