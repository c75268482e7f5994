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
        private var sender: ResponseSender?
        private var writer: SharedWriter?
        /// A piece that is the whole body leaves together with the head and the end.
        private var whole: [UInt8]?

        init(_ head: HTTPResponse, _ contentLength: Int?, _ sender: consuming sending ResponseSender) {
            self.head = head
            self.contentLength = contentLength
            self.sender = consume sender
        }

        func write(_ bytes: [UInt8]) async throws {
            if bytes.isEmpty { return }
            if writer == nil, whole == nil, bytes.count == contentLength {
                whole = bytes
                return
            }
            try await open().write(bytes)
        }

        func finish(_ trailers: HTTPFields?) async throws {
            if writer == nil, let sender = sender.take() {
                return try await sender.sendAndFinish(head, whole.take() ?? [], trailers: trailers)
            }
            try await open().finish([], trailers: trailers)
        }

        /// The writer, behind the head.
        private func open() async throws -> SharedWriter {
            if let writer { return writer }
            guard let sender = sender.take() else { throw WriterFinished() }
            let writer = try await sender.send(head).shared
            self.writer = writer
            if let whole = whole.take() { try await writer.write(whole) }
            return writer
        }
    }
}

/// A body was written on behind its end.
private struct WriterFinished: Error {}

#endif
