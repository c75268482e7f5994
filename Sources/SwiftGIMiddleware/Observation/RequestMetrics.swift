#if Metrics

import HTTPTypes
import Metrics
public import SwiftGICore
import Synchronization

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
            let head = Head()
            // The last head is the one that counts: an error may replace those before it.
            environ.onFinish { record(method, head, start) }
            var body: Body?
            func measured(_ work: () throws -> Void) throws {
                do { try work() } catch {
                    recordError()
                    throw error
                }
            }
            try measured {
                body = try application(&environ) { status, fields, error in
                    try startResponse(status, fields, error)
                    head.note(status)
                }
            }
            return (body.take() ?? .empty).run(inside: measured)
        }
    }

    /// The handler, measured.
    public func wrap(_ handler: any RequestHandler) -> any RequestHandler {
        ClosureHandler { request, context, reader, sender in
            let start = ContinuousClock.now
            let head = Head()
            defer { record(request.method.rawValue, head, start) }
            do {
                try await handler.handle(
                    request: request, requestContext: context, reader: reader,
                    responseSender: sender.transforming { response in
                        head.note(response.status)
                        return nil
                    })
            } catch {
                recordError()
                throw error
            }
        }
    }

    /// The last head of a response, and when it was there.
    private final class Head: Sendable {
        private let last = Mutex<(status: Int, time: ContinuousClock.Instant)?>(nil)

        func note(_ status: HTTPResponse.Status) {
            let status = status.code
            last.withLock { $0 = (status, ContinuousClock.now) }
        }

        var noted: (status: Int, time: ContinuousClock.Instant)? { last.withLock { $0 } }
    }

    private func record(_ method: String, _ head: Head, _ start: ContinuousClock.Instant) {
        guard let (status, time) = head.noted else { return }
        // A client can make methods up without end, and a backend keeps each.
        let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
        let dimensions = [
            ("method", known.contains(method) ? method : "other"), ("status", "\(status)"),
            ("application", application),
        ]
        Counter(label: "swiftgi_requests_total", dimensions: dimensions).increment()
        let duration = (time - start).components
        Metrics.Timer(label: "swiftgi_request_duration_seconds", dimensions: dimensions)
            .recordNanoseconds(duration.seconds * 1_000_000_000 + duration.attoseconds / 1_000_000_000)
    }

    private func recordError() {
        Counter(label: "swiftgi_request_errors_total", dimensions: [("application", application)]).increment()
    }
}

#endif
