import HTTPTypes
public import SwiftGICore

/// Middleware that checks both sides against the specification: the application inside it, and what the
/// server and the middleware outside it make of the request.
///
/// ```swift
/// @c public func swiftgi_application() -> ApplicationTable { export(Validator().wrap(hello)) }
/// ```
///
/// It is for development and tests. What breaks a rule fails with a ``ValidationError`` that names it;
/// what the specification only recommends (SHOULD) is a rule here too.
///
/// | Rule | What is checked |
/// |---|---|
/// | A1 | `startResponse` is called before the application returns, and once but for errors |
/// | A2 | an error that `startResponse` threw is not swallowed |
/// | A3, W24, W25, W26 | status and fields: what the server would refuse |
/// | A4 | the body is as long as `Content-Length` says |
/// | A5 | there is a `Content-Type` exactly where there is content |
/// | A6 | nothing is left on the thread or in the environment variables for a next request |
/// | A7 | input, errors and writer of an application are used on the request's thread, and not behind its end |
/// | A8 | working directory, user, standard descriptors and signal handlers are left alone |
/// | A9 | `run` returns when its task is cancelled, and `shutdown` soon; with `SWIFTGI_VALIDATE=1` |
/// | A10 | a trap is logged with all requests that the process was serving |
/// | W4 to W8, W10 | the variables and entries of the request |
/// | W28 | a handler finishes its response before it returns |
/// | W46 | 204 and 304 come without content and what describes it |
public struct Validator: CommonMiddleware {
    /// A validator.
    public init() {}

    /// The application, under observation.
    public func wrap(_ application: @escaping Application) -> Application {
        { environ, startResponse in
            try checkVariables { environ[$0] }
            try checkEntries(environ)
            let place = Traps.enter(environ.method, environ.pathInfo)
            environ.onFinish { Traps.leave(place) }
            let process = ProcessState()
            let thread = ThreadState()
            observeUse(of: environ.exchange)
            let response = ResponseState(method: environ.method)
            let body = try application(&environ) { status, fields, error in
                try response.start(status, fields, isReplacement: error != nil) {
                    try startResponse(status, fields, error)
                }
            }
            if let violation = violation(thread, process) { throw violation }
            try response.checkReturn(of: body)
            // Behind its end the response can't fail any more.
            let exchange = environ.exchange
            environ.onFinish { [unowned exchange] in
                if let violation = violation(thread, process) { exchange.logApart(.error, "\(violation)") }
            }
            return response.counted(body)
        }
    }

    /// The handler, under observation.
    public func wrap(_ handler: any RequestHandler) -> any RequestHandler {
        // An application behind a bridge owes what applications owe, its files included.
        if let bridge = handler as? GatewayHandler { return GatewayHandler(wrap(bridge.application)) }
        return ClosureHandler { request, context, reader, sender in
            let variables = try await context.environ.variables
            try checkVariables { variables[$0] }
            let place = Traps.enter(request.method.rawValue, request.path ?? "")
            defer { Traps.leave(place) }
            let process = ProcessState()
            let thread = ThreadState()
            let response = HandlerResponseState(method: request.method)
            do {
                try await handler.handle(
                    request: request, requestContext: context, reader: reader,
                    responseSender: sender.transforming { response.start(&$0) })
            } catch {
                if let violation = response.violation { throw violation }
                throw error
            }
            if let violation = violation(thread, process) { throw violation }
            try response.checkReturn()
        }
    }

    private func violation(_ thread: ThreadState, _ process: ProcessState) -> ValidationError? {
        if let change = thread.change { return ValidationError("A6", change) }
        return process.change.map { ValidationError("A8", $0) }
    }
}
