import CSwiftGI
import CSwiftGISystem
import Glibc
import SwiftGICore
import SwiftGIServers

/// The application as its own server.
extension HostedApplication {
    /// Serves as the options say; see `swiftgi.h`.
    ///
    /// - Returns: A status for `exit()`.
    func serve(_ pointer: UnsafePointer<swiftgi_serve_options>?) -> Int32 {
        guard let options = unsafe ServeOptions(pointer) else { return SWIFTGI_EXIT_USAGE.status }
        // What is written to a peer that left is an error, not the end.
        signal(SIGPIPE, SIG_IGN)
        // A web server whose client left ends its CGI program so. The next write says the same, and lets
        // the application come to its end; who does not gets SIGKILL.
        if options.isCGI { signal(SIGTERM, SIG_IGN) }
        let host = ServerHost(
            traits: options.traits, software: options.software, level: options.level, isTimed: !options.isCGI)
        // The thread that calls this has no time for the main actor.
        MainThread.install(inProgram: true)
        let running: RunningApplication
        do {
            running = try RunningApplication.make { try makeRunning(host) }
        } catch {
            host.log(.error, "SGI0210: application could not start: \(error)")
            if options.isCGI { answerUnavailable() }
            return SWIFTGI_EXIT_CANNOT_START.status
        }
        do {
            let status = try options.isCGI ? serveOnce(running, host, options) : serve(running, host, options)
            running.stop?(UInt32(clamping: options.server.grace))
            return status
        } catch {
            host.log(.critical, "SGI0300: server could not start: \(error)")
            return SWIFTGI_EXIT_CANNOT_START.status
        }
    }

    private func serve(
        _ running: RunningApplication, _ host: ServerHost, _ options: ServeOptions
    ) throws -> Int32 {
        // Before there is another thread: each takes on the mask of the one that starts it.
        let stop = options.stop >= 0 ? options.stop : swiftgi_stop_signals()
        guard stop >= 0 else { throw GatewayError(.output, "signalfd: \(unsafe String(cString: strerror(errno)))") }
        var serverOptions = options.server
        serverOptions.webServers = try serverOptions.webServers.map { text in
            guard let address = Address.canonical(text) else {
                throw GatewayError(.output, "FCGI_WEB_SERVER_ADDRS: '\(text)' is no address")
            }
            return address
        }
        let server = try GatewayServer(running, host, serverOptions, listener: options.listener, stop: stop)
        switch try server.run(ready: options.ready, reached: options.reached) {
        case .done: return SWIFTGI_EXIT_OK.status
        case .unfinished: return SWIFTGI_EXIT_UNFINISHED.status
        }
    }

    private func serveOnce(
        _ running: RunningApplication, _ host: ServerHost, _ options: ServeOptions
    ) throws -> Int32 {
        let transport = try CGITransport(
            .ofProcess, host, options.server, input: STDIN_FILENO, output: STDOUT_FILENO)
        options.ready()
        let isComplete = CGIServer.serve(running, transport)
        return (isComplete ? SWIFTGI_EXIT_OK : SWIFTGI_EXIT_FAILED).status
    }

    /// A CGI program that does not start is the client's problem, too.
    private func answerUnavailable() {
        let text = "Status: 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\n503 Service Unavailable\n"
        _ = unsafe text.utf8.span.withUnsafeBytes { unsafe write(STDOUT_FILENO, $0.baseAddress, $0.count) }
    }
}

extension RawRepresentable where RawValue == UInt32 {
    fileprivate var status: Int32 { Int32(clamping: rawValue) }
}

extension BinaryInteger {
    fileprivate var status: Int32 { Int32(clamping: self) }
}

/// What the launcher asks for, read once.
private struct ServeOptions {
    let isCGI: Bool
    let listener: Int32
    let stop: Int32
    let traits: ServerTraits
    let software: String
    let level: LogLevel
    let server: ServerOptions
    let ready: () -> Void
    /// Hears of limits in place of the end of serving; `nil` if nobody does.
    let reached: (@Sendable (GatewayServer.Limit) -> Void)?

    /// Bytes that every launcher has.
    private static let leastSize =
        unsafe (MemoryLayout<swiftgi_serve_options>.offset(of: \.context) ?? 0) + MemoryLayout<UnsafeRawPointer?>.size

