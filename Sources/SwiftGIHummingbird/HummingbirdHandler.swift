#if Hummingbird

import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import SwiftGICore

/// Answers requests with the responder of an application of Hummingbird.
struct HummingbirdHandler<Responder: HTTPResponder>: RequestHandler
where Responder.Context: InitializableFromSource<ApplicationRequestContextSource> {
    let responder: Responder
    let logger: Logger
    let inbound: InboundBodies

    func handle(
        request head: HTTPRequest, requestContext: consuming SwiftGICore.RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        let gateway = requestContext
        let channel = await GatewayChannel(inbound.group, gateway)
        let pieces = BodyPieces(reader.sequence())
        let place = try await inbound.take()
        let scriptName = await gateway.variable("SCRIPT_NAME") ?? ""
        let request = HummingbirdCore.Request(head: head.below(scriptName), body: place.body(of: pieces))
        do {
            let response = try await respond(to: request, channel, gateway)
            try await send(response, responseSender)
        } catch {
            inbound.giveBack(place, isUsed: pieces.isAtEnd)
            throw error
        }
        inbound.giveBack(place, isUsed: pieces.isAtEnd)
    }

    private func respond(
        to request: HummingbirdCore.Request, _ channel: GatewayChannel, _ gateway: SwiftGICore.RequestContext
    ) async throws -> HummingbirdCore.Response {
        var logger = logger
        // The id that the server's own lines carry; a context has to have one.
        let id = await gateway.requestID
        logger[metadataKey: "hb.request.id"] = id.isEmpty ? .stringConvertible(RequestID()) : .string(id)
        return try await withLogger(logger) { logger in
            let context = Responder.Context(
                source: ApplicationRequestContextSource(channel: channel, logger: logger))
            do {
                return try await responder.respond(to: request, context: context)
            } catch let error as GatewayError {
                // The server knows what to answer.
                throw error
            } catch is CancellationError where Task.isCancelled {
                throw CancellationError()
            } catch {
                // What Hummingbird's own server answers.
                logger.error("the responder failed", error: error)
                return HummingbirdCore.Response(status: .internalServerError)
            }
        }
    }

    private func send(
        _ response: HummingbirdCore.Response, _ sender: consuming sending ResponseSender
    ) async throws {
        var head = response.head
        for name in HTTPField.Name.connectionFields { head.headerFields[name] = nil }
        // Hummingbird gives every response a length: 0 where there is no content to describe (RFC 9110,
        // sections 8.6 and 15.4.5).
        if head.status.code == 204 || head.status.code == 304 {
            head.headerFields[.contentLength] = nil
            head.headerFields[.contentType] = nil
        }
        try await response.body.write(GatewayBodyWriter(head, response.body.contentLength, sender))
    }
}

extension HTTPRequest {
    /// The request as an application sees it that does not know where it is mounted: its routes begin
    /// behind the path that leads to it.
    fileprivate func below(_ scriptName: String) -> HTTPRequest {
        guard !scriptName.isEmpty, let path, path.utf8.starts(with: scriptName.utf8) else { return self }
        let rest = Substring(path.utf8.dropFirst(scriptName.utf8.count))
        guard rest.isEmpty || rest.hasPrefix("/") || rest.hasPrefix("?") else { return self }
        var request = self
        request.path = rest.hasPrefix("/") ? String(rest) : "/\(rest)"
        return request
    }
}

extension HTTPField.Name {
    /// What concerns a connection, which is the server's, and which Hummingbird's server lets an
    /// application decide.
    fileprivate static let connectionFields =
        [.connection, .te, .trailer, .transferEncoding, .upgrade]
        + ["Keep-Alive", "Proxy-Connection"].compactMap { HTTPField.Name($0) }
}

/// The body of a request in Hummingbird's buffers.
struct BodyPieces: AsyncSequence, Sendable {
    private let body: SwiftGICore.RequestBody
    private let end = Flag()

    init(_ body: SwiftGICore.RequestBody) { self.body = body }

    /// Whether somebody has read to the end.
    var isAtEnd: Bool { end.isSet }

    struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate var iterator: SwiftGICore.RequestBody.AsyncIterator
        fileprivate let end: Flag

        mutating func next() async throws -> ByteBuffer? {
            guard let piece = try await iterator.next() else {
                end.set()
                return nil
            }
            return ByteBuffer(bytes: piece)
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(iterator: body.makeAsyncIterator(), end: end) }
}

#endif
