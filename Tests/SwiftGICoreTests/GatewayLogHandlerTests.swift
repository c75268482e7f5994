import Logging
import SwiftGICore
import Synchronization
import Testing

struct GatewayLogHandlerTests {
    private final class Sink: Sendable {
        let lines = Mutex<[String]>([])

        func logger(
            level: Logger.Level = .trace, metadataProvider: Logger.MetadataProvider? = nil
        ) -> Logger {
            Logger(label: "app") { label in
                GatewayLogHandler(label: label, level: level, metadataProvider: metadataProvider) { level, message in
                    self.lines.withLock { $0.append("\(level) \(message)") }
                }
            }
        }

        var logged: [String] { lines.withLock { $0 } }
    }

    @Test("A message has its label and level")
    func message() {
        let sink = Sink()
        sink.logger().warning("low on milk")
        sink.logger().debug("shelf 3")
        #expect(sink.logged == ["warning app: low on milk", "debug app: shelf 3"])
    }

    @Test("Metadata follows in the order of its keys, the message's own before the logger's before the provider's")
    func metadata() {
        let sink = Sink()
        var logger = sink.logger(metadataProvider: .init { ["a": "provider", "b": "provider", "c": "provider"] })
        logger[metadataKey: "b"] = "logger"
        logger[metadataKey: "d"] = "logger"
        #expect(logger[metadataKey: "d"] == "logger")
        logger.info("text", metadata: ["c": "message", "list": ["x", "y"]])
        let line = sink.logged.first ?? ""
        #expect(line.hasPrefix("info app: text "))
        #expect(line.contains("c=message"))
        #expect(line.contains(" d=logger list="))
    }

    @Test("The level keeps lesser messages out")
    func level() {
        let sink = Sink()
        var logger = sink.logger(level: .error)
        logger.warning("unheard")
        logger.logLevel = .info
        logger.debug("unheard")
        logger.info("heard")
        #expect(sink.logged == ["info app: heard"])
    }
}
