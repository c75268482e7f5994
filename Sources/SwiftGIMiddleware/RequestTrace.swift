import HTTPTypes
public import SwiftGICore

extension Environ.Key<TraceContext> {
    /// `swiftgi-middleware.trace`: where the request belongs in a distributed trace.
    public static var trace: Self { Self("swiftgi-middleware.trace") }
}

/// Gives each request its place in a distributed trace, and answers with the request's id.
///
/// It reads the caller's `traceparent` and `tracestate`, or begins a trace, and sets the entry
/// ``SwiftGICore/Environ/Key/trace``. What a `Logger` writes while the application works for the request
/// has `trace_id` and `span_id`, beside the request id that the server adds. The response has
/// `X-Request-ID`, the id of the server's log lines, by which a user's complaint can be found.
public struct RequestTrace: CommonMiddleware {
    /// The trace that the current task works for.
    @TaskLocal public static var current: TraceContext?

    /// Traces.
    public init() {}

    /// The application, its requests traced.
    ///
    /// ``current`` and the log's ids are there in the call of the application, and behind it in what a pull
    /// or push body runs.
    public func wrap(_ application: @escaping Application) -> Application {
        { environ, startResponse in
            let trace = TraceContext(of: environ["HTTP_TRACEPARENT"], environ["HTTP_TRACESTATE"])
            environ[.trace] = trace
            let id = environ.requestID
            func within(_ body: () throws -> Void) throws {
                try Self.$current.withValue(trace) {
                    try GatewayLogHandler.$current.withValue(trace.metadata, operation: body)
                }
            }
            var body: Body?
            try within {
                body = try application(&environ) { status, fields, error in
                    var fields = fields
                    if !id.isEmpty { fields[.requestID] = id }
                    try startResponse(status, fields, error)
                }
            }
            return (body.take() ?? .empty).run(inside: within)
        }
    }

    /// The handler, its requests traced.
    public func wrap(_ handler: any RequestHandler) -> any RequestHandler {
        ClosureHandler { request, context, reader, sender in
            let trace = TraceContext(
                of: request.headerFields[.traceparent], request.headerFields[.tracestate])
            let id = await context.requestID
            var context = context
            context[.trace] = trace
            let call = HandlerCall(
                handler, request, context, reader,
                sender.transforming { response in
                    if !id.isEmpty { response.headerFields[.requestID] = id }
                    return nil
                })
            try await Self.$current.withValue(trace) {
                try await GatewayLogHandler.$current.withValue(trace.metadata) { try await call.run() }
            }
        }
    }
}

extension TraceContext {
    fileprivate init(of traceparent: String?, _ tracestate: String?) {
        if let traceparent, let trace = TraceContext(traceparent: traceparent, tracestate: tracestate ?? "") {
            self = trace
        } else {
            self.init()
        }
    }
}
