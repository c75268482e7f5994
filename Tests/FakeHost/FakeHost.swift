import CSwiftGI
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

    private let lines = Mutex<[LogLine]>([])
    private let address: UInt

    /// Lives as long as the process, as a server's does.
    package var table: UnsafeMutablePointer<swiftgi_server> { UnsafeMutablePointer(bitPattern: address)! }

    package init(
        flags: Int = SWIFTGI_MULTITHREAD, mode: String = "embedded", software: String = "FakeHost/1.0",
        level: swiftgi_level = SWIFTGI_LOG_TRACE
    ) {
        let table = UnsafeMutablePointer<swiftgi_server>.allocate(capacity: 1)
        address = UInt(bitPattern: table)
        table.initialize(
            to: swiftgi_server(
                abi: UInt32(SWIFTGI_ABI_VERSION), flags: UInt32(flags),
                size: MemoryLayout<swiftgi_server>.offset(of: \.try_read)!,
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
                wait: nil))
        table.pointee.host = Unmanaged.passRetained(self).toOpaque()
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

    /// Calls an application's handle() with a request.
    package func serve(
        _ application: UnsafePointer<swiftgi_application_table>, _ request: FakeRequest
    ) -> swiftgi_status {
        request.begin()
        let opaque = OpaquePointer(Unmanaged.passUnretained(request).toOpaque())
        let status = application.pointee.handle(application.pointee.application, opaque)
        request.end()
        return status
    }
}

extension swiftgi_bytes {
    package var buffer: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }
    package var array: [UInt8] { Array(buffer) }
}

private func immortal(_ text: String) -> swiftgi_bytes {
    let buffer = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
    _ = buffer.initialize(from: text.utf8)
    return swiftgi_bytes(start: buffer.baseAddress, count: buffer.count)
}
