#if Metrics

import HTTPTypes
import Metrics
public import SwiftGICore

/// Counts and times requests, for whatever backend the application has given swift-metrics.
///
/// | Label | Kind | Dimensions |
/// |---|---|---|
/// | `swiftgi_requests_total` | counter | `method`, `status`, `application` |
/// | `swiftgi_request_duration_seconds` | timer, until the head of the response | `method`, `status`, `application` |
/// | `swiftgi_request_errors_total` | counter: requests that ended with an error | `application` |
public struct RequestMetrics: CommonMiddleware {
    private let application: String

    /// Metrics.
    ///
    /// - Parameter application: The value of the dimension `application`.
    public init(application: String) { self.application = application }

    /// The application, measured.
    public func wrap(_ application: @escaping Application) -> Application {
        { environ, startResponse in
            let start = ContinuousClock.now
            let method = environ.method
            do {
                return try application(&environ) { status, fields, error in
                    try startResponse(status, fields, error)
                    record(method, status, start)
                }
            } catch {
                recordError()
                throw error
            }
        }
    }

    /// The handler, measured.
    public func wrap(_ handler: any RequestHandler) -> any RequestHandler {
        ClosureHandler { request, context, reader, sender in
            let start = ContinuousClock.now
            do {
                try await handler.handle(
                    request: request, requestContext: context, reader: reader,
                    responseSender: sender.transforming { response in
                        record(request.method.rawValue, response.status, start)
                        return nil
                    })
            } catch {
                recordError()
                throw error
            }
        }
    }

    private func record(_ method: String, _ status: HTTPResponse.Status, _ start: ContinuousClock.Instant) {
        // A client can make methods up without end, and a backend keeps each.
        let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
        let dimensions = [
            ("method", known.contains(method) ? method : "other"), ("status", "\(status.code)"),
            ("application", application),
        ]
        Counter(label: "swiftgi_requests_total", dimensions: dimensions).increment()
        let duration = (ContinuousClock.now - start).components
        Metrics.Timer(label: "swiftgi_request_duration_seconds", dimensions: dimensions)
            .recordNanoseconds(duration.seconds * 1_000_000_000 + duration.attoseconds / 1_000_000_000)
    }

    private func recordError() {
        Counter(label: "swiftgi_request_errors_total", dimensions: [("application", application)]).increment()
    }
}

#endif
