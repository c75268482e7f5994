import CSwiftGISystem
import Glibc
package import HTTPTypes
package import SwiftGICore

/// The request of a CGI program: variables from the environment, the body from standard input, the
/// response to standard output (RFC 3875).
///
/// There is one thread and one request: whatever waits, waits on this thread.
@safe package final class CGITransport: AsyncTransport {
    private let host: ServerHost
    private let variables: RequestVariables
    private let ioTimeout: Int
    private let input: Int32
    private let output: Int32
    private let id: String
    /// Bytes of the body that have still to come; `nil` if its end is the end of the stream.
    private var remaining: Int64?
    private var inputError: GatewayError?
    private var isAtEnd = false
    private let isHead: Bool
    private var head: [UInt8] = []
    private var isHeadSent = false
    private var isOutputBroken = false
    private let waker: CGIWaker

    /// - Parameters:
    ///   - input: Where the body comes from.
    ///   - output: Where the response goes.
    package init(
        _ variables: RequestVariables, _ host: ServerHost, _ options: ServerOptions, input: Int32, output: Int32
    ) throws(GatewayError) {
        var variables = variables
        let isChunked = variables.find("HTTP_TRANSFER_ENCODING") != nil
        variables.normalize(options.rules)
        self.variables = variables
        self.host = host
        self.input = input
        self.output = output
        ioTimeout = options.ioTimeout
        isHead = variables.isHead
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        id =
            variables.requestID.map { [variables] in variables.printable($0) }
            ?? "\(String(getpid(), radix: 36))-\(String(time.tv_sec * 1_000_000 + time.tv_nsec / 1000, radix: 36))"
        do throws(WireError) {
            remaining = try variables.contentLength
            if let remaining, let limit = options.maxBodySize, remaining > limit {
                inputError = GatewayError(.bodyTooLarge, "\(remaining) bytes")
            }
            if remaining == nil, !isChunked { remaining = 0 }
        } catch {
            inputError = GatewayError(.malformedBody, error.description)
        }
        waker = try CGIWaker()
    }

    // MARK: The request

    package var server: ServerTraits { host.traits }

    package func withVariable(_ name: Span<UInt8>, _ body: (Span<UInt8>) -> Void) -> Bool {
        if name.isEqual(to: "swiftgi.request_id") {
            body(id.utf8.span)
            return true
        }
        return variables.withValue(of: name, body)
    }

    package func forEachVariable(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        variables.forEach(body)
        body("swiftgi.request_id".utf8.span, id.utf8.span)
    }

    package func forEachField(_ body: (Span<UInt8>, Span<UInt8>) -> Void) { variables.forEachField(body) }

    package func receive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int {
        if let inputError { throw inputError }
        if isAtEnd || remaining == 0 { return 0 }
        guard System.wait(input, for: POLLIN, milliseconds: ioTimeout) != 0 else { throw GatewayError(.timedOut) }
        let wanted = Int(min(Int64(buffer.count), remaining ?? Int64.max))
        while true {
            // The buffer has at least as many.
            let count = unsafe read(input, buffer.baseAddress, wanted)
            if count < 0 {
                if errno == EINTR { continue }
                throw GatewayError(.input, "read: \(System.reason())")
            }
            if count == 0 {
                isAtEnd = true
                guard let remaining, remaining > 0 else { return 0 }
                throw GatewayError(.malformedBody, "\(remaining) bytes are missing")
            }
            remaining = remaining.map { $0 - Int64(count) }
            return count
        }
    }

    package func tryReceive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int? {
        if !isAtEnd, remaining != 0, inputError == nil, System.wait(input, for: POLLIN, milliseconds: 0) == 0 {
            return nil
        }
        return try unsafe receive(into: buffer)
    }

    package var isClientGone: Bool {
        isOutputBroken || System.wait(output, for: 0, milliseconds: 0) & (POLLERR | POLLHUP) != 0
    }

    /// Ends the response where that is not the end of the process: with mod_cgid one socket is both standard
    /// input and output, and to close it with unread bytes would take back the end of the response.
    func finish() {
        var status = stat()
        guard unsafe fstat(output, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
        shutdown(output, Int32(truncatingIfNeeded: SHUT_WR))
        let deadline = System.now + Self.lingerTime
        var buffer = [UInt8](repeating: 0, count: 65536)
        while !isAtEnd, remaining != 0, inputError?.code != .input {
            let left = Int(deadline - System.now)
            guard left > 0, System.wait(input, for: POLLIN, milliseconds: left) != 0 else { return }
            // The buffer has as many bytes as it says.
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(input, $0.baseAddress, $0.count) }
            if count <= 0 { return }
            remaining = remaining.map { max(0, $0 - Int64(count)) }
        }
    }

    /// Milliseconds for a web server to send what nobody reads.
    private static let lingerTime: Int64 = 2000

    // MARK: The response

    package func sendHead(
        _ status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?
    ) throws(GatewayError) {
        head = [UInt8](head: status, fields, length: length, spare: 256)
    }

    package func sendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) {
        let bytes = bytes.extracting(first: isHead ? 0 : bytes.count)
        // Small pieces travel together.
        if !last, !flush, !isHeadSent, head.count + bytes.count < 16384 { return head.append(copying: bytes) }
        try flushHead(with: bytes)
    }

    /// Writes what is stored, and a piece behind it.
    private func flushHead(with bytes: Span<UInt8>) throws(GatewayError) {
        isHeadSent = true
        var stored: [UInt8] = []
        swap(&stored, &head)
        var offset = 0
        while offset < stored.count + bytes.count {
            let inStored = min(offset, stored.count)
            let result = System.write(
                output, stored.span.extracting(droppingFirst: inStored),
                bytes.extracting(droppingFirst: offset - inStored))
            if let count = try transferred(result) { offset += count }
        }
    }

    /// How many bytes have left; `nil` if there is room for some only now.
    private func transferred(_ result: System.Transferred) throws(GatewayError) -> Int? {
        switch result {
        case .bytes(let count): return count
        case .nothing:
            if System.wait(output, for: POLLOUT, milliseconds: ioTimeout) == 0 { throw GatewayError(.timedOut) }
            return nil
        case .failed(let error):
            isOutputBroken = true
            if error == EPIPE || error == ECONNRESET { throw GatewayError(.clientGone) }
            throw GatewayError(.output, "write: \(System.reason(error))")
        }
    }

    package func sendFile(
        _ file: BodyFile, offset: Int64, length: Int64, last: Bool
    ) throws(GatewayError) {
        try flushHead(with: Span<UInt8>())
        var position = offset
        while position < offset + length {
            let rest = offset + length - position
            let result = System.sendFile(output, file.descriptor, &position, rest)
            // Some files, and some outputs, can't be sent like that.
            if result == .failed(EINVAL) || result == .failed(ENOSYS) || result == .failed(EOVERFLOW) {
                return try sendContent(of: file, offset: position, length: rest, last: last)
            }
            if try transferred(result) == 0 { throw GatewayError(.output, "the file became shorter") }
        }
    }

    package func trySendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) -> Bool {
        try sendPiece(bytes, flush: flush, last: last)
        return false
    }

    /// CGI has no place for them.
    package func sendInformational(_ status: HTTPResponse.Status, _ fields: HTTPFields) throws(GatewayError) {}

    /// CGI has no place for them.
    package func sendTrailers(_ fields: HTTPFields) throws(GatewayError) {}

    /// CGI has no place for them.
    package func forEachTrailer(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {}

    package func log(_ level: LogLevel, _ message: String, isFinished: Bool) {
        host.write(level, message, requestID: isFinished ? nil : id)
    }

    /// Answers in place of the application.
    package func answer(_ outcome: Outcome) {
        guard let status = outcome.answer else { return }
        let text = Array("\(status.code) \(status.reasonPhrase)\n".utf8)
        do throws(GatewayError) {
            try sendHead(status, [.contentType: "text/plain; charset=utf-8"], length: Int64(text.count))
            try sendPiece(text.span, flush: true, last: true)
        } catch {
            log(.debug, "SGI0313: answer could not be sent: \(error)", isFinished: true)
        }
    }

    /// Whether something of the response has left.
    package var isResponseBegun: Bool { isHeadSent }

    // MARK: Waiting

    package func makeWaker() -> any Waker { waker }

    package func poll() -> WaitEvents { isClientGone ? .gone : [] }

    package func wait(for events: WaitEvents, _ exchange: AsyncExchange) -> Waited {
        if events.contains(.writable) { return .attached(.writable) }
        let deadline = System.now + Int64(ioTimeout)
        while true {
            let isReading = events.contains(.readable)
            let timeout: Int32 = isReading ? Int32(clamping: max(0, deadline - System.now)) : 1000
            var entries = (
                pollfd(fd: waker.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: isReading ? input : -1, events: Int16(POLLIN), revents: 0)
            )
            // The tuple's two members lie one behind the other.
            let count = unsafe withUnsafeMutablePointer(to: &entries) { pointer in
                unsafe pointer.withMemoryRebound(to: pollfd.self, capacity: 2) { unsafe Glibc.poll($0, 2, timeout) }
            }
            if count < 0 { continue }
            var came: WaitEvents = []
            if entries.0.revents != 0 {
                waker.clear()
                came.insert(.woken)
            }
            if entries.1.revents != 0 { came.insert(.readable) }
            if !came.isEmpty { return .attached(came) }
            if isReading, count == 0 { return .attached(.stalled) }
            if isClientGone { return .attached(.gone) }
        }
    }
}

