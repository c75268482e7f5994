public import Logging

/// What the server knows of a request besides its head and its body.
///
/// It may be kept and used by any task; once the request is over there is nothing to be had from it.
///
/// Middleware hands a changed copy to the handler that it wraps: with entries of its own
/// (``subscript(_:)``), or with other variables (``setVariable(_:to:)``).
public struct RequestContext: Sendable {
    package let exchange: AsyncExchange
    package private(set) var changes: Environ.Changes?

    init(_ exchange: AsyncExchange, changes: Environ.Changes?) {
        self.exchange = exchange
        self.changes = changes
    }

    /// An entry that middleware set, or `nil` if there is none of this name and type. To set `nil`
    /// removes it.
    public subscript<Value: Sendable>(key: Environ.Key<Value>) -> Value? {
        get { changes?[key.name] as? Value }
        set { change(key.name, to: newValue) }
    }

    /// Changes a variable for those who get this context; `nil` removes it.
    public mutating func setVariable(_ name: String, to value: String?) { change(name, to: value) }

    private mutating func change<Value: Sendable>(_ name: String, to value: Value?) {
        changes = changes ?? [:]
        changes?[name] = .some(value.map { $0 as any Sendable })
    }

    /// A copy of all CGI variables, those that the server's configuration set included, and of the
    /// textual `swiftgi.*` entries: what ``Environ/snapshot()`` gives. Made when it is asked for.
    ///
    /// - Throws: ``GatewayError`` with ``GatewayError/Code/finished`` behind the end of the request.
    public var environ: EnvironSnapshot {
        get async throws {
            var variables = try await exchange.snapshot()
            for (name, change) in changes ?? [:] { variables[name] = Environ.text(change, of: name) }
            return EnvironSnapshot(variables)
        }
    }

    /// One CGI variable, or `nil` if there is none of that name. Cheaper than all of ``environ``.
    public func variable(_ name: String) async -> String? {
        if let change = changes?[name] { return Environ.text(change, of: name) }
        return await exchange.variable(name)
    }

    /// `REMOTE_ADDR`: the client's address.
    public var remoteAddress: String? {
        get async { await variable("REMOTE_ADDR") }
    }

    /// `SERVER_ADDR`: the address that the client reached.
    public var localAddress: String? {
        get async { await variable("SERVER_ADDR") }
    }

    /// `swiftgi.request_id`: the id that the server's log lines for this request carry.
    public var requestID: String {
        get async { await variable("swiftgi.request_id") ?? "" }
    }

    /// A logger to the server's error log. What is logged on the request's own thread, where the
    /// handler and its child tasks run, names the request.
    public var logger: Logger {
        let exchange = exchange
        return Logger(label: "request") { label in
            GatewayLogHandler(label: label, level: .trace) { exchange.log($0, $1) }
        }
    }

    /// Whether the server wants to end: a handler that answers without end should come to one.
    public var isServerStopping: Bool {
        get async { await exchange.isStopping }
    }

    /// Returns when the server wants to end, for a task beside the one that answers.
    ///
    /// The server waits for its requests as long as its configuration says, and cancels them then.
    ///
    /// - Throws: `CancellationError`, or ``GatewayError`` if the request is over.
    public func waitUntilServerStops() async throws { try await exchange.waitUntilStopping() }
}

/// A copy of a request's variables.
public struct EnvironSnapshot: Sendable {
    /// All of them, by name.
    public let variables: [String: String]

    init(_ variables: [String: String]) { self.variables = variables }

    /// A variable, or `nil` if there is none of that name.
    public subscript(name: String) -> String? { variables[name] }
}
