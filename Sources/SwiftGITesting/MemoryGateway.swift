public import Logging
public import SwiftGICore

/// A gateway without a server: calls an application, of either contract, with requests in memory.
///
/// It is for an application's tests. The application sees what a server would show it, and what it
/// answers is checked, counted and cut as a server would.
///
/// ```swift
/// @Test func greets() {
///     let response = MemoryGateway(hello).respond(to: MemoryRequest(path: "/"))
///     #expect(response.status == .ok)
///     #expect(response.text == "Hello, world!\n")
/// }
/// ```
public struct MemoryGateway: Sendable {
    /// What the application is told of the software and, as `SERVER_SOFTWARE`, of the server.
    static let software = "SwiftGI MemoryGateway"

    private enum Entry: Sendable {
        case application(Application)
        case handler(any RequestHandler)
    }

    private let entry: Entry
    private let server: ServerTraits

    /// A gateway to an application.
    ///
    /// - Parameters:
    ///   - application: The application.
    ///   - server: `swiftgi.server`.
    ///   - multithread: `swiftgi.multithread`. Whether it is true is up to whoever calls
    ///     ``respond(to:)``.
    ///   - multiprocess: `swiftgi.multiprocess`.
    ///   - runOnce: `swiftgi.run_once`.
    public init(
        _ application: @escaping Application, server: String = "embedded", multithread: Bool = true,
        multiprocess: Bool = false, runOnce: Bool = false
    ) {
        self.init(.application(application), server, multithread, multiprocess, runOnce)
    }

    /// A gateway to a handler; otherwise as ``init(_:server:multithread:multiprocess:runOnce:)``.
    public init(
        handler: any RequestHandler, server: String = "embedded", multithread: Bool = true,
        multiprocess: Bool = false, runOnce: Bool = false
    ) {
        self.init(.handler(handler), server, multithread, multiprocess, runOnce)
    }

    private init(_ entry: Entry, _ server: String, _ multithread: Bool, _ multiprocess: Bool, _ runOnce: Bool) {
        self.entry = entry
        self.server = ServerTraits(
            mode: server, multithread: multithread, multiprocess: multiprocess, runOnce: runOnce)
    }

    /// Serves a request, on the calling thread, and returns when the application is done with it.
    ///
    /// - Returns: The response. An application that fails makes it a 500, or an aborted one.
    public func respond(to request: MemoryRequest) -> MemoryResponse {
        let id = String(UInt64.random(in: .min ... .max), radix: 16)
        let transport = MemoryTransport(request, server: server, id: id, software: Self.software)
        if request.framing == .invalid { return transport.finish(.badRequest) }
        switch entry {
        case .application(let application):
            return transport.finish(Exchange(transport).serve(application))
        case .handler(let handler):
            return transport.finish(AsyncExchange(transport, handler).serve())
        }
    }

    /// Makes a ``GatewayApplication`` or an ``AsyncGatewayApplication``, calls a closure with a gateway to it, and ends it.
    ///
    /// ```swift
    /// try await MemoryGateway.withApplication(Notes.self) { gateway in
    ///     #expect(gateway.respond(to: MemoryRequest(path: "/notes")).status == .ok)
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - type: The application's type.
    ///   - logger: What the application gets as its logger.
    ///   - body: Called between the application's `init` and its `shutdown`, beside its `run`.
    /// - Throws: What `init`, `body`, `shutdown` or, unless it was cancelled, `run` throws; the first of
    ///   them.
    public static func withApplication<Hosted: GatewayApplication, Result>(
        _ type: Hosted.Type, logger: Logger = Logger(label: "SwiftGITesting"),
        _ body: (MemoryGateway) async throws -> Result
    ) async throws -> Result {
        try await withLifecycle(type, logger, { MemoryGateway($0.application) }, body)
    }

    /// As for a ``GatewayApplication``.
    public static func withApplication<Hosted: AsyncGatewayApplication, Result>(
        _ type: Hosted.Type, logger: Logger = Logger(label: "SwiftGITesting"),
        _ body: (MemoryGateway) async throws -> Result
    ) async throws -> Result {
        try await withLifecycle(type, logger, { MemoryGateway(handler: $0.handler) }, body)
    }

    private static func withLifecycle<Hosted: ApplicationLifecycle, Result>(
        _ type: Hosted.Type, _ logger: Logger, _ makeGateway: (Hosted) -> MemoryGateway,
        _ body: (MemoryGateway) async throws -> Result
    ) async throws -> Result {
        let hosted = try await Hosted(Startup(server: "embedded", software: software, logger: logger))
        let run = Task { try await hosted.run() }
        let outcome: Swift.Result<Result, any Error>
        do {
            outcome = .success(try await body(makeGateway(hosted)))
        } catch {
            outcome = .failure(error)
        }
        run.cancel()
        let ended = await run.result
        let down: Swift.Result<Void, any Error>
        do {
            down = .success(try await hosted.shutdown())
        } catch {
            down = .failure(error)
        }
        let result = try outcome.get()
        if case .failure(let error) = ended, !(error is CancellationError) { throw error }
        try down.get()
        return result
    }
}
