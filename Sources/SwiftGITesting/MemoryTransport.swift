package import HTTPTypes
package import SwiftGICore
import Synchronization

/// A request in memory and the response to it.
package final class MemoryTransport: AsyncTransport {
    package let server: ServerTraits
    private let request: MemoryRequest
    private let variables: [String: [UInt8]]

    private var unread: ArraySlice<[UInt8]>
    private var position = 0
    private var allowance: Int?
    private var isBodyRead = false

    private var status: HTTPResponse.Status?
    private var fields = HTTPFields()
    private var pieces: [[UInt8]] = []
    private var times: [ContinuousClock.Instant] = []
    private var sentCount = 0
    private var isHeadSent = false
    private let log = Mutex<[MemoryResponse.LogLine]>([])
    private var informational: [HTTPResponse] = []
    private var trailers = HTTPFields()
    private let waker = SignalWaker()

    package init(_ request: MemoryRequest, server: ServerTraits, id: String, software: String) {
        self.request = request
        self.server = server
        variables = request.makeVariables(id: id, software: software)
        unread = request.pieces[...]
        if case .length(let length) = request.framing { allowance = length }
    }

    // MARK: The request

    package func withVariable(_ name: Span<UInt8>, _ body: (Span<UInt8>) -> Void) -> Bool {
        guard let value = variables[String(repairing: name)] else { return false }
        body(value.span)
        return true
    }

    package func forEachVariable(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        for (name, value) in variables { body(name.utf8.span, value.span) }
    }

    package func forEachField(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        for field in request.headers { body(field.name.rawName.utf8.span, MemoryRequest.bytes(of: field).span) }
    }

    package func receive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int {
        isBodyRead = true
        if isClientGone { throw GatewayError(.clientGone) }
        while let piece = unread.first, position == piece.count {
            unread = unread.dropFirst()
            position = 0
        }
        guard let piece = unread.first, allowance != 0 else {
            if let code = request.bodyError { throw GatewayError(code) }
            if let allowance, allowance > 0 { throw GatewayError(.malformedBody, "\(allowance) bytes are missing") }
            return 0
        }
        let count = min(buffer.count, piece.count - position, allowance ?? Int.max)
        // `count` is within both.
        unsafe buffer.copyBytes(from: piece[position..<position + count])
        position += count
        allowance = allowance.map { $0 - count }
        return count
    }

    // MARK: The response

    package func sendHead(
        _ status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?
    ) throws(GatewayError) {
        self.status = status
        self.fields = fields
        self.fields[.contentLength] = length.map { "\($0)" }
    }

    package func sendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) {
        if isClientGone { throw GatewayError(.clientGone) }
        isHeadSent = true
        if bytes.isEmpty || request.method == .head { return }
        let taken = bytes.extracting(first: min(bytes.count, (request.leavesAfter ?? Int.max) - sentCount))
        sentCount += taken.count
        pieces.append([UInt8](copying: taken))
        times.append(.now)
    }

    package var isClientGone: Bool { request.leavesAfter.map { sentCount >= $0 } ?? false }

    package func log(_ level: LogLevel, _ message: String, isFinished: Bool) {
        log.withLock { $0.append(MemoryResponse.LogLine(level: level.loggerLevel, message: message)) }
    }

    // MARK: Without waiting

    package func tryReceive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int? {
        try unsafe receive(into: buffer)
    }

    package func trySendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) -> Bool {
        try sendPiece(bytes, flush: flush, last: last)
        return false
    }

    package func sendInformational(_ status: HTTPResponse.Status, _ fields: HTTPFields) throws(GatewayError) {
        if isClientGone { throw GatewayError(.clientGone) }
        informational.append(HTTPResponse(status: status, headerFields: fields))
    }

    package func sendTrailers(_ fields: HTTPFields) throws(GatewayError) { trailers = fields }

    package func forEachTrailer(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        for field in request.trailers { body(field.name.rawName.utf8.span, MemoryRequest.bytes(of: field).span) }
    }

    package func makeWaker() -> any Waker { waker }

    package func poll() -> WaitEvents { isClientGone ? .gone : [] }

    package func wait(for events: WaitEvents, _ exchange: AsyncExchange) -> Waited {
        while !waker.wait(milliseconds: 20) {
            if isClientGone { return .attached(.gone) }
        }
        return .attached(.woken)
    }

    // MARK: The end

    /// What the client has got when the application is done with the request.
    package func finish(_ outcome: Outcome) -> MemoryResponse {
        let failure: HTTPResponse.Status? =
            switch outcome {
            case .completed: nil
            case .clientGone: HTTPResponse.Status(code: 0)
            case .failed: .internalServerError
            case .tooLarge: .contentTooLarge
            case .badRequest: .badRequest
            case .timedOut: .requestTimeout
            case .expired: .gatewayTimeout
            case .stopped: .serviceUnavailable
            }
        guard isHeadSent || failure == nil else {
            return makeResponse(failure ?? 0, [.contentLength: "0"], isAborted: outcome == .clientGone)
        }
        return makeResponse(status ?? 0, fields, isAborted: failure != nil)
    }

    private func makeResponse(
        _ status: HTTPResponse.Status, _ fields: HTTPFields, isAborted: Bool
    ) -> MemoryResponse {
        MemoryResponse(
            status: status, headers: status.code == 0 ? [:] : fields, informational: informational, pieces: pieces,
            trailers: trailers, isAborted: isAborted, log: log.withLock { $0 }, times: times, isBodyRead: isBodyRead)
    }
}

@available(*, unavailable)
extension MemoryTransport: Sendable {}
