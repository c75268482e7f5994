import Foundation
import Glibc
import Testing

/// `swiftgi-run`: its arguments, its processes, and how it recognises who has started it.
struct LauncherTests {
    private static let request = ["REQUEST_METHOD": "GET", "SCRIPT_NAME": "/x", "PATH_INFO": "/y"]

    /// One request by a bare FastCGI client.
    private func answer(_ socket: String) throws -> String {
        try Command.run("/usr/bin/cgi-fcgi", ["-bind", "-connect", socket], environment: Self.request).output
    }

    private func isAnswered(_ socket: String) throws -> Bool { try answer(socket).hasSuffix("Hello, world!\n") }

    private func socketPath() -> String { "\(Paths.temporary)/launcher-\(UUID().uuidString.prefix(8)).sock" }

    @Test(
        "Arguments that make no sense are refused with their names",
        arguments: [
            (["--threads", "x", "lib.so"], "--threads N is wanted, not 'x'"),
            (["--threads", "0", "lib.so"], "--threads"),
            (["--grace", "5x", "lib.so"], "--grace TIME"), (["--max-body", "1Q", "lib.so"], "--max-body SIZE"),
            (["--socket-mode", "999", "lib.so"], "--socket-mode MODE"), (["--bogus", "lib.so"], "--bogus"),
            (["--log-level", "loud", "lib.so"], "--log-level"), (["--ready", "4", "lib.so"], "--ready fd:N is wanted"),
            (["--fastcgi"], "an argument is missing"),
            ([], "no library was given"), (["--cgi", "--scgi", ":1", "lib.so"], "only one of"),
            (["--cgi", "--processes", "2", "lib.so"], "--processes"), (["lib.so"], "neither a web server nor systemd"),
        ])
    func usage(_ arguments: [String], _ message: String) throws {
        let result = try Command.run(Paths.launcher, arguments)
        #expect(result.status == 64)
        #expect(result.errors.contains(message))
    }

    @Test(
        "What can't start ends with status 69 and says why",
        arguments: [
            (["--fastcgi", "nonsense"], "Hello", "SGI0351"),
            (["--fastcgi", "unix:/no/such/directory/s"], "Hello", "SGI0351"),
            (["--fastcgi", "fd:0"], "Hello", "SGI0351"), (["--cgi"], "NoSuch", "SGI0353"),
            (["--fastcgi", "127.0.0.1:0", "--processes", "2"], "NoSuch", "SGI0353"),
            (["--fastcgi", "127.0.0.1:0"], "ThrowsAtStart", "SGI0210"),
        ])
    func start(_ arguments: [String], _ library: String, _ id: String) throws {
        let result = try Command.run(Paths.launcher, arguments + [Applications.path(library)])
        #expect(result.status == 69)
        #expect(result.errors.contains(id))
    }

    @Test("As a CGI program it is recognised, and the client's words are no arguments")
    func cgi() throws {
        let script = "\(Paths.temporary)/launcher-\(UUID().uuidString.prefix(8)).cgi"
        try writeFile(script, "#!\(Paths.launcher) \(Applications.path("Hello"))\n")
        chmod(script, 0o755)
        let environment = Self.request.merging(["GATEWAY_INTERFACE": "CGI/1.1", "SCRIPT_FILENAME": script]) { $1 }
        let result = try Command.run(script, ["--fastcgi", "evil", "words"], environment: environment)
        #expect(result.status == 0)
        #expect(result.output.hasSuffix("Hello, world!\n"))
        let direct = environment.merging(["SCRIPT_FILENAME": Paths.launcher]) { $1 }
        let refused = try Command.run(Paths.launcher, [Applications.path("Hello")], environment: direct)
        #expect(refused.status == 64)
        #expect(refused.errors.contains("SGI0350"))
    }

    @Test("No request is lost when processes end by themselves or are replaced; one that dies is replaced")
    func processes() throws {
        let socket = socketPath()
        let launched = try Launched(
            "Hello",
            ["--fastcgi", "unix:\(socket)", "--processes", "2", "--max-requests", "20", "--log-level", "info"],
            address: socket)
        for number in 0..<60 { #expect(try isAnswered(socket), "\(number)") }
        #expect(launched.command.errors.contains("SGI0312"))

        kill(launched.command.pid, SIGHUP)
        for number in 0..<30 { #expect(try isAnswered(socket), "\(number) behind SIGHUP") }
        try wait("the processes to be replaced") { launched.command.errors.contains("SGI0359") }

        let victim = try #require(ProcessTable.children(of: launched.command.pid).first)
        kill(victim, SIGKILL)
        try wait("its death to be noticed") { launched.command.errors.contains("SGI0357") }
        for number in 0..<10 { #expect(try isAnswered(socket), "\(number) behind a death") }
        #expect(try launched.stop().status == 0)
        #expect(access(socket, F_OK) != 0)
    }

    @Test("A socket that nobody listens at any more is replaced, another's is not")
    func staleSocket() throws {
        let socket = socketPath()
        let first = try Launched("Hello", ["--fastcgi", "unix:\(socket)", "--socket-mode", "0600"], address: socket)
        var status = stat()
        #expect(stat(socket, &status) == 0 && status.st_mode & 0o777 == 0o600)
        let second = try Command.run(Paths.launcher, ["--fastcgi", "unix:\(socket)", Applications.path("Hello")])
        #expect(second.status == 69)
        #expect(second.errors.contains("SGI0351"))
        kill(first.command.pid, SIGKILL)
        _ = try first.command.finish()
        let third = try Launched("Hello", ["--fastcgi", "unix:\(socket)"], address: socket)
        try wait("an answer") { try isAnswered(socket) }
        #expect(try third.stop().status == 0)
    }
}
