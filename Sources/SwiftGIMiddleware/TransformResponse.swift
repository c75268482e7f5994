import HTTPTypes
public import SwiftGICore

/// Changes responses: the head, and with a filter the content.
///
/// ```swift
/// let secured = TransformResponse { response in
///     response.headerFields[.strictTransportSecurity] = "max-age=31536000"
///     return nil
/// }
/// ```
///
/// A filter gets the bytes as they are sent, so that a stream stays one; the length is then unknown, and
/// `Content-Length` is taken out of the head.
public struct TransformResponse: CommonMiddleware {
    private let transform: ResponseTransform

    /// Middleware out of a function that gets each head and may return a filter for the body.
    public init(_ transform: @escaping ResponseTransform) { self.transform = transform }

    /// The application, its responses changed.
    public func wrap(_ application: @escaping Application) -> Application {
        { environ, startResponse in
            var filter: (any BodyFilter)?
            let body = try application(&environ) { status, fields, error in
                var response = HTTPResponse(status: status, headerFields: fields)
                filter = apply(to: &response)
                try startResponse(response.status, response.headerFields, error)
            }
            if let filter { return body.filtered(by: filter) }
            return body
        }
    }

    /// The handler, its responses changed.
    public func wrap(_ handler: any RequestHandler) -> any RequestHandler {
        ClosureHandler { request, context, reader, sender in
            try await handler.handle(
                request: request, requestContext: context, reader: reader,
                responseSender: sender.transforming { apply(to: &$0) })
        }
    }

    private func apply(to response: inout HTTPResponse) -> (any BodyFilter)? {
        let filter = transform(&response)
        if filter != nil { response.headerFields[.contentLength] = nil }
        return filter
    }
}
