import Foundation
import Glibc
import Testing

/// A web server, its module, and the gateway through which it reaches an application.
enum FrontEnd: String, CaseIterable, CustomTestStringConvertible {
    case modCgid, modFcgid, proxyFcgi, proxyScgi, nginxFastCGI, nginxSCGI, lighttpdFastCGI, lighttpdSCGI

    var testDescription: String { rawValue }

    /// What `environ.server` says.
    var mode: String {
        switch self {
        case .modCgid: "cgi"
        case .modFcgid, .proxyFcgi, .nginxFastCGI, .lighttpdFastCGI: "fastcgi"
        case .proxyScgi, .nginxSCGI, .lighttpdSCGI: "scgi"
        }
    }

    var isApache: Bool { rawValue.hasPrefix("mod") || rawValue.hasPrefix("proxy") }

    /// Whether a line of the web server's error log says that something is not well.
    func isComplaint(_ line: Substring) -> Bool {
        if isApache { return LogLine(line)?.isBad ?? true }
        if rawValue.hasPrefix("nginx") {
            return ["[warn]", "[error]", "[crit]", "[alert]", "[emerg]"].contains { line.contains($0) }
        }
        return !["server started", "server stopped"].contains { line.contains($0) }
    }

    /// What the web server says itself when a response ends early or a client leaves.
    var ownComplaints: [String] {
        switch self {
        case .modCgid: ["AH00484"]
        case .modFcgid:
            [
                "AH00484", "mod_fcgid: ap_pass_brigade failed in handle_request_ipc function",
                "mod_fcgid: error reading data, FastCGI server closed connection",
            ]
        // A record of no version ends a response that fails.
        case .proxyFcgi: ["AH00484", "AH01068: Got bogus version 0", "AH01075: Error dispatching request"]
        case .proxyScgi: ["AH00484", "AH00574: ap_content_length_filter: apr_bucket_read() failed"]
        case .nginxFastCGI: ["upstream sent unsupported FastCGI protocol version: 0"]
        case .nginxSCGI:
            ["recv() failed (104: Connection reset by peer)", "a client request body is buffered to a temporary file"]
        case .lighttpdFastCGI, .lighttpdSCGI:
            [
                "FastCGI: header.type not handled: 0", "unexpected end-of-file", "Connection reset by peer",
                "response already sent out, but backend returned error on socket", "gw: got a FDEVENT_ERR",
            ]
        }
    }
}

/// `swiftgi-run` with an application.
final class Launched {
    let address: String
    let command: Command

    init(_ library: String, _ arguments: [String], address: String, environment: [String: String] = [:]) throws {
        self.address = address
        command = try Command(Paths.launcher, arguments + [Applications.path(library)], environment: environment)
        try wait("swiftgi-run to listen at \(address)") {
            if command.hasEnded {
                throw Command.Failure(description: "swiftgi-run did not start: \(try command.finish())")
            }
            // The file is there a moment before somebody listens.
            if address.hasPrefix("/") { return canConnect(to: address) }
            return (try? RawClient(port: Int(address)!)) != nil
        }
    }

    /// Ends it; what is wrong if it did not end well.
    func stop() throws -> Command.Result {
        kill(command.pid, SIGTERM)
        return try command.finish()
    }
}

/// A running web server in front of an application at `/conformance`.
final class Fronted {
    let port: Int
    private let kind: FrontEnd
    /// The web server's error log, line by line.
    private let log: () -> [Substring]
    private let end: () async -> [String]
    private let launched: Launched?

    private init(
        _ kind: FrontEnd, port: Int, launched: Launched?, log: @escaping () -> [Substring],
        end: @escaping () async -> [String]
    ) {
        self.kind = kind
        self.port = port
        self.launched = launched
        self.log = log
        self.end = end
    }

    /// How many lines of both logs are not well.
    var complaints: (Int, Int) { (serverComplaints.count, launchedComplaints.count) }

    /// What has been added since then, but for what the web server has to say itself of responses that
    /// end early and of clients that leave.
    func complaints(since counts: (Int, Int)) -> [String] {
        let own = kind.ownComplaints
        return (serverComplaints.dropFirst(counts.0) + launchedComplaints.dropFirst(counts.1))
            .filter { line in !own.contains { line.contains($0) } }
    }

