import Testing

/// What a test says about its server; `Server` makes the files of it.
///
/// In `lines` httpd replaces `${apps}` (the applications), `${root}` (the server root), `${port}`
/// and `${port2}`, `${port3}` (all of them listening ports).
struct Configuration {
    enum MPM: String, CaseIterable, CustomTestStringConvertible {
        case event, worker, prefork

        var testDescription: String { rawValue }
        var isThreaded: Bool { self != .prefork }
    }

    /// Who runs the applications: httpd's children themselves, or processes of a group.
    enum Execution: String, CaseIterable, CustomTestStringConvertible {
        case embedded, daemon

        var testDescription: String { rawValue }

        /// SWIFTGI_TEST_EXECUTION, for tests that do not say it themselves.
        static let standard = Paths.environment("SWIFTGI_TEST_EXECUTION").flatMap(Execution.init) ?? .embedded
    }

    /// The main server's configuration, in a file of its own: test.conf.
    var lines: String
    var mpm = MPM.event
    var execution = Execution.standard
    var modules: [String] = []
    /// How many processes serve.
    var children = 1
    /// How many threads each of them has.
    var threads = 8
    var ports = 1
    /// For httpd's processes; `${root}` stands for the server root here too.
    var environment: [String: String] = [:]
    var logLevel = "info swiftgi:debug"
    /// Whether the error log is in the tests' own format, which virtual hosts inherit.
    var logsInOwnFormat = true
    /// Puts files into the server root before the start.
    var prepare: @Sendable (_ root: String) throws -> Void = { _ in }
    /// Whether mod_swiftgi itself is there.
    var loadsModule = true
    /// How many connections to daemons httpd's processes may have kept; `nil`: any number.
    var linksToDaemons: (@Sendable () -> Int)?

    init(
        _ lines: String, mpm: MPM = .event, modules: [String] = [], children: Int = 1, threads: Int = 8,
        ports: Int = 1, environment: [String: String] = [:], logLevel: String = "info swiftgi:debug"
    ) {
        self.lines = lines
        self.mpm = mpm
        self.modules = modules
        self.children = children
        self.threads = threads
        self.ports = ports
        self.environment = environment
        self.logLevel = logLevel
    }

    /// One application at `/app`, and whatever else the test says.
    static func behaviour(
        _ lines: String = "", mpm: MPM = .event, modules: [String] = [], children: Int = 1, threads: Int = 8,
        ports: Int = 1, environment: [String: String] = [:], logLevel: String = "info swiftgi:debug"
    ) -> Configuration {
        Configuration(
            "SwiftGIScriptAlias /app ${apps}/libBehaviour.so\n" + lines, mpm: mpm, modules: modules,
            children: children, threads: threads, ports: ports, environment: environment, logLevel: logLevel)
    }

    /// The asynchronous test application at `/wait`, a synchronous one at `/app`, and whatever else the
    /// test says. There is room for many connections.
    static func waiting(
        _ lines: String = "", mpm: MPM = .event, modules: [String] = [], children: Int = 1, threads: Int = 8,
        ports: Int = 1, environment: [String: String] = [:], logLevel: String = "info swiftgi:debug"
    ) -> Configuration {
        let own = """
            SwiftGIScriptAlias /wait ${apps}/libWaiting.so
            SwiftGIScriptAlias /app ${apps}/libBehaviour.so
            \(mpm == .event ? "AsyncRequestWorkerFactor 500" : "")

            """
        return Configuration(
            own + lines, mpm: mpm, modules: modules, children: children, threads: threads, ports: ports,
            environment: environment, logLevel: logLevel)
    }

    /// One library of C at `/c`, made of one of Libraries/, and whatever else the test says.
    static func compiled(
        _ source: String, _ lines: String = "", defining: [String] = [], mpm: MPM = .event, modules: [String] = []
    ) -> Configuration {
        let own = """
            SwiftGIScriptAlias /c ${root}/libC.so
            <Directory ${root}>
            Require all granted
            </Directory>

            """
        return Configuration(own + lines, mpm: mpm, modules: modules).preparing {
            try Applications.compile(source, to: "\($0)/libC.so", defining: defining)
        }.embedded
    }

    /// What is said of httpd's own children, or of libraries that have no server inside.
    var embedded: Configuration {
        var configuration = self
        configuration.execution = .embedded
        return configuration
    }

    func with(threads: Int) -> Configuration {
        var configuration = self
        configuration.threads = threads
        return configuration
    }

    func preparing(_ prepare: @escaping @Sendable (_ root: String) throws -> Void) -> Configuration {
        var configuration = self
        let before = configuration.prepare
        configuration.prepare = {
            try before($0)
            try prepare($0)
        }
        return configuration
    }

    func text(root: String, ports: [Int]) -> String {
        var text = """
            ServerRoot \(root)
            DefaultRuntimeDir \(root)/run
            PidFile \(root)/run/httpd.pid
            ServerName localhost
            User \(ServedAs.user)
            Group \(ServedAs.group)
            Define root \(root)
            Define apps \(Applications.directory)

            """
        for (index, port) in ports.enumerated() {
            text += "Define port\(index == 0 ? "" : "\(index + 1)") \(port)\nListen 127.0.0.1:\(port)\n"
        }
        for module in ["unixd", "log_config", "mpm_\(mpm.rawValue)", "authz_core", "authz_host"] + modules {
            text += """
                <IfModule !mod_\(module).c>
                LoadModule \(module)_module \(Paths.httpdModules)/mod_\(module).so
                </IfModule>

                """
        }
        if loadsModule { text += "LoadModule swiftgi_module \(Paths.module)\n" }
        text += processLines
        text += """
            ErrorLog \(root)/logs/error.log
            \(logsInOwnFormat ? "ErrorLogFormat \"\(LogLine.format)\"" : "")
            LogLevel \(logLevel)
            LogFormat "%r|%>s|%B|%X|%L" test
            CustomLog \(root)/logs/access.log test
            DocumentRoot \(root)/htdocs
            TimeOut 20
            <Directory />
            AllowOverride None
            Require all denied
            </Directory>
            <Directory \(root)/htdocs>
            Require all granted
            </Directory>
            <Directory \(Applications.directory)>
            Require all granted
            </Directory>
            \(executionLines)
            Include \(root)/test.conf

            """
        return text
    }

    /// A process group for all applications, in place of httpd's children. The launcher stands beside the
    /// module.
    private var executionLines: String {
        guard execution == .daemon, loadsModule else { return "" }
        return """
            SwiftGIDaemonProcess everything processes=\(children) threads=\(threads) queue-limit=1000
            SwiftGIProcessGroup everything
            """
    }

    /// Few processes, and room for those that end gracefully.
    private var processLines: String {
        switch mpm {
        case .prefork:
            """
            StartServers \(children)
            MinSpareServers \(children)
            MaxSpareServers \(children + 1)
            ServerLimit \(4 * max(children, threads))
            MaxRequestWorkers \(max(children, threads))

            """
        case .event, .worker:
            """
            StartServers \(children)
            ServerLimit \(children + 8)
            ThreadLimit \(threads)
            ThreadsPerChild \(threads)
            MinSpareThreads 1
            MaxSpareThreads \(children * threads + threads)
            MaxRequestWorkers \(children * threads)

            """
        }
    }
}