    /// - Returns: `nil` if they are of another version or make no sense.
    init?(_ pointer: UnsafePointer<swiftgi_serve_options>?) {
        guard let pointer = unsafe pointer, unsafe pointer.pointee.abi == UInt32(SWIFTGI_ABI_VERSION),
            unsafe pointer.pointee.size >= Self.leastSize
        else { return nil }
        var options = unsafe swiftgi_serve_options()
        let size = unsafe min(pointer.pointee.size, MemoryLayout<swiftgi_serve_options>.size)
        // Both have as many bytes; of an older launcher's the rest stays zero.
        unsafe withUnsafeMutableBytes(of: &options) {
            unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: pointer, count: size))
        }
        var server = ServerOptions()
        let protocolName: String
        switch unsafe options.protocol {
        case UInt32(SWIFTGI_SERVE_CGI): protocolName = "cgi"
        case UInt32(SWIFTGI_SERVE_FASTCGI): protocolName = "fastcgi"
        case UInt32(SWIFTGI_SERVE_SCGI):
            protocolName = "scgi"
            server.protocolName = .scgi
        default: return nil
        }
        isCGI = protocolName == "cgi"
        listener = unsafe options.listener
        stop = unsafe options.stop
        func set(_ member: inout Int, _ value: UInt32) { if value > 0 { member = Int(value) } }
        unsafe set(&server.threads, options.threads)
        unsafe set(&server.maxConnections, options.max_connections)
        unsafe set(&server.ioTimeout, options.io_timeout)
        unsafe set(&server.headerTimeout, options.header_timeout)
        unsafe set(&server.requestTimeout, options.request_timeout)
        unsafe set(&server.grace, options.grace)
        unsafe set(&server.inactivityTimeout, options.inactivity_timeout)
        server.maxRequests = unsafe options.max_requests
        if unsafe options.flags & UInt32(SWIFTGI_CHECK_PEER) != 0 { server.peer = unsafe options.peer }
        let maxBody = unsafe options.max_body
        if maxBody > 0 { server.maxBodySize = Int64(clamping: maxBody) }
        if let board = unsafe options.board {
            server.board = unsafe RequestBoard(
                memory: board, places: Int(SWIFTGI_BOARD_PLACES),
                size: Int(SWIFTGI_BOARD_PLACE_SIZE))
        }
        let scriptName = unsafe options.script_name
        if unsafe scriptName.start != nil {
            server.rules.scriptName = unsafe scriptName.withSpan { [UInt8](copying: $0) }
        }
        server.rules.alwaysHasLength = server.protocolName == .scgi
        if let addresses = unsafe getenv("FCGI_WEB_SERVER_ADDRS"), server.protocolName == .fastCGI {
            // Blanks around an address are none of it; one within leaves no address.
            server.webServers = unsafe String(cString: addresses).split(separator: ",").map {
                $0.split(separator: " ").joined(separator: " ")
            }
        }
        self.server = server
        let mode = unsafe options.mode.text
        traits = ServerTraits(
            mode: mode.isEmpty ? protocolName : mode, multithread: !isCGI && server.threads > 1,
            multiprocess: unsafe isCGI || options.flags & UInt32(SWIFTGI_MULTIPROCESS) != 0, runOnce: isCGI)
        let software = unsafe options.software.text
        self.software = software.isEmpty ? "SwiftGI" : software
        level = unsafe LogLevel(rawValue: options.level) ?? .notice
        let (ready, context) = unsafe (options.ready, options.context)
        self.ready = { if let ready = unsafe ready { unsafe ready(context) } }
        if let hearer = unsafe Hearer(options.reached, context) {
            reached = { hearer.tell($0) }
        } else {
            reached = nil
        }
    }
}

/// What a launcher gave to be told of limits.
@safe private final class Hearer: @unchecked Sendable {
    // Sendable and safe: the launcher may be called on any thread, as long as it serves.
    private let reached: @convention(c) (UnsafeMutableRawPointer?, UInt32) -> Void
    private let context: UnsafeMutableRawPointer?

    /// - Returns: `nil` if it gave nothing.
    init?(_ reached: (@convention(c) (UnsafeMutableRawPointer?, UInt32) -> Void)?, _ context: UnsafeMutableRawPointer?)
    {
        guard let reached = unsafe reached else { return nil }
        unsafe self.reached = reached
        unsafe self.context = context
    }

    func tell(_ limit: GatewayServer.Limit) {
        switch limit {
        case .requests: unsafe reached(context, UInt32(SWIFTGI_REACHED_MAX_REQUESTS))
        case .inactivity: unsafe reached(context, UInt32(SWIFTGI_REACHED_INACTIVITY))
        }
    }
}