    private var serverComplaints: [String] { log().filter { kind.isComplaint($0) }.map { String($0) } }

    private var launchedComplaints: [String] {
        (launched?.command.errors ?? "").split(separator: "\n")
            .filter { line in !["[notice]", "[info]", "[debug]"].contains { line.contains($0) } }.map { String($0) }
    }

    /// - Returns: What is wrong.
    func stop() async -> [String] {
        var wrong = await end()
        if let launched {
            do {
                let result = try launched.stop()
                if result.status != 0 { wrong.append("swiftgi-run ended with \(result)") }
            } catch {
                wrong.append("\(error)")
            }
        }
        return wrong
    }

    /// - Parameters:
    ///   - variables: What the web server adds to the variables of each request.
    ///   - options: Of swiftgi-run.
    static func start(
        _ kind: FrontEnd, _ library: String, variables: [String: String] = [:], options: [String] = []
    ) throws -> Fronted {
        let root = "\(Paths.temporary)/front-\(UUID().uuidString.prefix(8))"
        for directory in ["", "/run", "/htdocs"] { try makeDirectory(root + directory) }
        for directory in ["/logs", "/scratch", "/temporary"] { try makeDirectory(root + directory, mode: 0o777) }
        let socket = "\(root)/run/app.sock"
        var launched: Launched?
        switch kind.mode {
        case "fastcgi" where kind != .modFcgid:
            launched = try Launched(
                library,
                ["--fastcgi", "unix:\(socket)", "--socket-mode", "0666", "--threads", "16"] + options
                    + (kind == .nginxFastCGI ? ["--script-name", "/conformance"] : []), address: socket)
        case "scgi":
            let port = Ports.next()
            launched = try Launched(
                library,
                ["--scgi", "127.0.0.1:\(port)", "--threads", "16"] + options
                    + (kind == .nginxSCGI ? ["--script-name", "/conformance"] : []), address: "\(port)")
        default: break
        }
        let variables = variables.merging(["SWIFTGI_TEST_JOURNAL": "\(root)/scratch"]) { $1 }
        if kind.isApache { return try startApache(kind, library, root, launched, variables) }
        let port = Ports.next()
        let command: Command
        if kind.rawValue.hasPrefix("nginx") {
            try writeFile("\(root)/nginx.conf", nginx(kind, root: root, port: port, launched!.address, variables))
            command = try Command(
                "/usr/sbin/nginx", ["-p", root, "-e", "\(root)/logs/error.log", "-c", "\(root)/nginx.conf"])
        } else {
            try writeFile("\(root)/lighttpd.conf", lighttpd(kind, root: root, port: port, launched!.address, variables))
            command = try Command("/usr/sbin/lighttpd", ["-D", "-f", "\(root)/lighttpd.conf"])
        }
        try wait("the web server to listen") {
            if command.hasEnded {
                throw Command.Failure(
                    description: "it did not start: \(try command.finish())\n\(readText("\(root)/logs/error.log"))")
            }
            return (try? RawClient(port: port)) != nil
        }
        return Fronted(
            kind, port: port, launched: launched, log: { readText("\(root)/logs/error.log").split(separator: "\n") }
        ) {
            kill(command.pid, SIGTERM)
            let result = try? command.finish()
            return result?.status == 0 ? [] : ["the web server ended with \(String(describing: result))"]
        }
    }

    private static func nginx(
        _ kind: FrontEnd, root: String, port: Int, _ address: String, _ variables: [String: String]
    ) -> String {
        let name = kind == .nginxFastCGI ? "fastcgi" : "scgi"
        let upstream = address.hasPrefix("/") ? "unix:\(address)" : "127.0.0.1:\(address)"
        return """
            daemon off;
            \(ServedAs.isRoot ? "user \(ServedAs.user);" : "")
            worker_processes 1;
            pid \(root)/run/nginx.pid;
            error_log \(root)/logs/error.log info;
            events {}
            http {
                access_log off;
                client_body_temp_path \(root)/temporary/body;
                proxy_temp_path \(root)/temporary/proxy;
                fastcgi_temp_path \(root)/temporary/fastcgi;
                scgi_temp_path \(root)/temporary/scgi;
                uwsgi_temp_path \(root)/temporary/uwsgi;
                client_max_body_size 0;
                upstream application { server \(upstream); \(name == "fastcgi" ? "keepalive 8;" : "") }
                server {
                    listen 127.0.0.1:\(port);
                    location /conformance {
                        include /etc/nginx/\(name)_params;
                        \(variables.map { "\(name)_param \($0) \($1);" }.joined(separator: "\n"))
                        \(name == "fastcgi" ? "fastcgi_keep_conn on;" : "")
                        \(name)_buffering off;
                        \(name == "fastcgi" ? "fastcgi_request_buffering off;" : "")
                        \(name)_pass application;
                    }
                }
            }

            """
    }

