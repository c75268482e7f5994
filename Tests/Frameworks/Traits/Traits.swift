import InMemoryTracing
import Logging
import Metrics
import MetricsTestKit
import SwiftGI
import SwiftGIMiddleware
import Tracing

/// What of the middleware is behind traits: sessions below `/<contract>/<keys>`, and what metrics and
/// traces came of it at `/metrics` and `/spans`.
struct Traits: GatewayApplication {
    let application: Application

    static var metadataProvider: Logger.MetadataProvider? {
        Logger.MetadataProvider {
            ServiceContext.current?.inMemorySpanContext.map { ["trace": "\($0.traceID)"] } ?? [:]
        }
    }

    init(_ startup: Startup) async throws {
        let metrics = TestMetrics()
        MetricsSystem.bootstrap(metrics)
        let tracer = InMemoryTracer()
        InstrumentationSystem.bootstrap(tracer)
        var applications: [String: Application] = [
            "/metrics": { _, startResponse in
                try startResponse(.ok, [.contentType: "text/plain"], nil)
                return .string(Self.describe(metrics))
            },
            "/spans": { _, startResponse in
                try startResponse(.ok, [.contentType: "text/plain"], nil)
                let spans = tracer.finishedSpans.map { span in
                    "\(span.operationName) \(span.traceID) \(span.parentSpanID ?? "-") \(span.errors.count)\n"
                }
                return .string(spans.joined())
            },
        ]
        var handlers: [String: any RequestHandler] = [:]
        for (name, sessions) in try Self.sessions() {
            applications["/gateway/\(name)"] = wrapped(
                visit, by: RequestTracing(), RequestMetrics(application: "traits"), sessions)
            handlers["/async/\(name)"] = ApplicationHandler(asyncVisit).wrapped(
                by: RequestTracing(), RequestMetrics(application: "traits"), sessions)
        }
        applications["/gateway/replaced"] = wrapped(
            replaced, by: RequestTracing(), RequestMetrics(application: "replaced"), ErrorPages())
        handlers["/async/replaced"] = ApplicationHandler { request in
            try change(request)
        }.wrapped(by: RequestTracing(), RequestMetrics(application: "replaced"), ErrorPages())
        applications["/gateway/late"] = wrapped(late, by: RequestTracing(), RequestMetrics(application: "late"))
        handlers["/async/late"] = ApplicationHandler { _ in asyncLate }.wrapped(
            by: RequestTracing(), RequestMetrics(application: "late"))
        application = Mount(applications).adding(Mount(handlers: handlers)).application
    }

    private static func sessions() throws -> [(String, SignedSessions)] {
        let old = Array(repeating: UInt8(1), count: 32)
        let new = Array(repeating: UInt8(2), count: 40)
        return [
            ("old", try SignedSessions(keys: [old])), ("both", try SignedSessions(keys: [new, old])),
            ("new", try SignedSessions(keys: [new])), ("other", try SignedSessions(keys: [old], cookie: "other")),
            ("short", try SignedSessions(keys: [old], lifetime: .seconds(1))),
        ]
    }

    private static func describe(_ metrics: TestMetrics) -> String {
        let counters = metrics.counters.map { counter in
            "\(counter.label) \(counter.dimensions.map { "\($0.0)=\($0.1)" }.joined(separator: ",")) \(counter.totalValue)\n"
        }
        let timers = metrics.timers.map { timer in
            "\(timer.label) \(timer.dimensions.map { "\($0.0)=\($0.1)" }.joined(separator: ",")) \(timer.values.count)\n"
        }
        return (counters + timers).sorted().joined()
    }
}

@c public func swiftgi_application() -> ApplicationTable { export(Traits.self) }

private struct Failure: Error {}

/// A head, and then a failure that replaces it.
private let replaced: Application = { _, startResponse in
    try startResponse(.ok, [.contentType: "text/plain"], nil)
    throw Failure()
}

private func change(_ request: Request) throws -> Response {
    Response(headers: [.contentType: "text/plain"], body: .stream { _ in throw Failure() })
}

/// A body that fails behind its first piece, and says in the log where it belongs.
private let late: Application = { _, startResponse in
    try startResponse(.ok, [.contentType: "text/plain"], nil)
    return .push { writer in
        Logger(label: "traits").notice("in the body")
        try writer.write("part")
        throw Failure()
    }
}

private let asyncLate = Response(
    headers: [.contentType: "text/plain"],
    body: .stream { writer in
        Logger(label: "traits").notice("in the body")
        var writer = writer
        try await writer.write(Array("part".utf8))
        throw Failure()
    })

/// What a request does to its session, by the last part of its path.
private func change(_ session: Session?, _ action: String) throws -> String {
    guard let session else { return "no session" }
    switch action {
    case "/visit":
        let visits = (session["visits"].flatMap { Int($0) } ?? 0) + 1
        session["visits"] = "\(visits)"
        session["näme=&"] = "wert; \"x\" %"
        return "\(visits)"
    case "/look": return "\(session["visits"] ?? "none") \(session["näme=&"] ?? "none")"
    case "/clear": session.removeAll()
    case "/large": session["large"] = String(repeating: "x", count: 5000)
    case "/fail": throw Failure()
    default: return "untouched"
    }
    return "done"
}

private let visit: Application = { environ, startResponse in
    let text = try change(environ[.session], environ.pathInfo)
    try startResponse(.ok, [.contentType: "text/plain"], nil)
    return .string(text + "\n")
}

private let asyncVisit: AsyncApplication = { request in
    let text = try change(request.context[.session], await request.context.variable("PATH_INFO") ?? "")
    return Response(headers: [.contentType: "text/plain"], body: .string(text + "\n"))
}
