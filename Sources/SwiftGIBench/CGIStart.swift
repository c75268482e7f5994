import Foundation
import Glibc

/// Starts a program for each request and looks at the clock until its first byte comes.
struct CGIStart {
    private let command: [String]
    private let processors: [Int]

    /// What is started: SwiftGI's launcher with a library, a program with the application in it, and a program
    /// in C that does no more than to answer.
    static func programs(_ site: Site) -> [(name: String, command: [String])] {
        [
            ("swiftgi-run", ["\(site.peers)/swiftgi-run", "--cgi", "\(site.peers)/libHello.so"]),
            ("executable", ["\(site.peers)/Standalone", "--cgi"]), ("c", ["\(site.peers)/cgi"]),
        ]
    }

    init(_ command: [String], _ site: Site, processors: [Int]) {
        self.command = command
        self.processors = processors
    }

    private static let environment = [
        "GATEWAY_INTERFACE=CGI/1.1", "REQUEST_METHOD=GET", "SCRIPT_NAME=/hello", "PATH_INFO=", "QUERY_STRING=",
        "REQUEST_URI=/hello", "SERVER_NAME=bench.test", "SERVER_PORT=80", "SERVER_PROTOCOL=HTTP/1.1",
        "REMOTE_ADDR=127.0.0.1", "HTTP_HOST=bench.test", "HTTP_USER_AGENT=bench", "HTTP_ACCEPT=*/*",
    ]

    /// - Returns: A sample whose latencies are those to the first byte.
    func measure(count: Int) throws -> Sample {
        var times: [Double] = []
        let others = MachineUse()
        let before = Self.childrenTime
        let begin = Clock.now
        for _ in 0..<count { try times.append(start()) }
        let duration = Clock.now - begin
        let used = Self.childrenTime - before
        var sample = Sample(
            throughput: Double(count) / duration, p50: times.percentile(50), p99: times.percentile(99),
            processor: used * 1e6 / Double(count), memory: 0)
        sample.disturbance = others.share(besides: used, in: duration)
        return sample
    }

    /// - Returns: Microseconds from the start to the first byte.
    private func start() throws -> Double {
        var pipes: [Int32] = [-1, -1]
        guard pipe(&pipes) == 0, pipes.allSatisfy({ fcntl($0, F_SETFD, FD_CLOEXEC) == 0 }) else {
            throw Failure("pipe: \(String(cString: strerror(errno)))")
        }
        defer { close(pipes[0]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, pipes[1], 1)
        var argv: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = Self.environment.map { strdup($0) } + [nil]
        defer { for string in argv + envp { free(string) } }
        var child = pid_t()
        let begin = Clock.now
        let error = posix_spawn(&child, command[0], &actions, nil, &argv, &envp)
        close(pipes[1])
        guard error == 0 else { throw Failure("\(command[0]): \(String(cString: strerror(error)))") }
        var bytes = [UInt8](repeating: 0, count: 4096)
        var all: [UInt8] = []
        var first = 0.0
        while case let count = read(pipes[0], &bytes, bytes.count), count > 0 {
            if all.isEmpty { first = Clock.now - begin }
            all += bytes[..<count]
        }
        var status: Int32 = 0
        waitpid(child, &status, 0)
        let text = String(decoding: all, as: UTF8.self)
        guard status == 0, text.hasSuffix("!\n"), text.contains("\r\n\r\nHello") else {
            throw Failure("\(command[0]): status \(status), \(text)")
        }
        return first * 1e6
    }

    /// Seconds of processor time of all processes that have ended.
    private static var childrenTime: Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_CHILDREN.rawValue), &usage)
        let microseconds = usage.ru_utime.tv_usec + usage.ru_stime.tv_usec
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(microseconds) / 1e6
    }
}
