import Foundation
import Glibc

/// A process that a test started.
///
/// What it prints goes to files, so that nothing blocks and nobody is kept waiting by a grandchild
/// that holds a pipe.
final class Command {
    struct Result: CustomStringConvertible {
        /// The exit code, or 128 and the signal.
        let status: Int32
        let output: String
        let errors: String

        var description: String { "status \(status)\n\(output)\(errors)" }
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let pid: pid_t
    private let outputPath: String
    private let errorPath: String
    private var status: Int32?

    /// - Parameter input: A file for standard input.
    init(
        _ executable: String, _ arguments: [String] = [], environment: [String: String] = [:],
        input: String = "/dev/null"
    ) throws {
        let name = "\(Paths.temporary)/command-\(UUID().uuidString)"
        outputPath = name + ".out"
        errorPath = name + ".err"

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errorPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        // What other tests have open is theirs: a program that is being written can't be executed as long as
        // anybody has the descriptor.
        _ = posix_spawn_file_actions_addclosefrom_np(&actions, 3)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        // httpd ends its whole process group: that must not be ours.
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

        var all = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"]
        all.merge(environment) { $1 }
        var argv: [UnsafeMutablePointer<CChar>?] = ([executable] + arguments).map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = all.map { strdup("\($0)=\($1)") } + [nil]
        defer { for string in argv + envp { free(string) } }
        var child = pid_t()
        var error = posix_spawnp(&child, executable, &actions, &attributes, &argv, &envp)
        // Another test's process, between its fork and its exec, has the descriptor with which a program was
        // written.
        for _ in 0..<1000 where error == ETXTBSY {
            usleep(5000)
            error = posix_spawnp(&child, executable, &actions, &attributes, &argv, &envp)
        }
        guard error == 0 else {
            throw Failure(description: "\(executable): \(String(cString: strerror(error)))")
        }
        pid = child
    }

    /// Runs a command to its end.
    @discardableResult
    static func run(
        _ executable: String, _ arguments: [String] = [], environment: [String: String] = [:],
        input: String = "/dev/null", seconds: Double = 60
    ) throws -> Result {
        try Command(executable, arguments, environment: environment, input: input).finish(seconds: seconds)
    }

    /// Waits for the end.
    ///
    /// What takes longer is killed.
    func finish(seconds: Double = 60) throws -> Result {
        if !holdsEventually(for: seconds, { hasEnded }) {
            kill(pid, SIGKILL)
            _ = holdsEventually { hasEnded }
            throw Failure(description: "did not end within \(Int(seconds)) s: \(printed)")
        }
        let result = Result(status: status ?? -1, output: output, errors: errors)
        unlink(outputPath)
        unlink(errorPath)
        return result
    }

    /// Whether it has ended.
    ///
    /// Reaps it.
    var hasEnded: Bool {
        if status != nil { return true }
        var raw: Int32 = 0
        guard waitpid(pid, &raw, WNOHANG) == pid else { return false }
        let signal = raw & 0x7F
        status = signal == 0 ? (raw >> 8) & 0xFF : 128 + signal
        return true
    }

    var output: String { readText(outputPath) }
    var errors: String { readText(errorPath) }
    private var printed: String { output + errors }
}

/// glibc's, which its module does not show: closes descriptors from this one on in the process that is started.
@_silgen_name("posix_spawn_file_actions_addclosefrom_np")
func posix_spawn_file_actions_addclosefrom_np(
    _ actions: UnsafeMutablePointer<posix_spawn_file_actions_t>, _ from: Int32
) -> Int32

/// A file's text, empty if there is none.
///
/// Reads to the end: files of /proc have no size.
func readText(_ path: String) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = read(file, &piece, piece.count)
        if count > 0 { bytes += piece[..<count] } else if count == 0 || errno != EINTR { break }
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// Writes a file that everybody may read and only its owner may write.
func writeFile(_ path: String, _ text: String, mode: mode_t = 0o644) throws {
    try writeFile(path, Data(text.utf8), mode: mode)
}

func writeFile(_ path: String, _ bytes: Data, mode: mode_t = 0o644) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    guard file >= 0 else { throw Command.Failure(description: "\(path): \(String(cString: strerror(errno)))") }
    let count = bytes.withUnsafeBytes { buffer -> Int in
        var written = 0
        while written < buffer.count {
            let count = write(file, buffer.baseAddress! + written, buffer.count - written)
            if count > 0 { written += count } else if errno != EINTR { break }
        }
        return written
    }
    close(file)
    guard count == bytes.count else { throw Command.Failure(description: "\(path) could not be written") }
    chmod(path, mode)
}

/// Puts a file that `make` makes in another's place, as a deployment does: by renaming, and older than the
/// time that a file is given to be complete.
func replaceFile(_ path: String, _ make: (String) throws -> Void) throws {
    try make(path + ".new")
    try FileManager.default.setAttributes(
        [.modificationDate: Date.now.addingTimeInterval(-60)], ofItemAtPath: path + ".new")
    guard rename(path + ".new", path) == 0 else {
        throw Command.Failure(description: "\(path): \(String(cString: strerror(errno)))")
    }
}

func makeDirectory(_ path: String, mode: mode_t = 0o755) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    chmod(path, mode)
}
