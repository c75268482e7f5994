import Foundation
import Glibc
import Testing

extension Configuration {
    /// A process group, `shop`, of the tests' own daemon, and a library at `/c` that it runs.
    ///
    /// - Parameter options: Of the group.
    static func daemons(
        _ options: String = "", _ lines: String = "", mpm: MPM = .event, modules: [String] = []
    ) -> Configuration {
        let own = """
            SwiftGILauncher \(Applications.daemon)
            SwiftGIDaemonProcess shop \(options)
            SwiftGIScriptAlias /c ${root}/libC.so process-group=shop
            <Directory ${root}>
            Require all granted
            </Directory>

            """
        return Configuration(own + lines, mpm: mpm, modules: modules).preparing {
            try Applications.compile("library.c", to: "\($0)/libC.so")
        }.embedded
    }
}

/// What a daemon says about itself.
struct Daemon {
    let values: [String: String]
    let arguments: String

    init(_ answer: String) throws {
        let parts = answer.split(separator: " arguments=", maxSplits: 1)
        try #require(parts.count == 2, "no answer to “who”: \(answer)")
        arguments = String(parts[1])
        var values: [String: String] = [:]
        for word in parts[0].split(separator: " ") {
            let pair = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2 { values[String(pair[0])] = String(pair[1]) }
        }
        self.values = values
    }

    subscript(_ name: String) -> String { values[name] ?? "" }
    var pid: pid_t { pid_t(self["pid"]) ?? 0 }
}

extension Server {
    var socketDirectory: String { "\(root)/run/swiftgi" }

    /// The paths of a group's sockets.
    func sockets(_ group: String = "shop") -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: socketDirectory)) ?? []
        return names.filter { $0.hasPrefix("\(group).") }.sorted().map { "\(socketDirectory)/\($0)" }
    }

    /// The processes that the supervisor has started.
    var daemons: [pid_t] {
        guard let supervisor else { return [] }
        return ProcessTable.children(of: supervisor).filter { ProcessTable.isAlive($0) }
    }

    /// One line for a daemon of the group, and its answer.
    func ask(_ line: String, _ group: String = "shop") throws -> String {
        let path = try #require(sockets(group).first, "no socket of \(group)")
        return try askDaemon(at: path, line)
    }

    func who(_ group: String = "shop") throws -> Daemon { try Daemon(ask("who", group)) }
}

/// Connects, sends a line, and reads up to the end.
func askDaemon(at path: String, _ line: String) throws -> String { try exchange(with: path, line + "\n") }

/// Connects to a Unix socket, sends a text, and reads up to the end.
func exchange(with path: String, _ text: String) throws -> String {
    func failure(_ what: String) -> Command.Failure {
        .init(description: "\(what) \(path): \(String(cString: strerror(errno)))")
    }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    defer { close(descriptor) }
    var limit = timeval(tv_sec: Int(patience), tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    guard withAddress(path, { connect(descriptor, $0, $1) }) == 0 else { throw failure("connect") }
    let bytes = Array(text.utf8)
    guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { throw failure("send") }
    var answer: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = read(descriptor, &piece, piece.count)
        if count > 0 { answer += piece[..<count] } else if count == 0 || errno != EINTR { break }
    }
    guard !answer.isEmpty else { throw failure("no answer from") }
    return String(decoding: answer, as: UTF8.self)
}

/// Whether somebody listens at a Unix socket.
func canConnect(to path: String) -> Bool {
    let client = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    defer { close(client) }
    return withAddress(path) { connect(client, $0, $1) } == 0
}

/// Calls `body` with the address of a Unix socket.
func withAddress<Value>(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Value
) rethrows -> Value {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return try withUnsafePointer(to: &address) { pointer in
        try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            try body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
}
