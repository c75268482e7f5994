/// Middleware that comes in both contracts, and does the same in each.
///
/// ```swift
/// let application = wrapped(hello, by: Timing(), ErrorPages())
/// let handler = Hello().wrapped(by: Timing(), ErrorPages())
/// ```
///
/// What one adds to a request is a typed entry: `environ[.trace]` in the gateway contract,
/// `requestContext[.trace]` in the async contract.
public protocol CommonMiddleware: Sendable {
    /// The application inside this.
    func wrap(_ application: @escaping Application) -> Application

    /// The handler inside this.
    func wrap(_ handler: any RequestHandler) -> any RequestHandler
}

/// An application inside middleware, of which the first is the outermost.
public func wrapped(_ application: @escaping Application, by middleware: any CommonMiddleware...) -> Application {
    middleware.reversed().reduce(application) { $1.wrap($0) }
}

extension RequestHandler {
    /// This handler inside middleware, of which the first is the outermost.
    public func wrapped(by middleware: any CommonMiddleware...) -> any RequestHandler {
        middleware.reversed().reduce(self as any RequestHandler) { $1.wrap($0) }
    }
}

extension CommonMiddleware {
    /// This, where a ``Middleware`` is asked for.
    public var middleware: Middleware { { self.wrap($0) } }

    /// This, where a ``HandlerMiddleware`` is asked for.
    public var handlerMiddleware: HandlerMiddleware { { self.wrap($0) } }
}
