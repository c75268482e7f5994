package import CSwiftGI
package import HTTPTypes
package import SwiftGICore

/// A request over the server's table: the application inside the server.
@safe package struct HostTransport: AsyncTransport {
    /// The host's, valid until the process ends.
    private let table: UnsafePointer<swiftgi_server>
    /// The process's, which is never released. Counted references to it would be most of what it costs to
    /// hand a transport around.
    private let unmanagedHost: Unmanaged<Host>
    /// Valid until handle() returns, and an exchange does not call its transport after that.
    private let request: OpaquePointer

    package init(_ host: Host, _ request: OpaquePointer) {
        unsafe table = host.table
        unsafe unmanagedHost = Unmanaged.passUnretained(host)
        unsafe self.request = request
    }

    private var host: Host { unsafe unmanagedHost.takeUnretainedValue() }

    package var server: ServerTraits { host.traits }

    package func withVariable(_ name: Span<UInt8>, _ body: (Span<UInt8>) -> Void) -> Bool {
        var value = unsafe swiftgi_bytes()
        let found = unsafe name.withBytes { name in
            unsafe table.pointee.variable(request, name, &value)
        }
        if found { unsafe value.withSpan(body) }
        return found
    }

    package func forEachVariable(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        unsafe visit(table.pointee.variables, body)
    }

    package func forEachField(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        unsafe visit(table.pointee.fields, body)
    }

    package func collectFields(_ collector: inout FieldCollector) {
        // The pointer is used only while `fields` runs.
        unsafe withUnsafeMutablePointer(to: &collector) { context in
            unsafe table.pointee.fields(
                request,
                { context, name, value in
                    guard let context = unsafe context else { return }
                    let collector = unsafe context.assumingMemoryBound(to: FieldCollector.self)
                    unsafe name.withSpan { name in unsafe value.withSpan { unsafe collector.pointee.append(name, $0) } }
                }, context)
        }
    }

    package func update(_ line: inout RequestLine) {
        guard host.hasLine else { return line.update(from: self) }
        var bytes = unsafe swiftgi_line()
        unsafe table.pointee.line(request, &bytes)
        unsafe bytes.method.withSpan { line.setMethod($0) }
        unsafe bytes.scheme.withSpan { line.setScheme($0) }
        unsafe bytes.target.withSpan { line.setTarget($0) }
    }

    private func visit(
        _ enumerate: @convention(c) (OpaquePointer?, swiftgi_visitor?, UnsafeMutableRawPointer?) -> Void,
        _ body: (Span<UInt8>, Span<UInt8>) -> Void
    ) {
        // The visitor is called only while `enumerate` runs, so that the closure's address is good.
        withoutActuallyEscaping(body) { body in
            var visitor = body
            unsafe withUnsafeMutablePointer(to: &visitor) { context in
                unsafe enumerate(
                    request,
                    { context, name, value in
                        guard let context = unsafe context else { return }
                        let body = unsafe context.assumingMemoryBound(to: ((Span<UInt8>, Span<UInt8>) -> Void).self)
                        unsafe name.withSpan { name in unsafe value.withSpan { unsafe body.pointee(name, $0) } }
                    },
                    context)
            }
        }
    }

    package func receive(
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(GatewayError) -> Int {
        var count = 0
        try unsafe check(table.pointee.read(request, buffer.baseAddress, buffer.count, &count), .input)
        return max(0, min(count, buffer.count))
    }

    package func sendHead(
        _ status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?
    ) throws(GatewayError) {
        try describe(status, fields, length: length)
    }

    private func describe(
        _ status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?
    ) throws(GatewayError) {
        let started = unsafe status.reasonPhrase.utf8.span.withBytes { reason in
            unsafe table.pointee.start(request, UInt16(clamping: status.code), reason, length ?? -1)
        }
        try check(started, .output)
        for field in fields where !field.isContentLength {
            let added = unsafe field.name.rawName.utf8.span.withBytes { name in
                unsafe field.withUnsafeBytesOfValue { value in
                    unsafe table.pointee.field(
                        request, name, swiftgi_bytes(start: value.baseAddress, count: value.count))
                }
            }
            try check(added, .output)
        }
    }

    package func sendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) {
        let flags = (flush ? SWIFTGI_FLUSH : 0) | (last ? SWIFTGI_LAST : 0)
        let sent = unsafe bytes.withBytes { bytes in
            unsafe table.pointee.write(request, bytes, UInt32(flags))
        }
        try check(sent, .output)
    }

    // MARK: Without waiting

    package func tryReceive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int? {
        var count = 0
        let status = unsafe table.pointee.try_read(request, buffer.baseAddress, buffer.count, &count)
        if status == SWIFTGI_AGAIN { return nil }
        try check(status, .input)
        return max(0, min(count, buffer.count))
    }

    package func trySendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) -> Bool {
        let flags = (flush ? SWIFTGI_FLUSH : 0) | (last ? SWIFTGI_LAST : 0) | SWIFTGI_NONBLOCKING
        let status = unsafe bytes.withBytes { bytes in
            unsafe table.pointee.write(request, bytes, UInt32(flags))
        }
        if status == SWIFTGI_AGAIN { return true }
        try check(status, .output)
        return false
    }

    package func sendInformational(_ status: HTTPResponse.Status, _ fields: HTTPFields) throws(GatewayError) {
        try describe(status, fields, length: nil)
        try unsafe check(table.pointee.inform(request), .output)
    }

    package func sendTrailers(_ fields: HTTPFields) throws(GatewayError) {
        for field in fields {
            let added = unsafe field.name.rawName.utf8.span.withBytes { name in
                unsafe field.value.utf8.span.withBytes { unsafe table.pointee.trailer(request, name, $0) }
            }
            try check(added, .output)
        }
    }

    package func forEachTrailer(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        unsafe visit(table.pointee.trailers, body)
    }

    package func makeWaker() -> any Waker {
        unsafe HostWaker(host, table.pointee.waker(request))
    }

    package func wait(for events: WaitEvents, _ exchange: AsyncExchange) -> Waited {
        // The server has a reference of its own as long as the request is suspended.
        let task = unsafe Unmanaged.passRetained(exchange)
        var came: UInt32 = 0
        let status = unsafe table.pointee.wait(request, task.toOpaque(), events.rawValue, &came)
        if status == SWIFTGI_SUSPENDED { return .suspended }
        unsafe task.release()
        // A server that can't wait has no use for the request any more.
        return .attached(status == SWIFTGI_OK ? WaitEvents(rawValue: came) : .stopped)
    }

    package func poll() -> WaitEvents {
        var came: UInt32 = 0
        let status = unsafe table.pointee.wait(request, nil, UInt32(SWIFTGI_POLL), &came)
        return status == SWIFTGI_OK ? WaitEvents(rawValue: came) : .stopped
    }

    package func sendFile(
        _ file: BodyFile, offset: Int64, length: Int64, last: Bool
    ) throws(GatewayError) {
        let flags = (last ? SWIFTGI_LAST : 0) | (file.releaseDescriptor() ? SWIFTGI_OWNED : 0)
        try unsafe check(
            table.pointee.send_file(request, file.descriptor, offset, length, UInt32(flags)), .output)
    }

    package var isClientGone: Bool {
        return unsafe table.pointee.is_client_gone(request)
    }

    package func log(_ level: LogLevel, _ message: String, isFinished: Bool) {
        unsafe message.utf8.span.withBytes { bytes in
            unsafe table.pointee.log(
                table, isFinished ? nil : request, swiftgi_level(rawValue: level.rawValue), bytes)
        }
    }

    private func check(_ status: swiftgi_status, _ code: GatewayError.Code) throws(GatewayError) {
        switch status {
        case SWIFTGI_OK: return
        case SWIFTGI_CLIENT_GONE: throw GatewayError(.clientGone)
        case SWIFTGI_TOO_LARGE: throw GatewayError(.bodyTooLarge)
        case SWIFTGI_BAD_REQUEST: throw GatewayError(.malformedBody)
        case SWIFTGI_TIMED_OUT: throw GatewayError(.timedOut)
        case SWIFTGI_MISUSE: throw GatewayError(code == .output ? .invalidField : code)
        default: throw GatewayError(code, "the server reports status \(status.rawValue)")
        }
    }
}

extension swiftgi_status {
    /// What the server is told of an outcome.
    package init(_ outcome: Outcome) {
        self =
            switch outcome {
            case .completed: SWIFTGI_OK
            case .clientGone: SWIFTGI_CLIENT_GONE
            case .failed: SWIFTGI_FAILED
            case .tooLarge: SWIFTGI_TOO_LARGE
            case .badRequest: SWIFTGI_BAD_REQUEST
            case .timedOut: SWIFTGI_TIMED_OUT
            case .expired: SWIFTGI_EXPIRED
            case .stopped: SWIFTGI_STOPPED
            }
    }
}

/// The server's waker of one request.
@safe private final class HostWaker: Waker, @unchecked Sendable {
    // Sendable and safe: the reference is ours until `deinit`, and the server's functions may be called
    // on any thread.
    private let host: Host
    private let waker: OpaquePointer?

    init(_ host: Host, _ waker: OpaquePointer?) {
        self.host = host
        unsafe self.waker = waker
    }

    deinit {
        if let waker = unsafe waker { unsafe host.table.pointee.release(waker) }
    }

    func wake() {
        if let waker = unsafe waker { unsafe host.table.pointee.wake(waker) }
    }
}
