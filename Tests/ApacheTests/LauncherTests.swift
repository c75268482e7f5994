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
            (["--fastcgi", "unix:"], "Hello", "there is no path"),
            (["--scgi", "127.0.0.1:65536"], "Hello", "ports end at 65535"),
            (["--scgi", "127.0.0.1:99999999999"], "Hello", "ports end at 65535"),
            (
                ["--fastcgi", "unix:/tmp/never-made", "--socket-group", "nobody-is-this"], "Hello",
                "there is no such group"
            ),
            (["--fastcgi", "fd:0"], "Hello", "SGI0351"), (["--cgi"], "NoSuch", "SGI0353"),
            (["--fastcgi", "127.0.0.1:0", "--processes", "2"], "NoSuch", "SGI0353"),
            (["--fastcgi", "127.0.0.1:0"], "ThrowsAtStart", "SGI0210"),
        ])
    func start(_ arguments: [String], _ library: String, _ id: String) throws {
        let result = try Command.run(Paths.launcher, arguments + [Applications.path(library)])
        #expect(result.status == 69)
        #expect(result.errors.contains(id))
    }

    @Test(
        "FCGI_WEB_SERVER_ADDRS says who may connect",
        arguments: [("10.9.9.9, 127.0.0.1 ,::1", true), ("10.9.9.9", false)])
    func webServers(_ addresses: String, _ isWelcome: Bool) throws {
        let port = Ports.next()
        let launched = try Launched(
            "Hello", ["--fastcgi", "127.0.0.1:\(port)"], address: "\(port)",
            environment: ["FCGI_WEB_SERVER_ADDRS": addresses])
        #expect(try answer("127.0.0.1:\(port)").hasSuffix("Hello, world!\n") == isWelcome)
        let result = try launched.stop()
        #expect(result.status == 0)
        #expect(result.errors.contains("SGI0301: connection from 127.0.0.1 refused") != isWelcome, "\(result)")
    }

    @Test("FCGI_WEB_SERVER_ADDRS has to be addresses")
    func webServersAreAddresses() throws {
        let result = try Command.run(
            Paths.launcher, ["--fastcgi", "127.0.0.1:0", Applications.path("Hello")],
            environment: ["FCGI_WEB_SERVER_ADDRS": "127.0.0.1,bogus"])
        #expect(result.status == 69)
        #expect(result.errors.contains("SGI0300") && result.errors.contains("'bogus' is no address"), "\(result)")
    }

    @Test(
        "What is wrong with a CGI request is answered, and the program's status says so",
        arguments: [
            ("x", [], "", "400"), ("-1", [], "", "400"), ("99999999999999999999", [], "", "400"),
            ("4", ["--max-body", "3"], "body", "413"), ("5", [], "body", "400"),
        ] as [(String, [String], String, String)])
    func malformedCGI(_ length: String, _ options: [String], _ body: String, _ status: String) throws {
        let environment = [
            "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "POST", "SCRIPT_NAME": "/x", "PATH_INFO": "/collect",
            "CONTENT_LENGTH": length,
        ]
        let input = "\(Paths.temporary)/launcher-\(UUID().uuidString.prefix(8)).body"
        try writeFile(input, body)
        let result = try Command.run(
            Paths.launcher, ["--cgi"] + options + [Applications.path("Behaviour")], environment: environment,
            input: input)
        #expect(result.output.hasPrefix("Status: \(status)"), "\(result)")
        #expect(result.status == 70, "\(result)")
    }

    @Test(
        "Limits are what the options say",
        arguments: [
            ("Behaviour", "/collect", ["--max-body", "3"], "413"),
            ("Behaviour", "/collect", ["--io-timeout", "200ms"], "408"),
            ("Waiting", "/hold", ["--request-timeout", "200ms"], "504"),
        ])
    func limits(_ library: String, _ path: String, _ options: [String], _ status: String) throws {
        let port = Ports.next()
        let launched = try Launched(library, ["--scgi", "127.0.0.1:\(port)"] + options, address: "\(port)")
        let client = try RawClient(port: port)
        // With a body that does not come whole, but for the one whose handler reads none.
        let hasBody = library == "Behaviour"
        try client.send(
            scgi(Self.request.merging(["PATH_INFO": path]) { $1 }, length: hasBody ? 4 : 0) + (hasBody ? "bod" : ""))
        #expect(String(decoding: try client.rest(), as: UTF8.self).hasPrefix("Status: \(status)"))
        #expect(try launched.stop().status == 0)
    }

    @Test("Requests that go on behind --grace are in the status; a socket belongs to --socket-group")
    func grace() throws {
        let socket = socketPath()
        let group = try #require(getgrgid(getegid()).map { String(cString: $0.pointee.gr_name) })
        let launched = try Launched(
            "Behaviour", ["--scgi", "unix:\(socket)", "--grace", "100ms", "--socket-group", group], address: socket)
        var status = stat()
        #expect(stat(socket, &status) == 0 && status.st_gid == getegid())
        let gate = socketPath()
        let request = scgi(
            Self.request.merging(["PATH_INFO": "/wait-for", "QUERY_STRING": "path=\(gate)"]) { $1 })
        let client = Thread { _ = try? exchange(with: socket, request) }
        client.start()
        try wait("the request") { launched.command.errors.contains("waiting for") }
        let result = try launched.stop()
        #expect(result.status == 75, "\(result)")
        try writeFile(gate, "")
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

    // MARK: Who starts it

    /// A process that `activate` starts with a socket, when it serves.
    private func activated(_ how: String, _ socket: String, _ program: [String]) throws -> Command {
        let command = try Command(Applications.activate, [how, socket] + program)
        try wait("an answer from \(program)") {
            if command.hasEnded { throw Command.Failure(description: "it ended: \(try command.finish())") }
            return try access(socket, F_OK) == 0 && isAnswered(socket)
        }
        return command
    }

    private func end(_ command: Command, status: Int32 = 0) throws {
        kill(command.pid, SIGTERM)
        let result = try command.finish()
        #expect(result.status == status, "\(result)")
        #expect(!result.errors.contains("[error]"), "\(result)")
    }

    @Test("systemd's socket is recognised, and stays when the server ends", arguments: [[], ["--processes", "2"]])
    func systemd(_ options: [String]) throws {
        let socket = socketPath()
        let command = try activated("systemd", socket, [Paths.launcher] + options + [Applications.path("Hello")])
        for number in 0..<5 { #expect(try isAnswered(socket), "\(number)") }
        try end(command)
        // It is systemd's to remove.
        #expect(access(socket, F_OK) == 0)
    }

    @Test("systemd's socket by its number serves SCGI")
    func systemdSCGI() throws {
        let socket = socketPath()
        let command = try Command(
            Applications.activate, ["systemd", socket, Paths.launcher, "--scgi", "fd:3", Applications.path("Hello")])
        try wait("an answer") {
            if command.hasEnded { throw Command.Failure(description: "it ended: \(try command.finish())") }
            return (try? askSCGI(socket))?.hasSuffix("Hello, world!\n") == true
        }
        try end(command)
    }

    @Test("systemd's socket for another process is none of ours")
    func otherSystemd() throws {
        let result = try Command.run(
            Applications.activate, ["other", socketPath(), Paths.launcher, Applications.path("Hello")])
        #expect(result.status == 64)
        #expect(result.errors.contains("neither a web server nor systemd"))
    }

    @Test("A descriptor from systemd that does not listen is refused")
    func systemdWithoutListener() throws {
        let script = "LISTEN_FDS=1 LISTEN_PID=$$ exec \(Paths.launcher) \(Applications.path("Hello")) 3< /dev/null"
        let result = try Command.run("/bin/sh", ["-c", script])
        #expect(result.status == 64)
        #expect(result.errors.contains("SGI0352"))
    }

    @Test("A listening socket as descriptor 0 is recognised", arguments: ["swiftgi-run", "Standalone"])
    func descriptor0(_ program: String) throws {
        let socket = socketPath()
        let words = program == "Standalone" ? [Applications.standalone] : [Paths.launcher, Applications.path("Hello")]
        let command = try Command(Applications.activate, ["stdin", socket] + words)
        try wait("an answer") { (try? answer(socket))?.contains("Hello") == true }
        try end(command)
    }

    @Test("A process manager starts it with its socket, twice")
    func processManager() throws {
        let socket = socketPath()
        // A name that nobody else has: what runs is found by it.
        let script = "\(Paths.temporary)/managed-\(UUID().uuidString.prefix(8)).fcgi"
        try writeFile(script, "#!\(Paths.launcher) \(Applications.path("Hello"))\n")
        chmod(script, 0o755)
        let result = try Command.run("/usr/bin/cgi-fcgi", ["-start", "-connect", socket, script, "2"])
        #expect(result.status == 0, "\(result)")
        try wait("two processes") { ProcessTable.processes(naming: script).count == 2 }
        for number in 0..<10 { #expect(try isAnswered(socket), "\(number)") }
        let processes = ProcessTable.processes(naming: script)
        for pid in processes { kill(pid, SIGTERM) }
        try wait("them to end") { processes.allSatisfy { !ProcessTable.isAlive($0) } }
    }

    // MARK: A program of two lines

    @Test("A program of two lines is a CGI program")
    func standaloneCGI() throws {
        let environment = Self.request.merging([
            "GATEWAY_INTERFACE": "CGI/1.1", "SCRIPT_FILENAME": Applications.standalone,
        ]) { $1 }
        let result = try Command.run(Applications.standalone, ["--fastcgi", "evil"], environment: environment)
        #expect(result.status == 0)
        #expect(result.errors == "")
        #expect(result.output.hasPrefix("Status: 200 OK\r\n"))
        #expect(result.output.hasSuffix("\r\n\r\nHello from cgi!\n"))
    }

    @Test("A program of two lines is a FastCGI server", arguments: [[], ["--processes", "2"]])
    func standaloneFastCGI(_ options: [String]) throws {
        let socket = socketPath()
        let command = try Command(Applications.standalone, ["--fastcgi", "unix:\(socket)"] + options)
        try wait("an answer") { (try? answer(socket))?.hasSuffix("Hello from fastcgi!\n") == true }
        try end(command)
        #expect(access(socket, F_OK) != 0)
    }

    @Test("A program of two lines is an SCGI server")
    func standaloneSCGI() throws {
        let socket = socketPath()
        let command = try Command(Applications.standalone, ["--scgi", "unix:\(socket)"])
        try wait("an answer") { (try? askSCGI(socket))?.hasSuffix("Hello from scgi!\n") == true }
        try end(command)
    }

    @Test(
        "A program of two lines runs behind mod_cgid, mod_cgi and mod_fcgid",
        arguments: [("cgid", Configuration.MPM.event), ("cgi", .prefork)])
    func standaloneInHttpd(_ cgi: String, _ mpm: Configuration.MPM) async throws {
        let lines = """
            ScriptAlias /cgi ${apps}/Standalone
            \(cgi == "cgid" ? "ScriptSock ${root}/run/cgid" : "")
            Alias /fcgid ${apps}/Standalone
            FcgidIPCDir ${root}/scratch
            FcgidProcessTableFile ${root}/scratch/shm
            <Location /fcgid>
            SetHandler fcgid-script
            Options +ExecCGI
            </Location>
            """
        var configuration = Configuration(lines, mpm: mpm, modules: ["alias", cgi, "fcgid"])
        configuration.loadsModule = false
        configuration.logLevel = "info"
        _ = Applications.standalone
        try await withServer(configuration) { server in
            let cgi = try server.get("/cgi/a?word").text
            #expect(cgi == "Hello from cgi!\n")
            for _ in 0..<3 {
                let fastCGI = try server.get("/fcgid/a?word").text
                #expect(fastCGI == "Hello from fastcgi!\n")
            }
        }
    }

    /// One request over SCGI; the response as it comes.
    private func askSCGI(_ socket: String) throws -> String { try exchange(with: socket, scgi(Self.request)) }

    /// A request without a body, as SCGI has it.
    private func scgi(_ request: [String: String], length: Int = 0) -> String {
        let variables = [("CONTENT_LENGTH", "\(length)"), ("SCGI", "1")] + request.map { ($0.key, $0.value) }
        let header = variables.map { "\($0.0)\0\($0.1)\0" }.joined()
        return "\(header.utf8.count):\(header),"
    }

    @Test("A process accepts no connection whose request has not come, in place of one with a thread")
    func connectionsComeWithRequests() throws {
        let count = 6
        let port = Ports.next()
        let launched = try Launched(
            "Behaviour", ["--scgi", "127.0.0.1:\(port)", "--processes", "\(count)", "--threads", "1"],
            address: "\(port)")
        let gate = socketPath()
        let request = scgi(
            Self.request.merging(["PATH_INFO": "/wait-for", "QUERY_STRING": "path=\(gate)"]) { $1 })
        let clients = try (0..<count).map { _ in try RawClient(port: port) }
        for client in clients { try client.send(request) }
        try wait("all processes to serve") {
            launched.command.errors.components(separatedBy: "waiting for").count - 1 == count
        }
        try writeFile(gate, "")
        for client in clients { #expect(String(decoding: try client.rest(), as: UTF8.self).hasSuffix("waited\n")) }
        #expect(try launched.stop().status == 0)
    }

    @Test("More connections than a moment's work wait for it")
    func backlog() throws {
        let socket = socketPath()
        let launched = try Launched("Hello", ["--fastcgi", "unix:\(socket)", "--backlog", "3"], address: socket)
        try wait("an answer") { try isAnswered(socket) }
        // The process does not accept: as many as it has said wait, and the next is turned away.
        try halt(launched.command.pid)
        var clients: [Int32] = []
        while clients.count < 100, let client = connected(to: socket) { clients.append(client) }
        #expect((3...5).contains(clients.count), "\(clients.count) wait")
        kill(launched.command.pid, SIGCONT)
        for client in clients { close(client) }
        #expect(try launched.stop().status == 0)

        let patient = socketPath()
        let many = try Launched("Hello", ["--fastcgi", "unix:\(patient)"], address: patient)
        try wait("an answer") { try isAnswered(patient) }
        let most = Int(readText("/proc/sys/net/core/somaxconn").trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
        try halt(many.command.pid)
        clients = []
        while clients.count < min(most, 1500), let client = connected(to: patient) { clients.append(client) }
        #expect(clients.count >= min(most, 1500))
        kill(many.command.pid, SIGCONT)
        for client in clients { close(client) }
        try wait("an answer behind them") { try isAnswered(patient) }
        #expect(try many.stop().status == 0)
    }

    /// Stops a process, and waits until it has stopped.
    private func halt(_ pid: pid_t) throws {
        kill(pid, SIGSTOP)
        try wait("process \(pid) to stop") { ProcessTable.status(of: pid)?.state == "T" }
    }

    /// A connection that does not wait, or `nil` if there is no room for it.
    private func connected(to path: String) -> Int32? {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let client = socket(AF_UNIX, kind, 0)
        if withAddress(path, { connect(client, $0, $1) }) == 0 { return client }
        close(client)
        return nil
    }
}
