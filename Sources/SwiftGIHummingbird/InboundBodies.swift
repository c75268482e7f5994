#if Hummingbird

import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTPTypes
import Synchronization

/// Places for the bodies of requests.
///
/// Hummingbird's `consumeWithCancellationOnInboundClose` and `consumeWithInboundCloseHandler` end the
/// process for a body that does not come from one of NIO's channels. A body that is put in the place of
/// such a one is what they accept: behind its end they wait for that channel, on which nothing ever
/// comes, until the request's task is cancelled because the client has gone. Nothing else touches it,
/// so that requests can use it one after the other until one has waited there.
final class InboundBodies: Sendable {
    let group: any EventLoopGroup
    private let free = Mutex<[Place]>([])

    init(_ group: any EventLoopGroup) { self.group = group }

    /// A place that nobody else has.
    func take() async throws -> Place {
        if let place = free.withLock({ $0.popLast() }) { return place }
        return try await Place.make(on: group.any())
    }

    func giveBack(_ place: Place, isUsed: Bool) {
        if isUsed { place.close() } else { free.withLock { $0.append(place) } }
    }

    /// Closes those that nobody has.
    func discard() {
        for place in free.withLock({ places in
            defer { places = [] }; return places
        }) { place.close() }
    }

    /// One channel, on which a request began whose end never comes.
    final class Place: Sendable {
        private let request: HummingbirdCore.Request
        private let channel: GatewayChannel
        private let end: AsyncStream<Never>.Continuation

        private init(
            _ request: HummingbirdCore.Request, _ channel: GatewayChannel, _ end: AsyncStream<Never>.Continuation
        ) {
            self.request = request
            self.channel = channel
            self.end = end
        }

        /// These pieces as a body in this place.
        func body(of pieces: BodyPieces) -> HummingbirdCore.RequestBody {
            var request = request
            request.body = HummingbirdCore.RequestBody(asyncSequence: pieces)
            return request.body
        }

        func close() {
            channel.close(promise: nil)
            end.finish()
        }

        static func make(on eventLoop: any EventLoop) async throws -> Place {
            let channel = GatewayChannel(eventLoop)
            let asyncChannel = try await eventLoop.submit {
                let asyncChannel = try NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>(
                    wrappingChannelSynchronously: channel)
                // Behind the one request of a connection that is to be closed nothing is read.
                let head = HTTPRequest(
                    method: .get, scheme: "http", authority: nil, path: "/", headerFields: [.connection: "close"])
                channel.pipeline.fireChannelRead(HTTPRequestPart.head(head))
                channel.pipeline.fireChannelReadComplete()
                return asyncChannel
            }.get()
            let (ends, end) = AsyncStream<Never>.makeStream()
            let (requests, found) = AsyncStream<HummingbirdCore.Request>.makeStream()
            let server = HTTP1Channel(
                responder: { request, _, _ in
                    found.yield(request)
                    for await _ in ends {}
                })
            Task.detached {
                await server.handleHTTP(asyncChannel: asyncChannel, logger: Logger(label: "SwiftGIHummingbird"))
                found.finish()
            }
            for await request in requests { return Place(request, channel, end) }
            throw ChannelError.eof
        }
    }
}

/// Something that happens once.
final class Flag: Sendable {
    private let value = Atomic(false)

    var isSet: Bool { value.load(ordering: .relaxed) }

    func set() { value.store(true, ordering: .relaxed) }
}

#endif