@available(*, unavailable)
extension CGITransport: Sendable {}

private final class CGIWaker: Waker {
    let descriptor: Int32

    init() throws(GatewayError) {
        descriptor = swiftgi_eventfd()
        guard descriptor >= 0 else { throw GatewayError(.output, "eventfd: \(System.reason())") }
    }

    deinit { close(descriptor) }

    func wake() {
        var value: UInt64 = 1
        _ = unsafe Glibc.write(descriptor, &value, 8)
    }

    func clear() {
        var value: UInt64 = 0
        _ = unsafe read(descriptor, &value, 8)
    }
}

extension Outcome {
    /// What the client gets if nothing of the application's response was sent; `nil` if nobody is there.
    var answer: HTTPResponse.Status? {
        switch self {
        case .clientGone: nil
        case .completed, .failed: .internalServerError
        case .tooLarge: .contentTooLarge
        case .badRequest: .badRequest
        case .timedOut: .requestTimeout
        case .expired: .gatewayTimeout
        case .stopped: .serviceUnavailable
        }
    }
}

extension Outcome {
    /// The `swiftgi_status` that mod_swiftgi is told of a request without a complete response.
    var applicationStatus: UInt32 {
        switch self {
        case .clientGone: 1
        case .completed, .failed: 2
        case .tooLarge: 4
        case .badRequest: 5
        case .timedOut: 6
        case .expired: 10
        case .stopped: 11
        }
    }
}

