import Glibc
import SwiftGICore
import SwiftGIServers
import Synchronization

/// A server in this process, at a Unix socket.
package final class TestServer: Sendable {
    package let socket: ListeningSocket
    private let stopDescriptors: [Int32]
    private let lines = Mutex<[(level: LogLevel, message: String)]>([])
    private let end = Mutex<GatewayServer.End?>(nil)
    private let ended = Atomic(false)

    package init(
        _ entry: RunningApplication.Entry, _ options: ServerOptions = ServerOptions(), level: LogLevel = .info,
        isTCP: Bool = false, reached: (@Sendable (GatewayServer.Limit) -> Void)? = nil
    ) throws {
        socket = try ListeningSocket(isTCP: isTCP)
        var descriptors: [Int32] = [0, 0]
        guard pipe(&descriptors) == 0 else { throw ClientError("pipe: \(errno)") }
        stopDescriptors = descriptors
        var options = options
        options.rules.alwaysHasLength = options.protocolName == .scgi
        let collect = Collect()
        let host = ServerHost(
            traits: ServerTraits(
                mode: options.protocolName == .scgi ? "scgi" : "fastcgi", multithread: options.threads > 1,
                multiprocess: false, runOnce: false),
            software: "Test", level: level, sink: { collect.add($0, $1) })
        let server = try GatewayServer(
            RunningApplication(entry), host, options, listener: socket.descriptor, stop: descriptors[0])
        collect.target.withLock { $0 = self }
        try DetachedThread.start { [self] in
            let result = try? server.run(ready: {}, reached: reached)
            end.withLock { $0 = result }
            ended.store(true, ordering: .releasing)
        }
    }

    private final class Collect: Sendable {
        let target = Mutex<TestServer?>(nil)

        func add(_ level: LogLevel, _ message: String) {
            target.withLock { $0 }?.lines.withLock { $0.append((level, message)) }
        }
    }

    /// What was logged so far.
    package var log: [(level: LogLevel, message: String)] { lines.withLock { $0 } }

    package func clearLog() { lines.withLock { $0 = [] } }

    package func stop() { _ = write(stopDescriptors[1], "s", 1) }

    /// How it ended, or `nil` if it has not within 20 seconds.
    package func waitForEnd() -> GatewayServer.End? {
        for _ in 0..<4000 {
            if ended.load(ordering: .acquiring) { return end.withLock { $0 } }
            usleep(5000)
        }
        return nil
    }

    package var hasEnded: Bool { ended.load(ordering: .acquiring) }
}

/// Runs blocking code on a thread of its own.
package func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        do {
            try DetachedThread.start { continuation.resume(with: Result { try body() }) }
        } catch {
            continuation.resume(throwing: error)
        }
    }
}
