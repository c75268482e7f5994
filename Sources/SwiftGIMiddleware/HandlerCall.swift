import HTTPTypes
import Logging
import SwiftGICore

/// A call of a handler that is to be made inside a closure, which can't consume what it captures.
final class HandlerCall: @unchecked Sendable {
    // Sendable: it is run once, by the task that made it.
    private let handler: any RequestHandler
    private let request: HTTPRequest
    private let context: RequestContext
    private var reader: RequestReader?
    private var sender: ResponseSender?

    init(
        _ handler: any RequestHandler, _ request: HTTPRequest, _ context: RequestContext,
        _ reader: consuming sending RequestReader, _ sender: consuming sending ResponseSender
    ) {
        self.handler = handler
        self.request = request
        self.context = context
        self.reader = consume reader
        self.sender = consume sender
    }

    func run() async throws {
        guard let reader = reader.take(), let sender = sender.take() else { return }
        try await handler.handle(
            request: request, requestContext: context, reader: reader, responseSender: sender)
    }
}

extension TraceContext {
    /// What log lines say of it.
    var metadata: Logger.Metadata { ["trace_id": .string(traceID), "span_id": .string(spanID)] }
}
