import Glibc
import Logging
import SwiftGI

/// What the tests of the async contract call: PATH_INFO picks what it does.
struct Waiting: RequestHandler {
    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        let call = await Call(requestContext)
        guard let route = routes[call.path] else {
            return try await responseSender.sendAndFinish(HTTPResponse(status: .notFound))
        }
        begin()
        defer { end() }
        try await route(call, reader, responseSender)
    }
}

@c public func swiftgi_application() -> ApplicationTable { export(handler: Waiting()) }

typealias Route =
    @Sendable (_ call: Call, _ reader: consuming sending RequestReader, _ sender: consuming sending ResponseSender)
    async throws -> Void

private let routes: [String: Route] = responseRoutes.merging(requestRoutes) { $1 }.merging(taskRoutes) { $1 }
    .merging(endingRoutes) { $1 }
    .merging(raceRoutes) { $1 }

let plain = HTTPResponse(status: .ok, headerFields: [.contentType: "text/plain"])

/// One request, as the routes see it.
struct Call: Sendable {
    let context: RequestContext
    let path: String
    private let query: [Substring: Substring]

    init(_ context: RequestContext) async {
        self.context = context
        path = await context.variable("PATH_INFO") ?? ""
        let pairs = (await context.variable("QUERY_STRING") ?? "").split(separator: "&").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (parts[0], parts.count > 1 ? parts[1] : "")
        }
        query = Dictionary(pairs) { $1 }
    }

    /// A parameter, without percent decoding: tests send none that need it.
    subscript(name: Substring) -> String? { query[name].map { String($0) } }

    func number(_ name: Substring, _ fallback: Int = 0) -> Int { self[name].flatMap { Int($0) } ?? fallback }

    /// What tests wait for and read: lines of the error log that are nothing bad.
    func journal(_ message: String) { context.logger.info("\(message)") }

    /// Returns when the file exists that the parameter `gate` names: what tests let requests wait for.
    func passGate() async throws {
        while access(self["gate"] ?? "", F_OK) != 0 { try await Task.sleep(for: .milliseconds(5)) }
    }
}
