#if Hummingbird

import Hummingbird
import Logging
import ServiceLifecycle
import SwiftGICore
import Synchronization

/// The life of an application of Hummingbird, without its server.
enum HummingbirdRuntime {
    /// Brings the application's services up, and runs what is to run before a server starts.
    ///
    /// - Throws: What making the responder, a service or one of those processes throws.
    static func start(_ application: some ApplicationProtocol) async throws -> LivingApplication {
        let responder = try await application.responder
        let ready = Ready()
        let start = StartService(processes: application.processesRunBeforeServerStart, ready: ready)
        // No signals: they are the server's. No limit to a cancellation: what ServiceGroup does behind
        // it ends the process. The server bounds the time by itself, and before it is over services are
        // cancelled that a graceful shutdown has not ended.
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: application.services + [start], gracefulShutdownSignals: [], cancellationSignals: [],
                logger: application.logger))
        let run = Task {
            do {
                try await group.run()
                ready.set(.failure(ServicesEnded()))
            } catch {
                ready.set(.failure(error))
                throw error
            }
        }
        try await ready.wait()
        let handler = HummingbirdHandler(
            responder: responder, logger: application.logger, inbound: InboundBodies(application.eventLoopGroup))
        return LivingApplication(.handler(handler)) {
            try await withTaskCancellationHandler {
                try await run.value
            } onCancel: {
                Task { await group.triggerGracefulShutdown() }
            }
        } shutdown: {
            handler.inbound.discard()
        } hurry: {
            run.cancel()
        }
    }
}

/// A service of the application ended before the processes that wait for it did.
private struct ServicesEnded: Error, CustomStringConvertible {
    var description: String { "the application's services ended while it started" }
}

/// Takes the place of the server among the services.
private struct StartService: Service, CustomStringConvertible {
    // As Hummingbird's modules have them: elements of an array are not converted, but cast.
    let processes: [@concurrent @Sendable () async throws -> Void]
    let ready: Ready

    var description: String { "SwiftGI" }

    func run() async throws {
        for process in processes { try await process() }
        ready.set(.success(()))
        try? await gracefulShutdown()
    }
}

/// How the start went; the first word counts.
private final class Ready: Sendable {
    private struct State {
        var result: Result<Void, any Error>?
        var continuation: CheckedContinuation<Void, any Error>?
    }

    private let state = Mutex(State())

    func set(_ result: Result<Void, any Error>) {
        let continuation = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            guard state.result == nil else { return nil }
            state.result = result
            return state.continuation.take()
        }
        continuation?.resume(with: result)
    }

    func wait() async throws {
        try await withCheckedThrowingContinuation { continuation in
            let result = state.withLock { state -> Result<Void, any Error>? in
                if state.result == nil { state.continuation = continuation }
                return state.result
            }
            if let result { continuation.resume(with: result) }
        }
    }
}

#endif