extension RequestVariables {
    /// The process's environment.
    package static var ofProcess: RequestVariables {
        var pairs: [(name: [UInt8], value: [UInt8])] = []
        guard var pointer = unsafe Optional(environ) else { return RequestVariables() }
        // A list of C strings, ended by NULL.
        while let entry = unsafe pointer.pointee {
            let bytes = unsafe UnsafeRawBufferPointer(start: entry, count: strlen(entry))
            if let split = unsafe bytes.firstIndex(of: 0x3D) {
                unsafe pairs.append(([UInt8](bytes[..<split]), [UInt8](bytes[(split + 1)...])))
            }
            unsafe pointer += 1
        }
        return RequestVariables(pairs)
    }
}

/// Serves the one request of a CGI program.
package enum CGIServer {
    /// - Returns: Whether the response is complete.
    /// - Throws: ``GatewayError`` if the system lacks something.
    package static func serve(
        _ application: RunningApplication, _ transport: CGITransport
    ) -> Bool {
        let outcome: Outcome =
            switch application.entry {
            case .application(let application): Exchange(transport).serve(application)
            case .handler(let handler): AsyncExchange(transport, handler).serve()
            }
        if outcome != .completed, !transport.isResponseBegun { transport.answer(outcome) }
        transport.finish()
        return outcome == .completed
    }
}
