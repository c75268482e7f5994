public import HTTPTypes

/// The simple form of the async contract: a function from a request to a response.
///
/// ```swift
/// let hello: AsyncApplication = { request in
///     Response(body: .string("Hello, \(request.head.path ?? "")\n"))
/// }
/// ```
///
/// - Parameter request: The request.
/// - Returns: The response.
/// - Throws: As ``RequestHandler/handle(request:requestContext:reader:responseSender:)``.
public typealias AsyncApplication = @Sendable (_ request: Request) async throws -> Response

/// A request of the simple form.
public struct Request: Sendable {
    /// Method, target and fields.
    public var head: HTTPRequest

    /// What the server knows besides.
    public let context: RequestContext

    /// The body, which can be read once.
    public var body: RequestBody

    /// A request, for who calls an ``AsyncApplication``.
    public init(head: HTTPRequest, context: RequestContext, body: RequestBody) {
        self.head = head
        self.context = context
        self.body = body
    }
}

/// A response of the simple form.
public struct Response: Sendable {
    /// Status and fields.
    public var head: HTTPResponse

    /// The body.
    public var body: ResponseBody

    /// A response.
    ///
    /// - Parameters:
    ///   - status: 200 to 599.
    ///   - headers: The fields; the server sets `Content-Length` where the length is known.
    ///   - body: The body.
    public init(status: HTTPResponse.Status = .ok, headers: HTTPFields = [:], body: ResponseBody = .bytes([])) {
        head = HTTPResponse(status: status, headerFields: headers)
        self.body = body
    }
}

/// The body of a response of the simple form.
public struct ResponseBody: Sendable {
    enum Content {
        case bytes([UInt8], trailers: HTTPFields?)
        case stream(@Sendable (consuming sending ResponseWriter) async throws -> Void)
    }

    let content: Content

    /// These bytes.
    public static func bytes(_ bytes: [UInt8], trailers: HTTPFields? = nil) -> Self {
        Self(content: .bytes(bytes, trailers: trailers))
    }

    /// This text, in UTF-8.
    public static func string(_ string: String) -> Self { .bytes(Array(string.utf8)) }

    /// What a closure writes. It has to finish the writer; what it throws aborts the response.
    public static func stream(
        _ write: @escaping @Sendable (_ writer: consuming sending ResponseWriter) async throws -> Void
    ) -> Self {
        Self(content: .stream(write))
    }
}

/// An application of the simple form as a ``RequestHandler``.
public struct ApplicationHandler: RequestHandler {
    private let application: AsyncApplication

    /// A handler that calls an application.
    public init(_ application: @escaping AsyncApplication) { self.application = application }

    /// Serves the request with the application.
    public func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        let response = try await application(
            Request(head: request, context: requestContext, body: reader.sequence()))
        switch response.body.content {
        case .bytes(let bytes, let trailers):
            try await responseSender.sendAndFinish(response.head, bytes, trailers: trailers)
        case .stream(let write):
            try await write(try await responseSender.send(response.head))
        }
    }
}

/// A function that wraps a handler in another: middleware of the async contract.
public typealias HandlerMiddleware = @Sendable (_ handler: any RequestHandler) -> any RequestHandler
