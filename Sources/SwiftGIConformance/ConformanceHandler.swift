import Glibc
package import HTTPTypes
package import SwiftGICore

/// The applications of all cases behind the async contract: those of ``asyncConformanceCases()`` as
/// they are, those of ``conformanceCases()`` through ``GatewayHandler``.
///
/// Where the server sets the variable ``waitVariable`` each request first waits, so that what follows
/// runs where the server goes on with it.
package struct ConformanceHandler: RequestHandler {
    package static let waitVariable = "SWIFTGI_TEST_WAIT"

    package init() {}

    package func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        let context = requestContext
        let path = await context.variable("PATH_INFO") ?? ""
        if await context.variable(Self.waitVariable) != nil, !path.hasPrefix("/journal/") {
            // Until it is another thread's, which some servers have and which may take a few times.
            let thread = pthread_self()
            for _ in 0..<5 where pthread_equal(thread, pthread_self()) != 0 { try await waitForAnotherThread() }
        }
        let segments = path.split(separator: "/", maxSplits: 2)
        let handler = segments.count > 1 ? handlers["\(segments[0])/\(segments[1])"] : nil
        try await (handler ?? bridge).handle(
            request: request, requestContext: context, reader: reader, responseSender: responseSender)
    }
}

private let bridge: any RequestHandler = GatewayHandler(conformanceApplication)

private let handlers = Dictionary(
    asyncConformanceCases().compactMap { conformanceCase in
        if case .handler(let handler) = conformanceCase.entry { (conformanceCase.name, handler) } else { nil }
    }, uniquingKeysWith: { first, _ in first })

/// Returns when a thread that is not the request's says so, after a while: the request waits.
func waitForAnotherThread() async throws {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        do throws(GatewayError) {
            try DetachedThread.start {
                usleep(1000)
                continuation.resume()
            }
        } catch {
            continuation.resume(throwing: error)
        }
    }
}

/// A handler out of a closure.
struct CaseHandler: RequestHandler {
    typealias Body =
        @Sendable (
            _ request: CaseRequest, _ reader: consuming sending RequestReader,
            _ sender: consuming sending ResponseSender
        ) async throws -> Void

    let body: Body

    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        try await body(CaseRequest(head: request, context: requestContext), reader, responseSender)
    }
}

/// What handlers of cases ask for.
struct CaseRequest: Sendable {
    let head: HTTPRequest
    let context: RequestContext

    var query: String {
        get async { await context.variable("QUERY_STRING") ?? "" }
    }

    var journal: Journal {
        get async throws {
            try Journal(
                directory: await context.variable(Journal.directory),
                token: await context.variable(Journal.variable) ?? "")
        }
    }
}

// What the handlers of the suite answer with.

let textHead = HTTPResponse(status: .ok, headerFields: textType)

func reply(_ sender: consuming sending ResponseSender, _ text: String) async throws {
    try await sender.sendAndFinish(textHead, Array(text.utf8))
}

/// Lines `name=value`; a value that is absent has none.
func report(_ sender: consuming sending ResponseSender, _ values: KeyValuePairs<String, String?>) async throws {
    try await reply(sender, values.map { name, value in value.map { "\(name)=\($0)\n" } ?? "" }.joined())
}

/// Sends pieces in the way that a request's query names; `swallow` goes on after errors.
func send(
    _ kind: String, _ pieces: [[UInt8]], _ head: HTTPResponse, _ sender: consuming sending ResponseSender
) async throws {
    switch kind {
    case "whole":
        try await sender.sendAndFinish(head, pieces.reduce(into: []) { $0 += $1 })
    case "last":
        var writer = try await sender.send(head)
        for piece in pieces.dropLast() { try await writer.write(piece) }
        try await writer.finish(pieces.last ?? [])
    case "swallow":
        var writer = try await sender.send(head)
        for piece in pieces { try? await writer.write(piece) }
        try? await writer.finish()
    default:
        var writer = try await sender.send(head)
        for piece in pieces { try await writer.write(piece) }
        try await writer.finish()
    }
}

/// As ``code(_:)`` has it.
func code(of error: any Error) -> String {
    if let error = error as? GatewayError { return error.code.description }
    return error is CancellationError ? "cancelled" : "\(error)"
}
