import CSwiftGI
import SwiftGICore
import Synchronization

/// A server's side of the C interface, in memory: what httpd's module does for an application,
/// with its rules checked.
package final class FakeHost: Sendable {
    package struct LogLine: Sendable, Equatable {
        package let level: UInt32
        package let message: String
        package let namesRequest: Bool

        package init(_ level: swiftgi_level, _ message: String, namesRequest: Bool) {
            self.level = level.rawValue
            self.message = message
            self.namesRequest = namesRequest
        }
    }

    /// How requests wait.
    package enum Waiting: CaseIterable, Sendable {
        /// On their thread.
        case attached
        /// Aside: each time one comes back, on a thread of its own.
        case suspended

        /// All ways, not to wait at all among them.
        package static let allWays: [Waiting?] = [nil, .attached, .suspended]
    }

    private let lines = Mutex<[LogLine]>([])
    private let waiting: Waiting?
    private let address: UInt

    /// Lives as long as the process, as a server's does.
    package var table: UnsafeMutablePointer<swiftgi_server> { UnsafeMutablePointer(bitPattern: address)! }

    /// - Parameter waiting: `nil` for a server that lacks what asynchronous handlers need.
    package init(
        flags: Int = SWIFTGI_MULTITHREAD, mode: String = "embedded", software: String = "FakeHost/1.0",
        level: swiftgi_level = SWIFTGI_LOG_TRACE, waiting: Waiting? = nil
    ) {
        self.waiting = waiting
        let table = UnsafeMutablePointer<swiftgi_server>.allocate(capacity: 1)
        address = UInt(bitPattern: table)
        table.initialize(
            to: swiftgi_server(
                abi: UInt32(SWIFTGI_ABI_VERSION), flags: UInt32(flags),
                size: waiting == nil
                    ? MemoryLayout<swiftgi_server>.offset(of: \.try_read)! : MemoryLayout<swiftgi_server>.size,
                host: nil, mode: immortal(mode), software: immortal(software), level: level,
                variable: { request, name, value in FakeRequest.at(request).variable(name, value) },
                variables: { request, visit, context in FakeRequest.at(request).variables(visit, context) },
                fields: { request, visit, context in FakeRequest.at(request).fields(visit, context) },
                read: { request, buffer, capacity, count in FakeRequest.at(request).read(buffer, capacity, count) },
                start: { request, status, reason, length in FakeRequest.at(request).start(status, reason, length) },
                field: { request, name, value in FakeRequest.at(request).field(name, value) },
                write: { request, piece, flags in FakeRequest.at(request).write(piece, flags) },
                send_file: { request, descriptor, offset, length, flags in
                    FakeRequest.at(request).sendFile(descriptor, offset, length, flags)
                },
                is_client_gone: { request in FakeRequest.at(request).isClientGone() },
                log: { server, request, level, message in
                    let host = Unmanaged<FakeHost>.fromOpaque(server!.pointee.host).takeUnretainedValue()
                    host.log(request, level, message)
                },
                try_read: nil, inform: nil, trailer: nil, trailers: nil, waker: nil, wake: nil, release: nil,
                wait: nil, line: nil))
        table.pointee.host = Unmanaged.passRetained(self).toOpaque()
        if waiting != nil { addWaiting() }
    }

    private func addWaiting() {
        table.pointee.try_read = { request, buffer, capacity, count in
            FakeRequest.at(request).tryRead(buffer, capacity, count)
        }
        table.pointee.line = { request, line in FakeRequest.at(request).line(line!) }
        table.pointee.inform = { request in FakeRequest.at(request).inform() }
        table.pointee.trailer = { request, name, value in FakeRequest.at(request).trailer(name, value) }
        table.pointee.trailers = { request, visit, context in FakeRequest.at(request).trailers(visit, context) }
        table.pointee.waker = { request in FakeRequest.at(request).makeWaker() }
        table.pointee.wake = { waker in FakeWaker.at(waker).wake() }
        table.pointee.release = { waker in FakeWaker.release(waker) }
        table.pointee.wait = { request, task, interest, events in
            FakeRequest.at(request).wait(task, interest, events)
        }
    }

    /// What was logged.
    package var log: [LogLine] { lines.withLock { $0 } }

    /// What was logged at warning and above.
    package var complaints: [String] {
        log.filter { $0.level <= SWIFTGI_LOG_WARNING.rawValue }.map(\.message)
    }

    private func log(_ request: OpaquePointer?, _ level: swiftgi_level, _ message: swiftgi_bytes) {
        if let request { FakeRequest.at(request).noteCall("log") }
        let line = LogLine(level, String(decoding: message.buffer, as: UTF8.self), namesRequest: request != nil)
        lines.withLock { $0.append(line) }
    }

    /// Calls an application's handle() with a request, and its resume() as long as it waits.
    package func serve(
        _ application: UnsafePointer<swiftgi_application_table>, _ request: FakeRequest
    ) -> swiftgi_status {
        request.begin(waiting)
        let opaque = OpaquePointer(Unmanaged.passUnretained(request).toOpaque())
        var status = application.pointee.handle(application.pointee.application, opaque)
        while let task = request.takeTask(status) {
            let events = request.awaitEvents()
            // This thread waits for the other: it is as if there were one.
            nonisolated(unsafe) let (application, opaque) = (application, opaque)
            status = onAnotherThread {
                request.takeUp()
                let status = application.pointee.resume(
                    application.pointee.application, opaque, UnsafeMutableRawPointer(bitPattern: task), events)
                if Int(events) & SWIFTGI_ABANDONED != 0, status == SWIFTGI_SUSPENDED {
                    request.violate("suspended when it was to end")
                }
                return status
            }
        }
        request.end()
        return status
    }
}

/// Calls `body` on a thread of its own, and waits for it.
private func onAnotherThread(_ body: @escaping @Sendable () -> swiftgi_status) -> swiftgi_status {
    final class Result: Sendable {
        let status = Mutex(SWIFTGI_SERVER_ERROR)
        let done = Signal()
    }
    let result = Result()
    do {
        try DetachedThread.start {
            let status = body()
            result.status.withLock { $0 = status }
            result.done.post()
        }
    } catch {
        result.done.post()
    }
    result.done.wait()
    return result.status.withLock { $0 }
}

extension swiftgi_bytes {
    package var buffer: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }
    package var array: [UInt8] { Array(buffer) }
}

func immortal(_ text: String) -> swiftgi_bytes {
    let buffer = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
    _ = buffer.initialize(from: text.utf8)
    return swiftgi_bytes(start: buffer.baseAddress, count: buffer.count)
}
