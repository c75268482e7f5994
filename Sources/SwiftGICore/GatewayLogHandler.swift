package import Logging

/// swift-log's backend under a gateway: messages go to the server's error log.
///
/// The server adds time, process and, on a thread that serves one, the request. Here the label and
/// the metadata become text.
package struct GatewayLogHandler: LogHandler {
    package typealias Sink = @Sendable (LogLevel, String) -> Void

    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    package var logLevel: Logger.Level

    /// What middleware knows of the request that the current task works for.
    @TaskLocal package static var current: Logger.Metadata?

    private let label: String
    private let sink: Sink

    package init(
        label: String, level: Logger.Level, metadataProvider: Logger.MetadataProvider? = nil,
        sink: @escaping Sink
    ) {
        self.label = label
        logLevel = level
        self.metadataProvider = metadataProvider
        self.sink = sink
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let current = Self.current { all.merge(current) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        var line = "\(label): \(event.message)"
        for (key, value) in all.sorted(by: { $0.key < $1.key }) { line += " \(key)=\(value)" }
        if let error = event.error { line += " error=\(error)" }
        sink(LogLevel(event.level), line)
    }
}
