import SwiftGI

/// The Hello sample as a handler: what the costs of the two contracts are compared with.
struct AsyncHello: RequestHandler {
    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        try await responseSender.sendAndFinish(
            HTTPResponse(status: .ok, headerFields: [.contentType: "text/plain"]), Array("Hello, world!\n".utf8))
    }
}

@c public func swiftgi_application() -> ApplicationTable { export(handler: AsyncHello()) }
