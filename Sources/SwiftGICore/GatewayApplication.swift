public import Logging

/// The life of an application beside its requests: what ``GatewayApplication`` and
/// ``AsyncGatewayApplication`` share.
public protocol ApplicationLifecycle: Sendable {
    /// Makes the application: once per process, in a process that does not fork afterwards and
    /// that already runs as the user it will serve as. The process serves no request, of any
    /// application, until it returns.
    ///
    /// - Throws: Anything. The error is logged, and the server answers every request for this
    ///   application with status 503; its other applications are not affected.
    init(_ startup: Startup) async throws

    /// Runs beside the requests: connection pools, timers, queues. Its task is cancelled when the
    /// server stops, and it must return then. To return early is no error.
    ///
    /// - Throws: Anything. The error is logged; requests are served on.
    func run() async throws

    /// Ends the application after its last request and after ``run()`` has returned. The server
    /// waits for it within its grace period and then ends the process.
    ///
    /// - Throws: Anything. The error is logged.
    func shutdown() async throws

    /// Whether the application sets up swift-log itself. By default the server does, so that
    /// every `Logger` writes to its error log; swift-log permits that once per process.
    static var bootstrapsLogging: Bool { get }

    /// What adds metadata of the current task to each line of swift-log, where the server sets it up: the
    /// ids of a trace, for instance. Asked once, before `init`; of several applications in a process the
    /// first that is started counts.
    static var metadataProvider: Logger.MetadataProvider? { get }
}

extension ApplicationLifecycle {
    /// Returns at once: nothing runs beside the requests.
    public func run() async throws {}

    /// Does nothing.
    public func shutdown() async throws {}

    /// `false`: the server's error log is swift-log's backend.
    public static var bootstrapsLogging: Bool { false }

    /// `nil`: nothing is added.
    public static var metadataProvider: Logger.MetadataProvider? { nil }
}

/// An application of the gateway contract with a life of its own beside the requests.
///
/// The server makes one in each of its processes, before the first request; a plain
/// ``Application`` is enough where there is nothing to set up.
///
/// ```swift
/// struct Notes: GatewayApplication {
///     let store: Store
///
///     init(_ startup: Startup) async throws {
///         store = try await Store.open("/var/lib/notes")
///     }
///
///     var application: Application {
///         { [store] environ, startResponse in
///             try startResponse(.ok, [.contentType: "text/plain"], nil)
///             return .string(store.listing)
///         }
///     }
///
///     func shutdown() async throws { try await store.close() }
/// }
/// ```
public protocol GatewayApplication: ApplicationLifecycle {
    /// What serves the requests. Read once, after `init`.
    var application: Application { get }
}

/// An application of the async contract with a life of its own beside the requests; otherwise as
/// ``GatewayApplication``.
public protocol AsyncGatewayApplication: ApplicationLifecycle {
    /// What serves the requests.
    associatedtype Handler: RequestHandler

    /// What serves the requests. Read once, after `init`.
    var handler: Handler { get }
}

/// What an application learns when it is made.
public struct Startup: Sendable {
    /// How the application is run: `embedded`, `daemon`, `fastcgi`, `scgi` or `cgi`.
    public let server: String

    /// Name and version of the server's software, for people.
    public let software: String

    /// A logger to the server's error log.
    public let logger: Logger

    package init(server: String, software: String, logger: Logger) {
        self.server = server
        self.software = software
        self.logger = logger
    }
}
