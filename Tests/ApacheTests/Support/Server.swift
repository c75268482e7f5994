import Foundation
import Glibc

/// A real httpd with a server root of its own.
final class Server {
    let root: String
    let ports: [Int]
    let configuration: Configuration
    private var command: Command?
    /// Descriptors of its processes after the first answer.
    private var baseline: [DescriptorCount] = []

    var port: Int { ports[0] }
    var pid: pid_t { command?.pid ?? 0 }
    var errorLog: ErrorLog { ErrorLog(path: "\(root)/logs/error.log") }
    var accessLog: [Substring] { readText("\(root)/logs/access.log").split(separator: "\n") }

    /// Every error log, those of virtual hosts included: files named *error.log.
    var errorLogs: [ErrorLog] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(root)/logs")) ?? []
        return names.filter { $0.hasSuffix("error.log") }.sorted().map { ErrorLog(path: "\(root)/logs/\($0)") }
    }

    /// Makes the files; nothing runs yet.
    init(_ configuration: Configuration) throws {
        self.configuration = configuration
        root = "\(Paths.temporary)/server-\(UUID().uuidString.prefix(8))"
        ports = (0..<configuration.ports).map { _ in Ports.next() }
        for directory in ["", "/logs", "/run", "/htdocs"] { try makeDirectory(root + directory) }
        // Applications write here.
        try makeDirectory("\(root)/scratch", mode: 0o777)
        try writeFile("\(root)/htdocs/index.html", "static\n")
        // mod_mime will not do without.
        try writeFile("\(root)/mime.types", "text/html html\n")
        try writeFile("\(root)/httpd.conf", configuration.text(root: root, ports: ports))
        try writeConfiguration(configuration.lines)
        try configuration.prepare(root)
    }

    deinit {
        for port in ports { Ports.release(port) }
    }

    func removeFiles() {
        if Paths.environment("SWIFTGI_KEEP") == nil { try? FileManager.default.removeItem(atPath: root) }
    }

    /// Replaces the test's own part of the configuration.
    func writeConfiguration(_ lines: String) throws {
        try writeFile("\(root)/test.conf", lines + "\n")
    }

    // MARK: Running

    func configtest() throws -> Command.Result { try httpd("-t") }

    /// Runs httpd with this server's configuration to the end, as apachectl does.
    func httpd(_ arguments: String...) throws -> Command.Result {
        try Command.run(
            Paths.httpd, ["-d", root, "-f", "\(root)/httpd.conf"] + arguments, environment: environment)
    }

    /// Starts and waits until the port answers.
    func start() throws {
        let command = try launch()
        try wait("httpd to answer at port \(port)") {
            if command.hasEnded {
                let result = try command.finish()
                throw Command.Failure(description: "httpd did not start: \(result)\n\(readText(errorLog.path))")
            }
            return (try? request("OPTIONS", "*")) != nil
        }
        try wait("\(configuration.children) processes") { children.count >= configuration.children }
        baseline = children.map { DescriptorCount(of: $0) }
    }

    /// Starts what is expected to refuse to start.
    func startRefused() throws -> Command.Result {
        let command = try launch()
        let result = try command.finish(seconds: 40)
        return .init(status: result.status, output: result.output, errors: result.errors + readText(errorLog.path))
    }

    private func launch() throws -> Command {
        let command = try Command(
            Paths.httpd, ["-d", root, "-f", "\(root)/httpd.conf", "-D", "FOREGROUND"], environment: environment)
        self.command = command
        return command
    }

    private var environment: [String: String] {
        configuration.environment.mapValues { $0.replacing("${root}", with: root) }
            .merging(["SWIFTGI_TEST_ROOT": root]) { $1 }
    }

    /// What httpd wrote to standard error before it had an error log.
    var startMessages: String { command.map { $0.errors } ?? "" }

    var hasEnded: Bool { command?.hasEnded ?? true }

    /// The processes that serve.
    var children: [pid_t] { ownProcesses.filter { !isSupervisor($0) } }

    /// The supervisor of the daemons, if it runs.
    var supervisor: pid_t? { ownProcesses.first { isSupervisor($0) } }

    private var ownProcesses: [pid_t] {
        guard let command else { return [] }
        return ProcessTable.children(of: command.pid).filter { ProcessTable.isAlive($0) }
    }

    private func isSupervisor(_ pid: pid_t) -> Bool {
        ProcessTable.commandLine(of: pid).hasPrefix("swiftgi-supervisor")
    }

    /// What `apachectl graceful` does: new processes take over, the old ones finish their requests.
    func graceful() { kill(pid, SIGUSR1) }

    /// Waits until a restart is done: as many log lines "resuming normal operations" as that.
    func waitUntilResumed(_ times: Int) throws {
        try wait("httpd to resume for the \(times)th time") {
            errorLog.lines(with: "resuming normal operations").count >= times
        }
    }

    /// Stops and waits for the end.
    ///
    /// `graceful`: requests in progress are finished first.
    ///
    /// - Returns: What is wrong; empty if all processes ended by themselves, or had been stopped
    ///   before.
    func stop(graceful: Bool = true) async -> [String] {
        await stop { kill(pid, graceful ? SIGWINCH : SIGTERM) }
    }

    /// As `stop(graceful:)`, told in another way.
    func stop(_ tell: () throws -> Void) async rethrows -> [String] {
        guard let command else { return [] }
        var wrong: [String] = []
        if command.hasEnded {
            wrong.append("httpd ended before it was stopped")
        } else {
            try tell()
            if await !comesToHold({ command.hasEnded }) { wrong.append("httpd did not stop within \(Int(patience)) s") }
        }
        // The reports of a crash may be on their way.
        var left: [pid_t] = []
        if await !comesToHold(
            for: 5,
            {
                left = ProcessTable.processes(naming: root).filter { ProcessTable.isAlive($0) }
                return left.isEmpty
            })
        {
            for pid in left {
                wrong.append("process \(pid) is left: \(ProcessTable.commandLine(of: pid))")
                kill(pid, SIGKILL)
            }
        }
        if let result = try? command.finish(seconds: 1), result.status != 0, wrong.isEmpty {
            wrong.append("httpd ended with \(result)")
        }
        self.command = nil
        return wrong
    }

    /// Processes that have more descriptors open than after the first answer.
    ///
    /// Polls, since the ends of connections are noticed a little later.
    func descriptorLeaks() -> [String] {
        var leaks: [String] = []
        _ = holdsEventually(for: 5) {
            leaks = children.compactMap { pid in
                let count = DescriptorCount(of: pid)
                let links = configuration.linksToDaemons?() ?? (configuration.execution == .daemon ? 256 : 0)
                let growths = baseline.map { count.growth(since: $0, links: links) }
                if growths.isEmpty || growths.contains(where: \.isEmpty) { return nil }
                return "process \(pid) has \(count), more by \(growths[0]) than after the first answer: "
                    + ProcessTable.descriptors(of: pid).sorted().joined(separator: ", ")
            }
            return leaks.isEmpty
        }
        return leaks
    }

    // MARK: Requests

    func connect(_ index: Int = 0, timeout: Int = Int(patience)) throws -> RawClient {
        try RawClient(port: ports[index], timeout: timeout)
    }

    /// One request on a connection of its own.
    func request(
        _ method: String, _ target: String, _ fields: [String] = [], body: [UInt8]? = nil, on index: Int = 0,
        host: String = "localhost"
    ) throws -> Response {
        let client = try connect(index)
        var all = ["Host: \(host)", "Connection: close"] + fields
        if let body { all.append("Content-Length: \(body.count)") }
        try client.request("\(method) \(target) HTTP/1.1", all)
        if let body { try client.send(body) }
        return try client.response(to: method)
    }

    func get(
        _ target: String, _ fields: [String] = [], on index: Int = 0, host: String = "localhost"
    ) throws -> Response {
        try request("GET", target, fields, on: index, host: host)
    }

    func url(_ target: String, scheme: String = "http", on index: Int = 0) -> String {
        "\(scheme)://localhost:\(ports[index])\(target)"
    }

    /// A file below the server root that a test makes to let an application go on.
    func gate(_ name: String = "gate") -> String { "\(root)/scratch/\(name)" }

    /// Waits until an application has logged a message that often.
    func waitForJournal(_ message: String, times: Int) throws {
        try wait("\(times) times \"\(message)\" in the log") {
            errorLogs.reduce(0) { $0 + $1.lines.count { $0.message.hasSuffix(": \(message)") } } >= times
        }
    }

    func open(gate path: String) throws { try writeFile(path, "") }
}
