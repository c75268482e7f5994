#if Tracing

import HTTPTypes
import Instrumentation
public import SwiftGICore
import Tracing

/// Opens a span of swift-distributed-tracing for each request, below the one that its fields name.
///
/// The tracer is the one that the application bootstrapped. For a framework's application, which has such
/// middleware of its own, one of the two is enough.
public struct RequestTracing: CommonMiddleware {
    /// Spans for requests.
    public init() {}

    /// The application, in a span that ends when the request does: what a pull or push body runs is in it.
    public func wrap(_ application: @escaping Application) -> Application {
        { environ, startResponse in
            let span = startSpan(environ.method, environ.headers)
            environ.onFinish { span.end() }
            func within(_ work: () throws -> Void) throws {
                do {
                    try ServiceContext.$current.withValue(span.context, operation: work)
                } catch {
                    span.recordError(error)
                    span.setStatus(SpanStatus(code: .error))
                    throw error
                }
            }
            var body: Body?
            try within {
                body = try application(&environ) { status, fields, error in
                    try startResponse(status, fields, error)
                    Self.finish(span, status)
                }
            }
            return (body.take() ?? .empty).run(inside: within)
        }
    }

    /// The handler, in a span.
    public func wrap(_ handler: any RequestHandler) -> any RequestHandler {
        ClosureHandler { request, context, reader, sender in
            let span = startSpan(request.method.rawValue, request.headerFields)
            defer { span.end() }
            let call = HandlerCall(
                handler, request, context, reader,
                sender.transforming { response in
                    Self.finish(span, response.status)
                    return nil
                })
            do {
                try await ServiceContext.$current.withValue(span.context) { try await call.run() }
            } catch {
                span.recordError(error)
                span.setStatus(SpanStatus(code: .error))
                throw error
            }
        }
    }

    private func startSpan(_ method: String, _ fields: HTTPFields) -> any Span {
        var context = ServiceContext.current ?? .topLevel
        InstrumentationSystem.instrument.extract(fields, into: &context, using: FieldExtractor())
        let span = InstrumentationSystem.tracer.startSpan(method, context: context, ofKind: .server)
        span.attributes["http.request.method"] = method
        return span
    }

    private static func finish(_ span: any Span, _ status: HTTPResponse.Status) {
        span.attributes["http.response.status_code"] = status.code
        if status.kind == .serverError { span.setStatus(SpanStatus(code: .error)) }
    }

    private struct FieldExtractor: Extractor {
        func extract(key: String, from fields: HTTPFields) -> String? { HTTPField.Name(key).flatMap { fields[$0] } }
    }
}

#endif
