import HTTPTypes
public import SwiftGICore

/// Says how long an application took until it began its response: in the field `Server-Timing`, which
/// browsers show among a request's timings.
public struct Timing: CommonMiddleware {
    private let metric: String

    /// A timer.
    ///
    /// - Parameter metric: The name of the figure, an HTTP token.
    public init(metric: String = "app") { self.metric = metric }

    /// The application, timed.
    public func wrap(_ application: @escaping Application) -> Application {
        { environ, startResponse in
            let start = ContinuousClock.now
            return try application(&environ) { status, fields, error in
                var fields = fields
                add(to: &fields, since: start)
                try startResponse(status, fields, error)
            }
        }
    }

    /// The handler, timed.
    public func wrap(_ handler: any RequestHandler) -> any RequestHandler {
        ClosureHandler { request, context, reader, sender in
            let start = ContinuousClock.now
            try await handler.handle(
                request: request, requestContext: context, reader: reader,
                responseSender: sender.transforming { response in
                    add(to: &response.headerFields, since: start)
                    return nil
                })
        }
    }

    private func add(to fields: inout HTTPFields, since start: ContinuousClock.Instant) {
        let (seconds, attoseconds) = (ContinuousClock.now - start).components
        let microseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
        let fraction = "\(1000 + microseconds % 1000)".dropFirst()
        fields.append(HTTPField(name: .serverTiming, value: "\(metric);dur=\(microseconds / 1000).\(fraction)"))
    }
}
