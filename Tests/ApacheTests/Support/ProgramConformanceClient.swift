import Foundation
import Glibc
import SwiftGIConformance
import Synchronization

/// The suite's client that starts a program for each request, as RFC 3875 has it, and is what no web
/// server is in between: of a CGI program, or of a server by way of `cgi-fcgi`.
final class ProgramConformanceClient: ConformanceClient {
    let scriptName = "/conformance"
    let addedFields: [String] = []
    private let command: [String]
    private let environment: [String: String]
    private let written = Mutex<[String]>([])

    init(_ command: [String], environment: [String: String]) {
        self.command = command
        self.environment = environment
    }

    /// What the programs have written to standard error, line by line.
    var errors: [String] { written.withLock { $0 } }

    func send(_ request: ConformanceRequest) async throws -> ConformanceResponse {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try self.exchange(request) }) }
        }
    }

    /// The variables of a request, as a plain web server has them, but for its path.
    private static func variables(_ request: ConformanceRequest, scriptName: String) -> [String: String] {
        let parts = request.target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        var all = [
            "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": request.method, "SCRIPT_NAME": scriptName,
            "QUERY_STRING": parts.count > 1 ? String(parts[1]) : "", "REQUEST_URI": scriptName + request.target,
            "SERVER_PROTOCOL": request.version, "SERVER_NAME": "localhost", "SERVER_PORT": "80",
            "SERVER_SOFTWARE": "ApacheTests", "REMOTE_ADDR": "127.0.0.1", "REQUEST_SCHEME": "http",
        ]
        for (name, value) in request.headers {
            guard name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "-" }) else { continue }
            let variable = name.uppercased().replacing("-", with: "_")
            if variable == "CONTENT_TYPE" {
                all[variable] = value
            } else {
                all["HTTP_" + variable] = all["HTTP_" + variable].map { "\($0), \(value)" } ?? value
            }
        }
        switch request.framing {
        case .none: break
        case .contentLength: all["CONTENT_LENGTH"] = "\(request.pieces.reduce(0) { $0 + $1.count })"
        case .chunked: all["HTTP_TRANSFER_ENCODING"] = "chunked"
        }
        return all
    }

    /// The path below the application, whose bytes need be no text.
    private static func pathInfo(_ target: String) -> [UInt8] {
        var path: [UInt8] = []
        var rest = Array(target.utf8.prefix { $0 != UInt8(ascii: "?") })[...]
        while let byte = rest.popFirst() {
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            if byte == UInt8(ascii: "%"), let decoded = UInt8(digits, radix: 16) {
                path.append(decoded)
                rest = rest.dropFirst(2)
            } else {
                path.append(byte)
            }
        }
        return path
    }

    private func exchange(_ request: ConformanceRequest) throws -> ConformanceResponse {
        let text = environment.merging(Self.variables(request, scriptName: scriptName)) { $1 }
        let all = text.map { Array("\($0)=\($1)".utf8) } + [Array("PATH_INFO=".utf8) + Self.pathInfo(request.target)]
        let program = try PipedProgram(command, environment: all)
        let sender = Background {
            for piece in request.pieces where !program.write(piece) { break }
            // Without a length the end of the input is the end of the body.
            if request.framing == .chunked { program.endWriting() }
        }
        var head: [UInt8] = []
        var body: [UInt8] = []
        var arrivals: [ConformanceResponse.Arrival] = []
        var isComplete = false
        while let bytes = program.read() {
            if isComplete { body += bytes } else { head += bytes }
            if !isComplete, let end = Self.end(of: head) {
                body = Array(head[(end + 4)...])
                head = Array(head[..<end])
                isComplete = true
            }
            if !body.isEmpty { arrivals.append(.init(count: body.count, time: .now)) }
            if let leavesAfter = request.leavesAfter, body.count >= leavesAfter {
                program.endReading()
                break
            }
        }
        program.endWriting()
        let (status, errors) = try program.finish()
        try sender.get()
        written.withLock { $0 += errors.split(separator: "\n").map { String($0) } }
        guard isComplete else { return .init(status: 0, reason: "", headers: [], body: [], isCut: true) }
        return Self.response(
            head, body, to: request.method, arrivals, hasLeft: request.leavesAfter != nil, exitStatus: status)
    }

    private static func end(of bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        return (0...bytes.count - 4).first { bytes[$0..<$0 + 4].elementsEqual([13, 10, 13, 10]) }
    }

    private static func response(
        _ head: [UInt8], _ body: [UInt8], to method: String, _ arrivals: [ConformanceResponse.Arrival], hasLeft: Bool,
        exitStatus: Int32
    ) -> ConformanceResponse {
        var status = 200
        var reason = ""
        var headers: [(name: String, value: String)] = []
        for line in String(decoding: head, as: UTF8.self).split(separator: "\r\n") {
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { continue }
            let value = parts[1].drop { $0 == " " }
            if parts[0] == "Status" {
                status = Int(value.prefix(3)) ?? 0
                reason = String(value.dropFirst(4))
            } else {
                headers.append((String(parts[0]), String(value)))
            }
        }
        let length = headers.first { $0.name == "Content-Length" }.flatMap { Int($0.value) }
        let isShort = method != "HEAD" && (length.map { body.count < $0 } ?? false)
        return ConformanceResponse(
            status: status, reason: reason, headers: headers, body: body, isCut: isShort || hasLeft, arrivals: arrivals)
    }
}