    private static func lighttpd(
        _ kind: FrontEnd, root: String, port: Int, _ address: String, _ variables: [String: String]
    ) -> String {
        let name = kind == .lighttpdFastCGI ? "fastcgi" : "scgi"
        let backend =
            address.hasPrefix("/")
            ? "\"socket\" => \"\(address)\"" : "\"host\" => \"127.0.0.1\", \"port\" => \(address)"
        return """
            server.document-root = "\(root)/htdocs"
            server.bind = "127.0.0.1"
            server.port = \(port)
            server.errorlog = "\(root)/logs/error.log"
            server.upload-dirs = ( "\(root)/temporary" )
            \(ServedAs.isRoot ? "server.username = \"\(ServedAs.user)\"" : "")
            server.modules = ( "mod_setenv", "mod_\(name)" )
            server.stream-response-body = 2
            setenv.add-environment = ( \(variables.map { "\"\($0)\" => \"\($1)\"" }.joined(separator: ", ")) )
            \(name).server = ( "/conformance" => (( \(backend), "check-local" => "disable" )) )

            """
    }

    private static func startApache(
        _ kind: FrontEnd, _ library: String, _ root: String, _ launched: Launched?, _ variables: [String: String]
    ) throws -> Fronted {
        let script = "\(root)/htdocs/app"
        var modules = ["env"]
        var lines = "SetEnv ap_trust_cgilike_cl 1\n" + variables.map { "SetEnv \($0) \($1)\n" }.joined()
        switch kind {
        case .modCgid, .modFcgid:
            try writeFile(script, "#!\(Paths.launcher) \(Applications.path(library))\n")
            chmod(script, 0o755)
            modules += kind == .modCgid ? ["alias", "cgid"] : ["alias", "fcgid"]
            lines += """
                \(kind == .modCgid ? "ScriptAlias" : "Alias") /conformance \(script)
                \(kind == .modCgid ? "ScriptSock \(root)/run/cgid" : "FcgidIPCDir \(root)/scratch")
                \(kind == .modCgid ? "" : "FcgidProcessTableFile \(root)/scratch/shm")
                \(kind == .modCgid ? "" : "FcgidMaxRequestLen 100000000\nFcgidOutputBufferSize 0\nFcgidMinProcessesPerClass 1\nFcgidMaxProcessesPerClass 4")
                CGIPassAuth On
                <Directory \(root)/htdocs>
                Require all granted
                \(kind == .modCgid ? "" : "SetHandler fcgid-script\nOptions +ExecCGI")
                </Directory>
                """
        case .proxyFcgi:
            modules += ["proxy", "proxy_fcgi"]
            lines += """
                ProxyPass /conformance unix:\(launched!.address)|fcgi://localhost enablereuse=on flushpackets=on
                CGIPassAuth On
                """
        default:
            modules += ["proxy", "proxy_scgi"]
            lines +=
                "ProxyPass /conformance scgi://127.0.0.1:\(launched!.address)\nCGIPassAuth On\n"
        }
        // CGIPassAuth has its place in a directory or a location.
        lines = lines.replacing("CGIPassAuth On", with: "<Location /conformance>\nCGIPassAuth On\n</Location>")
        var configuration = Configuration(lines, modules: modules, threads: 16)
        configuration.loadsModule = false
        configuration.logLevel = "info"
        let server = try Server(configuration)
        try server.start()
        return Fronted(
            kind, port: server.port, launched: launched,
            log: { (server.startMessages + readText(server.errorLog.path)).split(separator: "\n") }
        ) {
            await server.stop(graceful: false)
        }
    }
}
