import Foundation
import Glibc

/// How the servers are set up: those of one run of scenarios are all alike.
struct Setup: Hashable, Sendable {
    /// How many processes httpd has.
    var children = 1
    /// Whether the port speaks TLS and HTTP/2.
    var hasTLS = false
    /// Threads of each process of httpd.
    var threads = 64
    /// `AsyncRequestWorkerFactor`.
    var asyncFactor = 64
}

/// A contestant that serves.
final class RunningServer {
    let contestant: Contestant
    let port: Int
    let setup: Setup
    private let place: Contestant.Place
    private let processors: [Int]
    private var processes: [Spawned] = []
    private var count = 0

    init(_ contestant: Contestant, _ setup: Setup, _ site: Site, processors: [Int]) throws {
        self.contestant = contestant
        self.setup = setup
        self.processors = processors
        port = try Ports.free()
        let directory = "\(site.root)/servers/\(contestant.name)"
        place = Contestant.Place(
            site: site, directory: directory, port: port, backPort: try Ports.free(), children: setup.children,
            threads: setup.threads)
        try? FileManager.default.removeItem(atPath: directory)
        for name in ["", "/run", "/logs"] {
            try FileManager.default.createDirectory(atPath: directory + name, withIntermediateDirectories: true)
            if let ids = ServedAs.current?.ids { chown(directory + name, ids.0, ids.1) }
        }
        if let lines = contestant.httpd?(place) {
            try configuration(lines).write(toFile: "\(directory)/httpd.conf", atomically: false, encoding: .utf8)
        }
    }

    deinit { stop() }

    // MARK: Running

    /// Starts and waits for the first answer.
    ///
    /// - Returns: How long that took, in seconds.
    @discardableResult
    func start() throws -> Double {
        let commands = try contestant.processes(place)
        let begin = Clock.now
        for command in commands { try spawn(command, user: ServedAs.current) }
        let sockets = contestant.sockets.map { place.socket($0) }
        let areThere = try holdsEventually(for: 20, every: 0.0005) {
            try requireRunning()
            return sockets.allSatisfy { access($0, F_OK) == 0 }
        }
        if !areThere { throw Failure("made no socket: \(messages)") }
        if contestant.httpd != nil {
            try spawn([
                Httpd.program, "-d", place.directory, "-f", "\(place.directory)/httpd.conf", "-D", "FOREGROUND",
            ])
        }
        let probe = HTTPProbe(port: port, hasTLS: setup.hasTLS)
        let answers = try holdsEventually(for: 30, every: 0.0005) {
            try requireRunning()
            guard probe.canConnect else { return false }
            return (try? probe.get("/hello", timeout: 10))?.status == 200
        }
        if !answers { throw Failure("does not answer: \(messages)") }
        return Clock.now - begin
    }

    private func spawn(_ command: [String], user: ServedAs? = nil) throws {
        count += 1
        processes.append(
            try Spawned(
                command, environment: ["BENCH_DATA": place.site.data],
                output: "\(place.directory)/logs/output\(count)", processors: processors, user: user))
    }

    private func requireRunning() throws {
        if processes.contains(where: \.hasEnded) { throw Failure("did not start: \(messages)") }
    }

    /// The last of what its processes have printed and logged.
    var messages: String {
        let logs = ["error.log", "nginx.log", "fpm.log"].map { name in
            (try? String(contentsOfFile: "\(place.directory)/logs/\(name)", encoding: .utf8)) ?? ""
        }
        return String((processes.map(\.output) + logs).joined().suffix(1500))
    }

    var tree: ProcessTree { ProcessTree(of: processes.map(\.pid)) }

    func stop() {
        let pids = tree.pids
        for process in processes { process.signal(SIGTERM) }
        for process in processes where process.wait(for: 10) == -1 {
            say("  \(contestant.name): did not end when it was told to")
        }
        // Whoever did not hear of it.
        for pid in pids where kill(pid, 0) == 0 && getpgid(pid) != getpgid(0) {
            if processes.contains(where: { getpgid(pid) == $0.pid }) { kill(pid, SIGKILL) }
        }
        processes = []
    }

    // MARK: Configuration

    private func configuration(_ lines: String) -> String {
        var text = """
            ServerRoot \(place.directory)
            DefaultRuntimeDir \(place.directory)/run
            PidFile \(place.directory)/run/httpd.pid
            ServerName bench.test
            ServerTokens Prod
            Listen 127.0.0.1:\(port)

            """
        if let user = ServedAs.current { text += "User \(user.name)\nGroup \(user.group)\n" }
        var modules = ["unixd", contestant.isPrefork ? "mpm_prefork" : "mpm_event", "authz_core"]
        if setup.hasTLS { modules += ["ssl", "http2"] }
        for module in modules + contestant.modules {
            text += """
                <IfModule !mod_\(module).c>
                LoadModule \(module)_module \(Httpd.modules)/mod_\(module).so
                </IfModule>

                """
        }
        if setup.hasTLS {
            text += """
                Protocols h2 http/1.1
                SSLEngine on
                SSLCertificateFile \(place.site.root)/tls.crt
                SSLCertificateKeyFile \(place.site.root)/tls.key

                """
        }
        text += """
            ErrorLog \(place.directory)/logs/error.log
            LogLevel error
            DocumentRoot \(place.site.data)
            Timeout 60
            MaxKeepAliveRequests 0
            KeepAliveTimeout 60
            EnableSendfile On
            <Directory />
            AllowOverride None
            Require all denied
            </Directory>
            <Directory \(place.site.root)>
            Require all granted
            </Directory>

            """
        return text + processLines + lines + "\n"
    }

    private var processLines: String {
        let threads = setup.threads
        // A process of prefork has one thread: as many in all.
        if contestant.isPrefork {
            let count = setup.children == 1 ? threads : setup.children
            return """
                StartServers \(count)
                MinSpareServers \(count)
                MaxSpareServers \(count)
                ServerLimit \(max(256, count))
                MaxRequestWorkers \(max(256, count))

                """
        }
        return """
            StartServers \(setup.children)
            ServerLimit \(setup.children)
            ThreadLimit \(threads)
            ThreadsPerChild \(threads)
            MinSpareThreads 1
            MaxSpareThreads \(setup.children * threads)
            MaxRequestWorkers \(setup.children * threads)
            AsyncRequestWorkerFactor \(setup.asyncFactor)

            """
    }
}

enum Ports {
    /// A port of the loopback interface that nobody uses.
    static func free() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in.loopback(port: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard isBound else { throw Failure("no free port: \(String(cString: strerror(errno)))") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

extension sockaddr_in {
    static func loopback(port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }
}
