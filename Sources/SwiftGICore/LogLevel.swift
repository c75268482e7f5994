package import Logging

/// Severity on the scale that httpd and syslog share; the number is what crosses to the server.
package enum LogLevel: UInt32, Sendable {
    case critical = 2
    case error, warning, notice, info, debug, trace

    package init(_ level: Logger.Level) {
        self =
            switch level {
            case .trace: .trace
            case .debug: .debug
            case .info: .info
            case .notice: .notice
            case .warning: .warning
            case .error: .error
            case .critical: .critical
            }
    }

    package var loggerLevel: Logger.Level {
        switch self {
        case .critical: .critical
        case .error: .error
        case .warning: .warning
        case .notice: .notice
        case .info: .info
        case .debug: .debug
        case .trace: .trace
        }
    }
}
