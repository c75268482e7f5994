public import HTTPTypes

/// An application of the gateway contract as a ``RequestHandler``.
///
/// It is called on the thread that drives the request, which it blocks while it reads and writes, as
/// it would be called by a server.
public struct GatewayHandler: RequestHandler {
    package let application: Application

    /// A handler that calls an application.
    public init(_ application: @escaping Application) { self.application = application }

    /// Serves the request with the application.
    public func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        let transforms = responseSender.transforms
        let application = transforms.isEmpty ? application : transformed(application, by: transforms)
        let changes = requestContext.changes
        try await responseSender.exchange.perform { try $0.respond(application, changes: changes) }
    }

    /// The application behind what middleware of the async contract wants of its response.
    private func transformed(_ application: @escaping Application, by transforms: [ResponseTransform]) -> Application {
        { environ, startResponse in
            var filters: [any BodyFilter] = []
            let body = try application(&environ) { status, fields, error in
                var response = HTTPResponse(status: status, headerFields: fields)
                filters = transforms.apply(&response)
                try startResponse(response.status, response.headerFields, error)
            }
            return body.filtered(by: filters)
        }
    }
}

extension RequestHandler {
    /// This handler as an application of the gateway contract.
    ///
    /// It runs on the thread that calls the application, which waits where the handler waits. The
    /// response passes through `startResponse` and the body that the application returns, so that
    /// middleware of the gateway contract sees it. Informational responses and trailers have no place
    /// there and are left out.
    public var application: Application {
        { environ, startResponse in
            let transport = BridgeTransport(environ)
            let exchange = AsyncExchange(transport, self, changes: environ.changes)
            let bridge = Bridge(transport, exchange)
            bridge.advance { exchange.start() }
            guard let head = transport.head else {
                bridge.close()
                throw bridge.end() ?? GatewayError(.responseNotFinished)
            }
            var fields = head.fields
            if let length = head.length { fields[.contentLength] = "\(length)" }
            try startResponse(head.status, fields, nil)
            return Body.pull { try bridge.next() }.onClose { bridge.close() }
        }
    }
}

/// A handler that runs inside a call of an application.
private final class Bridge {
    private let transport: BridgeTransport
    private let exchange: AsyncExchange
    private var result: Result<Void, any Error>?
    private var isConcluded = false

    init(_ transport: BridgeTransport, _ exchange: AsyncExchange) {
        self.transport = transport
        self.exchange = exchange
    }

    func advance(_ step: () -> AsyncExchange.Progress) {
        switch step() {
        case .suspended: break
        case .finished(let error): result = error.map { .failure($0) } ?? .success(())
        }
    }

    /// The next piece of the body, or `nil` at its end.
    func next() throws -> [UInt8]? {
        while true {
            if let piece = transport.takePiece() { return piece }
            if result != nil {
                if let error = end() { throw error }
                return nil
            }
            advance { exchange.resume(.writable) }
        }
    }

    /// The error that the handler ended with.
    func end() -> (any Error)? {
        guard case .failure(let error)? = result else { return nil }
        return error
    }

    /// Nobody wants the rest.
    func close() {
        if result == nil { advance { exchange.resume([.gone]) } }
        if !isConcluded {
            isConcluded = true
            exchange.abandon()
        }
    }
}

/// What a handler inside an application's call reads and writes.
private final class BridgeTransport: AsyncTransport {
    private let input: Input
    private let inner: Exchange
    private let variables: [String: String]
    private let fields: HTTPFields
    private let waker = SignalWaker()
    private var pieces: [[UInt8]] = []
    private(set) var head: (status: HTTPResponse.Status, fields: HTTPFields, length: Int64?)?

    init(_ environ: borrowing Environ) {
        input = environ.input
        inner = environ.exchange
        variables = environ.snapshot()
        fields = environ.headers
    }

    var server: ServerTraits { inner.server }
    var isClientGone: Bool { inner.isClientGone }

    func takePiece() -> [UInt8]? { pieces.isEmpty ? nil : pieces.removeFirst() }

    func withVariable(_ name: Span<UInt8>, _ body: (Span<UInt8>) -> Void) -> Bool {
        guard let value = variables[String(repairing: name)] else { return false }
        body(value.utf8.span)
        return true
    }

    func forEachVariable(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        for (name, value) in variables { body(name.utf8.span, value.utf8.span) }
    }

    func forEachField(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        for field in fields { body(field.name.rawName.utf8.span, field.value.utf8.span) }
    }

    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int {
        let bytes = try input.read(upTo: buffer.count)
        // No more than there is room for was asked for.
        unsafe buffer.copyBytes(from: bytes)
        return bytes.count
    }

    func tryReceive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int? {
        try unsafe receive(into: buffer)
    }

    func sendHead(_ status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?) throws(GatewayError) {
        head = (status, fields, length)
    }

    func sendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) {
        if !bytes.isEmpty { pieces.append([UInt8](copying: bytes)) }
    }

    func trySendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) -> Bool {
        try sendPiece(bytes, flush: flush, last: last)
        return !last
    }

    func sendInformational(_ status: HTTPResponse.Status, _ fields: HTTPFields) throws(GatewayError) {}
    func sendTrailers(_ fields: HTTPFields) throws(GatewayError) {}
    func forEachTrailer(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {}

    func log(_ level: LogLevel, _ message: String, isFinished: Bool) {
        // What is finished is on any thread.
        if isFinished { inner.logApart(level, message) } else { inner.log(level, message) }
    }

    func makeWaker() -> any Waker { waker }

    func poll() -> WaitEvents { inner.isClientGone ? .gone : [] }

    func wait(for events: WaitEvents, _ exchange: AsyncExchange) -> Waited {
        // What was written is for the caller to take, and the head with it.
        if events.contains(.writable) { return .suspended }
        while !waker.wait(milliseconds: 500) {
            if inner.isClientGone {
                // What the handler throws then is no failure of its own.
                inner.failInput(GatewayError(.clientGone))
                inner.failOutput(GatewayError(.clientGone))
                return .attached(.gone)
            }
        }
        return .attached(.woken)
    }
}