/// A program with a socket for standard input and a pipe for standard output.
private final class PipedProgram: @unchecked Sendable {
    // Sendable: one thread writes, another does the rest.
    private var input: Int32
    private let output: Int32
    private var isOutputOpen = true
    private let pid: pid_t
    private let errorPath = "\(Paths.temporary)/program-\(UUID().uuidString).err"

    init(_ command: [String], environment: [[UInt8]]) throws {
        var sockets: [Int32] = [-1, -1]
        var pipes: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &sockets) == 0, pipe(&pipes) == 0,
            pipes.allSatisfy({ fcntl($0, F_SETFD, FD_CLOEXEC) == 0 })
        else {
            throw Command.Failure(description: "no pipe: \(String(cString: strerror(errno)))")
        }
        defer {
            close(sockets[1])
            close(pipes[1])
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, sockets[1], 0)
        posix_spawn_file_actions_adddup2(&actions, pipes[1], 1)
        posix_spawn_file_actions_addopen(&actions, 2, errorPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        _ = posix_spawn_file_actions_addclosefrom_np(&actions, 3)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
        var argv: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] =
            environment.map { variable in
                variable.withUnsafeBytes { strndup($0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count) }
            } + [nil]
        defer { for string in argv + envp { free(string) } }
        var child = pid_t()
        let error = posix_spawn(&child, command[0], &actions, &attributes, &argv, &envp)
        guard error == 0 else {
            close(sockets[0])
            close(pipes[0])
            throw Command.Failure(description: "\(command[0]): \(String(cString: strerror(error)))")
        }
        (input, output, pid) = (sockets[0], pipes[0], child)
    }

    deinit {
        close(input)
        endReading()
        unlink(errorPath)
    }

    /// - Returns: Whether the program takes it.
    func write(_ bytes: [UInt8]) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let count = bytes[offset...].withUnsafeBytes { send(input, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count <= 0, errno != EINTR { return false }
            offset += max(0, count)
        }
        return true
    }

    func endWriting() { shutdown(input, Int32(SHUT_WR)) }

    /// The next bytes, or `nil` at the end.
    func read() -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Glibc.read(output, &bytes, bytes.count)
            if count > 0 { return Array(bytes[..<count]) }
            if count == 0 || errno != EINTR { return nil }
        }
    }

    func endReading() {
        if isOutputOpen { close(output) }
        isOutputOpen = false
    }

    /// Waits for the end, and for what it has written to standard error.
    func finish() throws -> (status: Int32, errors: String) {
        var raw: Int32 = 0
        if !holdsEventually({ waitpid(pid, &raw, WNOHANG) == pid }) {
            kill(pid, SIGKILL)
            waitpid(pid, &raw, 0)
            throw WaitedInVain(description: "a program did not end: \(readText(errorPath))")
        }
        return (raw & 0x7F == 0 ? (raw >> 8) & 0xFF : 128 + (raw & 0x7F), readText(errorPath))
    }
}
