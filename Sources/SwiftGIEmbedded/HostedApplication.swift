package import CSwiftGI
package import SwiftGICore

/// An application as the server's table calls it: starts, handles, stops.
///
/// One in each process. `start` comes before everything else.
@safe package final class HostedApplication: @unchecked Sendable {
    /// Makes the application once the server is known; throws what its `init` throws.
    package typealias Start = @Sendable (any GatewayHost) throws -> Running

    package typealias Running = RunningApplication

    private final class Started: Sendable {
        let host: Host
        let running: Running

        init(_ host: Host, _ running: Running) {
            self.host = host
            self.running = running
        }
    }

    let makeRunning: Start
    // Sendable and safe: start() alone writes it, which the server calls once and before handle(); what
    // it refers to is never released.
    private var started: Unmanaged<Started>?

    package init(_ start: @escaping Start) {
        makeRunning = start
    }

    func start(_ server: UnsafePointer<swiftgi_server>?) -> swiftgi_status {
        guard unsafe started == nil, let host = unsafe Host(server) else { return SWIFTGI_MISUSE }
        MainThread.install()
        do {
            let running = try RunningApplication.make { try makeRunning(host) }
            unsafe started = Unmanaged.passRetained(Started(host, running))
            return SWIFTGI_OK
        } catch {
            host.log(.error, "SGI0210: application could not start: \(error)")
            return SWIFTGI_FAILED
        }
    }

    func handle(_ request: OpaquePointer?) -> swiftgi_status {
        guard let request = unsafe request, let started = unsafe started?.takeUnretainedValue() else {
            return SWIFTGI_MISUSE
        }
        let transport = unsafe HostTransport(started.host, request)
        switch started.running.entry {
        case .application(let application):
            return swiftgi_status(Exchange(transport).serve(application))
        case .handler(let handler) where started.host.canWait:
            let exchange = AsyncExchange(transport, handler, pool: .shared)
            return proceed(exchange, exchange.start())
        case .handler(let handler):
            return swiftgi_status(Exchange(transport).serve(handler.application))
        }
    }

    func resume(_ task: UnsafeMutableRawPointer?, _ events: UInt32) -> swiftgi_status {
        guard let task = unsafe task else { return SWIFTGI_MISUSE }
        // HostTransport.wait() gave the server a reference of its own.
        let exchange = unsafe Unmanaged<AsyncExchange>.fromOpaque(task).takeRetainedValue()
        return proceed(exchange, exchange.resume(WaitEvents(rawValue: events)))
    }

    private func proceed(_ exchange: AsyncExchange, _ progress: AsyncExchange.Progress) -> swiftgi_status {
        switch progress {
        case .suspended: SWIFTGI_SUSPENDED
        case .finished(let error): swiftgi_status(exchange.conclude(error))
        }
    }

    func stop(_ grace: UInt32) {
        unsafe started?.takeUnretainedValue().running.stop?(grace)
    }

    /// The table for the server. It and the application live until the process ends.
    package func makeTable(name: String) -> UnsafePointer<swiftgi_application_table> {
        let table = UnsafeMutablePointer<swiftgi_application_table>.allocate(capacity: 1)
        unsafe table.initialize(
            to: swiftgi_application_table(
                abi: UInt32(SWIFTGI_ABI_VERSION),
                flags: 0,
                size: MemoryLayout<swiftgi_application_table>.size,
                application: Unmanaged.passRetained(self).toOpaque(),
                name: Self.immortalBytes(name),
                compiler: swiftgi_compiler(),
                start: { application, server in
                    unsafe HostedApplication.at(application)?.start(server) ?? SWIFTGI_MISUSE
                },
                handle: { application, request in
                    unsafe HostedApplication.at(application)?.handle(request) ?? SWIFTGI_MISUSE
                },
                stop: { application, grace in
                    unsafe HostedApplication.at(application)?.stop(grace)
                },
                resume: { application, _, task, events in
                    unsafe HostedApplication.at(application)?.resume(task, events) ?? SWIFTGI_MISUSE
                },
                serve: { application, options in
                    unsafe HostedApplication.at(application)?.serve(options) ?? Int32(SWIFTGI_EXIT_USAGE)
                }))
        return unsafe UnsafePointer(table)
    }

    /// The application that a table's `application` stands for.
    private static func at(_ pointer: UnsafeMutableRawPointer?) -> HostedApplication? {
        guard let pointer = unsafe pointer else { return nil }
        return unsafe Unmanaged<HostedApplication>.fromOpaque(pointer).takeUnretainedValue()
    }

    private static func immortalBytes(_ text: String) -> swiftgi_bytes {
        let bytes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
        _ = unsafe bytes.initialize(from: text.utf8)
        return unsafe swiftgi_bytes(start: bytes.baseAddress, count: bytes.count)
    }
}
