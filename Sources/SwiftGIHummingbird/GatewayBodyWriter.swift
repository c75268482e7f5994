#if Hummingbird

import HTTPTypes
import HummingbirdCore
import NIOCore
import SwiftGICore
import Synchronization

/// Writes the body of a response, after its head.
///
/// Hummingbird's writers can be copied. A body is written by one task at a time.
struct GatewayBodyWriter: ResponseBodyWriter, Sendable {
    private let state: State

    /// - Parameter contentLength: The length of the body, if Hummingbird knows it.
    init(_ head: HTTPResponse, _ contentLength: Int?, _ sender: consuming sending ResponseSender) {
        state = State(head, contentLength, sender)
    }

    func write(_ buffer: ByteBuffer) async throws {
        try await state.write(Array(buffer.readableBytesView))
    }

    consuming func finish(_ trailers: HTTPFields?) async throws { try await state.finish(trailers) }

    private final class State: @unchecked Sendable {
        // Sendable: whoever writes a body does so one piece after the other.
        private let head: HTTPResponse
        private let contentLength: Int?
        private var count = 0
        private var sender: ResponseSender?
        private var writer: SharedWriter?

        init(_ head: HTTPResponse, _ contentLength: Int?, _ sender: consuming sending ResponseSender) {
            self.head = head
            self.contentLength = contentLength
            self.sender = consume sender
        }

        /// The piece with which the body is as long as it is said to be ends the response: a client that
        /// has got all of it may go while the application tidies up.
        func write(_ bytes: [UInt8]) async throws {
            if bytes.isEmpty { return }
            count += bytes.count
            guard count == contentLength else { return try await open().write(bytes) }
            if let sender = sender.take() { return try await sender.sendAndFinish(head, bytes) }
            try await open().finish(bytes, trailers: nil)
        }

        func finish(_ trailers: HTTPFields?) async throws {
            if let contentLength, contentLength > 0, count == contentLength { return }
            if let sender = sender.take() { return try await sender.sendAndFinish(head, [], trailers: trailers) }
            try await open().finish([], trailers: trailers)
        }

        /// The writer, behind the head.
        private func open() async throws -> SharedWriter {
            if let writer { return writer }
            guard let sender = sender.take() else { throw WriterFinished() }
            let writer = try await sender.send(head).shared
            self.writer = writer
            return writer
        }
    }
}

/// A body was written on behind its end.
private struct WriterFinished: Error {}

#endif
