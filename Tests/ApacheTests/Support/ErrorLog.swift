import Foundation

/// One line of an error log of the format that `Server` configures.
struct LogLine: CustomStringConvertible {
    let module: String
    let level: String
    let pid: Int32
    let requestID: String
    let message: String
    let text: String

    /// `nil` for a line that httpd did not format: what some process wrote to standard error.
    init?(_ text: Substring) {
        let parts = text.split(separator: "|", maxSplits: 6, omittingEmptySubsequences: false)
        guard parts.count == 7, parts[0] == "log", let pid = Int32(parts[3]) else { return nil }
        module = String(parts[1])
        level = String(parts[2])
        self.pid = pid
        requestID = String(parts[4])
        message = String(parts[6])
        self.text = String(text)
    }

    static let format = "log|%-m|%l|%P|%-L|%-a|%M"

    var isBad: Bool { ["emerg", "alert", "crit", "error", "warn"].contains(level) }

    var description: String { text }
}

/// An error log, read anew each time.
struct ErrorLog {
    let path: String

    var rawLines: [Substring] { readText(path).split(separator: "\n") }

    var lines: [LogLine] { rawLines.compactMap { LogLine($0) } }

    /// The lines that contain the text.
    func lines(with text: String) -> [LogLine] { lines.filter { $0.message.contains(text) } }

    /// Waits for a line that contains the text.
    @discardableResult
    func wait(for text: String) throws -> LogLine {
        try ApacheTests.wait("a log line with \"\(text)\" in\n\(readText(path))") { lines(with: text).first }
    }

    /// What should not be there: lines at warning or worse and lines that httpd did not write,
    /// unless they contain one of the texts.
    ///
    /// And the texts that no line contains.
    func verdict(expecting: [String]) -> (unexpected: [String], missing: [String]) {
        Self.verdict(rawLines, expecting: expecting)
    }

    static func verdict(_ lines: [Substring], expecting: [String]) -> (unexpected: [String], missing: [String]) {
        let unexpected = lines.filter { line in
            let isBad = LogLine(line)?.isBad ?? true
            return isBad && !expecting.contains { line.contains($0) }
        }
        let missing = expecting.filter { text in !lines.contains { $0.contains(text) } }
        return (unexpected.map { String($0) }, missing)
    }
}
