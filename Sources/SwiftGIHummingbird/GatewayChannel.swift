#if Hummingbird

public import Hummingbird
import NIOCore
import NIOPosix
public import SwiftGICore
import Synchronization

extension ApplicationRequestContextSource {
    /// The request as SwiftGI knows it, for a context that wants the variables that the server's
    /// configuration set; `nil` in the application's own server.
    ///
    /// ```swift
    /// struct Context: RequestContext {
    ///     var coreContext: CoreRequestContextStorage
    ///     let gateway: SwiftGICore.RequestContext?
    ///
    ///     init(source: Source) {
    ///         coreContext = .init(source: source)
    ///         gateway = source.gateway
    ///     }
    ///
    ///     var user: String? { get async { await gateway?.variable("REMOTE_USER") } }
    /// }
    /// ```
    public var gateway: SwiftGICore.RequestContext? { (channel as? GatewayChannel)?.gateway }
}

/// What stands for a connection where there is none: it has addresses and an event loop, and can be
/// closed; nothing is read or written.
final class GatewayChannel: Channel, ChannelCore, @unchecked Sendable {
    // Sendable: the mutable state is behind the mutex.
    private struct State {
        var eventLoop: (any EventLoop)?
        var closePromise: EventLoopPromise<Void>?
        var pipeline: ChannelPipeline?
        var isClosed = false
    }

    let gateway: SwiftGICore.RequestContext?
    private let group: any EventLoopGroup
    private let remote: (host: String, port: Int)?
    private let local: (host: String, port: Int)?
    private let state = Mutex(State())

    let allocator = ByteBufferAllocator()

    /// For a request.
    init(_ group: any EventLoopGroup, _ gateway: SwiftGICore.RequestContext) async {
        self.group = group
        self.gateway = gateway
        remote = await gateway.address("REMOTE_ADDR", "REMOTE_PORT")
        local = await gateway.address("SERVER_ADDR", "SERVER_PORT")
    }

    /// For no request.
    init(_ eventLoop: any EventLoop) {
        group = eventLoop
        gateway = nil
        remote = nil
        local = nil
        state.withLock { $0.eventLoop = eventLoop }
    }

    var remoteAddress: SocketAddress? { remote.flatMap { try? SocketAddress(ipAddress: $0.host, port: $0.port) } }
    var localAddress: SocketAddress? { local.flatMap { try? SocketAddress(ipAddress: $0.host, port: $0.port) } }
    var parent: (any Channel)? { nil }
    var isWritable: Bool { isActive }
    var isActive: Bool { state.withLock { !$0.isClosed } }
    var _channelCore: any ChannelCore { self }

    // The loop and what hangs on it are made when somebody asks: most requests do without, and with
    // them a process without NIO's threads.

    var eventLoop: any EventLoop {
        if let eventLoop = state.withLock({ $0.eventLoop }) { return eventLoop }
        let new = group.any()
        return state.withLock { state in
            let eventLoop = state.eventLoop ?? new
            state.eventLoop = eventLoop
            return eventLoop
        }
    }

    private var closePromise: EventLoopPromise<Void> {
        let eventLoop = eventLoop
        return state.withLock { state in
            if let promise = state.closePromise { return promise }
            let promise = eventLoop.makePromise(of: Void.self)
            state.closePromise = promise
            return promise
        }
    }

    var closeFuture: EventLoopFuture<Void> { closePromise.futureResult }

    var pipeline: ChannelPipeline {
        if let pipeline = state.withLock({ $0.pipeline }) { return pipeline }
        let new = ChannelPipeline(channel: self)
        return state.withLock { state in
            let pipeline = state.pipeline ?? new
            state.pipeline = pipeline
            return pipeline
        }
    }

    deinit {
        // A promise has to be kept.
        state.withLock { $0.closePromise }?.succeed(())
    }

    func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) -> EventLoopFuture<Void> {
        eventLoop.makeSucceededVoidFuture()
    }

    func getOption<Option: ChannelOption>(_ option: Option) -> EventLoopFuture<Option.Value> {
        eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
    }

    // MARK: ChannelCore

    func localAddress0() throws -> SocketAddress {
        try localAddress ?? { throw ChannelError.operationUnsupported }()
    }
    func remoteAddress0() throws -> SocketAddress {
        try remoteAddress ?? { throw ChannelError.operationUnsupported }()
    }

    func register0(promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    func bind0(to: SocketAddress, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    func connect0(to: SocketAddress, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    func write0(_ data: NIOAny, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }
    func flush0() {}
    func read0() {}

    func close0(error: any Error, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .all else {
            promise?.fail(ChannelError.operationUnsupported)
            return
        }
        let (wasClosed, pipeline) = state.withLock { state in
            defer { state.isClosed = true }
            return (state.isClosed, state.pipeline)
        }
        guard !wasClosed else {
            promise?.fail(ChannelError.alreadyClosed)
            return
        }
        promise?.succeed(())
        if let pipeline {
            pipeline.fireChannelInactive()
            eventLoop.execute { self.removeHandlers(pipeline: pipeline) }
        }
        closePromise.succeed(())
    }

    func triggerUserOutboundEvent0(_ event: Any, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.operationUnsupported)
    }

    func channelRead0(_ data: NIOAny) {}
    func errorCaught0(error: any Error) {}
}

extension SwiftGICore.RequestContext {
    fileprivate func address(_ host: String, _ port: String) async -> (host: String, port: Int)? {
        guard let host = await variable(host) else { return nil }
        return (host, await variable(port).flatMap { Int($0) } ?? 0)
    }
}

#endif
