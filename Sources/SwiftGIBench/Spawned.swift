import Foundation
import Glibc

/// A process that the benchmark started, with its output in a file.
final class Spawned {
    let pid: pid_t
    private let outputPath: String
    private var status: Int32?
    /// Processor time of the process and what it waited for, once it has ended, in seconds.
    private(set) var processorTime: Double = 0

    /// - Parameters:
    ///   - processors: The processors that it may use.
    ///   - user: Who runs it; nobody but root can say so.
    init(
        _ arguments: [String], environment: [String: String] = [:], output: String, processors: [Int] = [],
        user: ServedAs? = nil
    ) throws {
        outputPath = output
        // Ends with us, if we are killed.
        var command = ["setpriv", "--pdeathsig", "TERM"]
        if let user { command += ["--reuid", user.name, "--regid", user.group, "--clear-groups"] }
        if !processors.isEmpty {
            command += ["taskset", "--cpu-list", processors.map { "\($0)" }.joined(separator: ",")]
        }
        command += arguments

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // httpd ends its whole process group: that must not be ours.
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))

        var all = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"]
        all.merge(environment) { $1 }
        var argv: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = all.map { strdup("\($0)=\($1)") } + [nil]
        defer { for string in argv + envp { free(string) } }
        var child = pid_t()
        let error = posix_spawnp(&child, command[0], &actions, &attributes, &argv, &envp)
        guard error == 0 else { throw Failure("\(arguments[0]): \(String(cString: strerror(error)))") }
        pid = child
    }

    /// Runs a command to its end.
    ///
    /// - Returns: What it printed.
    @discardableResult
    static func run(_ arguments: [String], environment: [String: String] = [:], output: String) throws -> String {
        let command = try Spawned(arguments, environment: environment, output: output)
        let status = command.wait(for: 120)
        guard status == 0 else { throw Failure("\(arguments.joined(separator: " ")): \(command.output)") }
        return command.output
    }

    var output: String { (try? String(contentsOfFile: outputPath, encoding: .utf8)) ?? "" }

    /// Whether it has ended; reaps it.
    var hasEnded: Bool {
        if status != nil { return true }
        var raw: Int32 = 0
        var usage = rusage()
        guard wait4(pid, &raw, WNOHANG, &usage) == pid else { return false }
        status = raw & 0x7F == 0 ? (raw >> 8) & 0xFF : 128 + (raw & 0x7F)
        processorTime = usage.ru_utime.seconds + usage.ru_stime.seconds
        return true
    }

    /// Waits for the end, not longer than that.
    ///
    /// - Returns: Whether it has ended.
    func wait(upTo seconds: Double) -> Bool { holdsEventually(for: seconds, every: 0.001) { hasEnded } }

    /// Whether it has a handler for a signal.
    func catches(_ number: Int32) -> Bool {
        let text = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("SigCgt:") }
        let mask = line?.split(separator: "\t").last.flatMap { UInt64($0, radix: 16) } ?? 0
        return mask & (1 << UInt64(number - 1)) != 0
    }

    /// Waits for the end.
    ///
    /// - Returns: The exit code, 128 and the signal, or -1 if it took too long and was killed.
    @discardableResult
    func wait(for seconds: Double) -> Int32 {
        let deadline = Clock.now + seconds
        while !hasEnded {
            if Clock.now > deadline {
                kill(pid, SIGKILL)
                while !hasEnded { usleep(1000) }
                return -1
            }
            usleep(1000)
        }
        return status ?? -1
    }

    /// Sends a signal, unless it has ended.
    func signal(_ number: Int32) {
        if !hasEnded { kill(pid, number) }
    }
}

/// Whom servers run as: never root.
struct ServedAs {
    let name: String
    let group: String

    /// `nil` for whoever runs the benchmark, if that is not root.
    static let current: ServedAs? = {
        guard geteuid() == 0 else { return nil }
        for name in ["www-data", "apache", "nobody"] {
            guard let entry = getpwnam(name), let group = getgrgid(entry.pointee.pw_gid) else { continue }
            return ServedAs(name: name, group: String(cString: group.pointee.gr_name))
        }
        return nil
    }()

    var ids: (uid_t, gid_t)? { getpwnam(name).map { ($0.pointee.pw_uid, $0.pointee.pw_gid) } }
}

enum Clock {
    /// Seconds of a clock that only goes forward.
    static var now: Double { seconds(CLOCK_MONOTONIC) ?? 0 }

    static func seconds(_ clock: clockid_t) -> Double? {
        var time = timespec()
        guard clock_gettime(clock, &time) == 0 else { return nil }
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    static func sleep(_ seconds: Double) { usleep(UInt32(max(0, seconds) * 1e6)) }
}

extension timeval {
    fileprivate var seconds: Double { Double(tv_sec) + Double(tv_usec) / 1e6 }
}

/// Polls until the condition holds.
func holdsEventually(for seconds: Double, every pause: Double = 0.005, _ condition: () throws -> Bool) rethrows -> Bool
{
    let deadline = Clock.now + seconds
    while try !condition() {
        if Clock.now > deadline { return false }
        Clock.sleep(pause)
    }
    return true
}
