package import Logging
import Synchronization

/// What an application is told of the process that runs it, and where its log goes: the same for
/// every gateway.
package protocol GatewayHost: AnyObject, Sendable {
    var traits: ServerTraits { get }

    /// Name and version, for people.
    var software: String { get }

    /// Nothing less severe is logged.
    var level: Logger.Level { get }

    /// A message that concerns no request, or the one that the calling thread serves; from any thread.
    func log(_ level: LogLevel, _ message: String)
}

extension GatewayHost {
    /// A backend for swift-log.
    package func logHandler(label: String, metadataProvider: Logger.MetadataProvider?) -> GatewayLogHandler {
        GatewayLogHandler(label: label, level: level, metadataProvider: metadataProvider) { self.log($0, $1) }
    }

    /// A logger that writes to the server's log whatever swift-log was set up with.
    package func logger(label: String) -> Logger {
        Logger(label: label) { self.logHandler(label: $0, metadataProvider: nil) }
    }

    /// Makes the server's log the backend of every logger. swift-log traps on a second call, so
    /// only the process's first does it.
    package func bootstrapLogging(metadataProvider: Logger.MetadataProvider? = nil) {
        let isFirst = isLoggingUp.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged
        guard isFirst else { return }
        LoggingSystem.bootstrap(
            { self.logHandler(label: $0, metadataProvider: $1) }, metadataProvider: metadataProvider)
    }
}

private let isLoggingUp = Atomic(false)

/// An application that serves, and how it ends.
package struct RunningApplication: Sendable {
    /// What serves the requests.
    package enum Entry: Sendable {
        case application(Application)
        case handler(any RequestHandler)
    }

    package let entry: Entry
    package let stop: (@Sendable (_ grace: UInt32) -> Void)?

    package init(_ entry: Entry, stop: (@Sendable (UInt32) -> Void)? = nil) {
        self.entry = entry
        self.stop = stop
    }
}
