import Glibc
package import Logging
package import SwiftGICore

/// The process of a server: what applications are told of it, and its log, which is standard error.
package final class ServerHost: GatewayHost {
    package let traits: ServerTraits
    package let software: String
    package let level: Logger.Level
    private let threshold: LogLevel
    private let isTimed: Bool
    private let sink: (@Sendable (LogLevel, String) -> Void)?

    /// - Parameters:
    ///   - isTimed: Whether lines have time and process, which a web server adds to those of a CGI
    ///     program itself.
    ///   - sink: Where messages go in place of standard error.
    package init(
        traits: ServerTraits, software: String, level: LogLevel, isTimed: Bool = true,
        sink: (@Sendable (LogLevel, String) -> Void)? = nil
    ) {
        self.sink = sink
        self.traits = traits
        self.software = software
        self.level = level.loggerLevel
        threshold = level
        self.isTimed = isTimed
    }

    package func isLogged(_ level: LogLevel) -> Bool { level.rawValue <= threshold.rawValue }

    package func log(_ level: LogLevel, _ message: String) {
        guard isLogged(level) else { return }
        if let request = Worker.current?.request {
            request.log(level, message, isFinished: false)
        } else {
            write(level, message, requestID: nil)
        }
    }

    /// Writes a line for each of the message's.
    package func write(_ level: LogLevel, _ message: String, requestID: String?) {
        guard isLogged(level) else { return }
        if let sink { return sink(level, message) }
        var text = ""
        for line in message.split(separator: "\n", omittingEmptySubsequences: true) {
            if isTimed { text += "\(Self.timestamp) [\(level)] [pid \(getpid())] " } else { text += "[\(level)] " }
            if let requestID { text += "[\(requestID)] " }
            text += Self.printable(line)
            text += "\n"
        }
        // One call for all, so that lines of several processes do not mix.
        let bytes = Array(text.utf8)
        var offset = 0
        while offset < bytes.count {
            let count = unsafe bytes.span.extracting(droppingFirst: offset).withUnsafeBytes {
                unsafe Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count)
            }
            if count < 0 && errno != EINTR { return }
            offset += max(0, count)
        }
    }

    /// Control characters could pass for lines of their own, or take over a terminal.
    package static func printable(_ line: Substring) -> String {
        guard line.utf8.contains(where: { ($0 < 0x20 && $0 != 0x09) || $0 == 0x7F }) else { return String(line) }
        let digits = Array("0123456789abcdef")
        var text = ""
        for scalar in line.unicodeScalars {
            if (scalar.value < 0x20 && scalar.value != 9) || scalar.value == 0x7F {
                text += "\\x"
                text.append(digits[Int(scalar.value >> 4) & 15])
                text.append(digits[Int(scalar.value) & 15])
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    private static var timestamp: String {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        var parts = unsafe tm()
        unsafe gmtime_r(&time.tv_sec, &parts)
        let (year, month, day) = unsafe (Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday))
        let (hour, minute, second) = unsafe (Int(parts.tm_hour), Int(parts.tm_min), Int(parts.tm_sec))
        func padded(_ number: Int, _ width: Int = 2) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
        }
        let date = "\(padded(year, 4))-\(padded(month))-\(padded(day))"
        let clock = "\(padded(hour)):\(padded(minute)):\(padded(second))"
        return "\(date)T\(clock).\(padded(time.tv_nsec / 1_000_000, 3))Z"
    }
}
