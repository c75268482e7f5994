import Foundation
import Testing

/// The directives of process groups: what is refused, and which request goes where.
@Suite(.embedded("They have groups of their own."))
struct DaemonDirectiveTests {
    // MARK: What is refused

    typealias Malformed = DirectiveTests.Malformed

    /// Options that can't be, and the remedy.
    static let options: [(option: String, remedy: String)] = [
        ("processes=0", "a whole number from 1 to 1024"),
        ("processes=two", "a whole number from 1 to 1024"),
        ("processes=2x", "a whole number from 1 to 1024"),
        ("processes=-1", "a whole number from 1 to 1024"),
        ("processes=99999999999999999999", "a whole number from 1 to 1024"),
        ("processes=off", "a whole number from 1 to 1024"),
        ("processes=", "it has no value"),
        ("processes", "write option=value"),
        ("threads=0", "a whole number from 1 to 1024"),
        ("user=no-such-user", "there is no such user"),
        ("user=root", "do not run as root"),
        ("user=#0", "do not run as root"),
        ("user=#x", "there is no such user"),
        ("group=no-such-group", "there is no group no-such-group"),
        ("supplementary-groups=no-such-group", "there is no group no-such-group"),
        ("supplementary-groups=,", "the names of groups, with commas"),
        ("umask=0888", "an octal number from 0 to 0777"),
        ("umask=1000", "an octal number from 0 to 0777"),
        ("home=tmp", "an absolute path"),
        ("home=/no/such/directory", "there is no such directory"),
        ("env=NAME", "NAME=value"),
        ("env=1A=b", "NAME=value"),
        ("env==b", "NAME=value"),
        ("env-file=no-such-file", "No such file"),
        ("env-file=htdocs", "not a regular file"),
        ("env-file=bad-variables", "line 2 is not NAME=value"),
        ("env-file=bad-quotes", "line 1 has no closing quotation mark"),
        ("queue-limit=0", "a whole number from 1"),
        ("queue-timeout=0", "a time from 1ms to 1d, as in 30s, 500ms or 2h, or off"),
        ("queue-timeout=5x", "a time from 1ms"),
        ("queue-timeout=1.5s", "a time from 1ms"),
        ("startup-timeout=off", "a time from 1ms"),
        ("startup-timeout=2d", "a time from 1ms to 1d"),
        ("request-timeout=soon", "a time from 1ms"),
        ("io-timeout=2d", "a time from 1ms to 1d"),
        ("inactivity-timeout=-5s", "a time from 1ms"),
        ("restart-interval=1y", "a time from 1ms"),
        ("maximum-requests=0", "or off"),
        ("maximum-requests=1K", "or off"),
        ("max-rss=1K", "a size of at least 1M"),
        ("max-rss=64MB", "a size of at least 1M"),
        ("cpu-time-limit=1ms", "a time from 10ms"),
        ("drain-timeout=off", "a time from 1ms"),
        ("shutdown-timeout=9999999999999999h", "a time from 1ms"),
        ("backtrace=maybe", "on, off or the absolute path"),
        ("proceses=2", "there is no such option; there are processes threads user"),
        ("Processes=2", "there is no such option"),
    ]

    @Test(arguments: options.indices)
    func refusedOption(_ index: Int) async throws {
        let (option, remedy) = Self.options[index]
        let configuration = Configuration("SwiftGIDaemonProcess shop \(option)").preparing {
            try writeFile("\($0)/bad-variables", "A=1\nnonsense\n")
            try writeFile("\($0)/bad-quotes", "A=\"1\n")
        }
        try await withStoppedServer(configuration) { server in
            let result = try server.configtest()
            #expect(result.status != 0, "\(option)")
            let name = option.prefix { $0 != "=" }
            for part in ["test.conf", "SwiftGIDaemonProcess: \(name)", remedy] {
                #expect(result.errors.contains(part), "no “\(part)”: \(result)")
            }
        }
    }

    @Test(arguments: [
        Malformed("SwiftGIDaemonProcess", "SwiftGIDaemonProcess: name: it is missing"),
        Malformed("SwiftGIDaemonProcess a/b", "cannot name a process group"),
        Malformed("SwiftGIDaemonProcess .a", "cannot name a process group"),
        Malformed("SwiftGIDaemonProcess %{GLOBAL}", "cannot name a process group"),
        Malformed("SwiftGIDaemonProcess processes=2", "cannot name a process group"),
        Malformed("SwiftGIDaemonProcess abcdefghijklmnopqrstuvwxyz0123456", "cannot name a process group"),
        Malformed("SwiftGIDaemonProcess a threads=2 threads=3", "SwiftGIDaemonProcess: threads: it is given twice"),
        Malformed("SwiftGIDaemonProcess a\nSwiftGIDaemonProcess a", "there is a process group of this name (/"),
        Malformed(
            "SwiftGIDaemonProcess a\n<VirtualHost *:${port}>\nSwiftGIDaemonProcess a\n</VirtualHost>",
            "there is a process group of this name"),
        Malformed("<Location />\nSwiftGIDaemonProcess a\n</Location>", "not allowed"),
        Malformed("SwiftGIProcessGroup", "SwiftGIProcessGroup takes one argument"),
        Malformed("SwiftGIProcessGroup %{ENV:x}", "%{GLOBAL} is httpd itself"),
        Malformed("SwiftGIScriptAlias /a ${apps}/libHello.so group=a", "there is process-group="),
        Malformed("SwiftGIScriptAlias /a ${apps}/libHello.so process-group=", "process-group: \"\" cannot name"),
        Malformed("SwiftGIScriptAliasMatch ^/a ${apps}/libHello.so group=a", "there is process-group="),
        Malformed("SwiftGIRestrictEmbedded Perhaps", "SwiftGIRestrictEmbedded must be On or Off"),
        Malformed("<Location />\nSwiftGIRestrictEmbedded On\n</Location>", "not allowed"),
        Malformed("<VirtualHost *:${port}>\nSwiftGIRestrictEmbedded On\n</VirtualHost>", "SwiftGIRestrictEmbedded"),
        Malformed("SwiftGIRestrictProcess", "the value must be names of process groups"),
        Malformed("SwiftGIRestrictProcess a/b", "cannot name a process group"),
        Malformed("SwiftGISocketDirectory", "SwiftGISocketDirectory takes one argument"),
        Malformed("<VirtualHost *:${port}>\nSwiftGISocketDirectory x\n</VirtualHost>", "SwiftGISocketDirectory"),
        Malformed("SwiftGILauncher swiftgi-run", "the absolute path of the program swiftgi-run"),
        Malformed("<Location />\nSwiftGILauncher /usr/bin/swiftgi-run\n</Location>", "not allowed"),
    ])
    func refused(_ malformed: Malformed) async throws { try await malformed.check() }

    /// What is known only when all was read: with an id.
    @Test(arguments: [
        Malformed("SwiftGIProcessGroup other", "SGI0440: SwiftGIProcessGroup (/"),
        Malformed("SwiftGIScriptAlias /d ${root}/libC.so process-group=other", "SGI0440: SwiftGIScriptAlias (/"),
        Malformed("<Location /c>\nSwiftGIProcessGroup other\n</Location>", "SGI0440"),
        Malformed(
            """
            <VirtualHost *:${port}>
            ServerName a.example
            SwiftGIDaemonProcess hosted
            </VirtualHost>
            <VirtualHost *:${port}>
            ServerName b.example
            SwiftGIProcessGroup hosted
            </VirtualHost>
            """, "SGI0441"),
        Malformed("SwiftGIRestrictEmbedded On\nSwiftGIScriptAlias /app ${apps}/libHello.so", "SGI0442"),
        Malformed("SwiftGIRestrictProcess other", "SGI0443"),
        Malformed("SwiftGIScriptAliasMatch ^/m/([a-z]+) ${apps}/lib$1.so process-group=shop", "SGI0444"),
        Malformed("SwiftGILauncher /no/such/program", "SGI0432: SwiftGILauncher: /no/such/program cannot be run"),
        Malformed("SwiftGILauncher /etc/passwd", "SGI0432: SwiftGILauncher: /etc/passwd cannot be run: it is no"),
        Malformed(
            "SwiftGISocketDirectory /tmp/\(String(repeating: "long", count: 20))", "SGI0433: SwiftGISocketDirectory"),
    ])
    func refusedInTheEnd(_ malformed: Malformed) async throws {
        try await withStoppedServer(.daemons("", malformed.lines)) { server in
            try malformed.check(at: server)
        }
    }

    @Test func groupOfRoot() async throws {
        guard ServedAs.isRoot else { return }
        try await withStoppedServer(.daemons("", "User root")) { server in
            let result = try server.configtest()
            #expect(result.status != 0)
            #expect(result.errors.contains("SGI0430") || result.errors.contains("as root"), "\(result)")
        }
    }

    @Test func onlyRootChangesUsers() async throws {
        guard !ServedAs.isRoot else { return }
        try await withStoppedServer(Configuration("SwiftGIDaemonProcess shop user=nobody")) { server in
            let result = try server.configtest()
            #expect(result.errors.contains("only httpd that is started by root"), "\(result)")
        }
    }

    /// A library is tried as the user that is to run it.
    @Test func libraryThatTheGroupMustNotRead() async throws {
        guard ServedAs.isRoot else { return }
        let configuration = Configuration.daemons("user=games").preparing {
            chmod("\($0)/libC.so", 0o640)
            chown("\($0)/libC.so", 0, getgrnam("www-data").pointee.gr_gid)
        }
        try await withStoppedServer(configuration) { server in
            let result = try server.configtest()
            #expect(result.status != 0)
            #expect(result.errors.contains("SGI0002"), "\(result)")
        }
    }

    @Test func wellFormed() async throws {
        let options = """
            processes=2 threads=4 umask=0027 home=/tmp env=A=b env=C= env-file=${root}/variables \
            display-name="%{GROUP}" queue-limit=10 queue-timeout=30 startup-timeout=1m request-timeout=off \
            io-timeout=500ms inactivity-timeout=1h restart-interval=1d maximum-requests=500 max-rss=512M \
            cpu-time-limit=10m drain-timeout=2mi shutdown-timeout=5s backtrace=off
            """
        let lines = """
            SwiftGIDaemonProcess all-off queue-timeout=off request-timeout=off inactivity-timeout=off \
            restart-interval=off maximum-requests=off max-rss=off cpu-time-limit=OFF io-timeout=off
            <VirtualHost *:${port}>
            ServerName a.example
            SwiftGIDaemonProcess hosted
            SwiftGIProcessGroup hosted
            SwiftGIScriptAliasMatch ^/m ${root}/libC.so
            </VirtualHost>
            <VirtualHost *:${port2}>
            ServerName a.example
            SwiftGIProcessGroup hosted
            </VirtualHost>
            <VirtualHost *:${port2}>
            ServerName b.example
            SwiftGIProcessGroup shop
            SwiftGIRestrictProcess shop %{GLOBAL}
            </VirtualHost>
            """
        var configuration = Configuration.daemons(options, lines).preparing {
            try writeFile("\($0)/variables", "A=1\n")
        }
        configuration.ports = 2
        try await withStoppedServer(configuration) { server in
            let result = try server.configtest()
            #expect(result.status == 0, "\(result)")
        }
    }

    /// An unknown group at a restart: the server goes on, and those requests fail.
    @Test func unknownGroupAtRestart() async throws {
        let configuration = Configuration.daemons("", "SwiftGIScriptAlias /app ${apps}/libHello.so")
        try await withServer(configuration, expecting: ["SGI0440", "SGI0451"]) { server in
            let more = "\nSwiftGIScriptAlias /d ${root}/libC.so process-group=other"
            try server.writeConfiguration(configuration.lines + more)
            server.graceful()
            try server.waitUntilResumed(2)
            try server.errorLog.wait(for: "SGI0440")
            #expect(try server.get("/d").status == 503)
            #expect(try server.get("/app").status == 200)
        }
    }

    // MARK: Which request goes where

    /// Requests that end in httpd itself say so.
    @Test func embeddedOverrides() async throws {
        let lines = """
            SwiftGIProcessGroup shop
            SwiftGIScriptAlias /app ${apps}/libHello.so
            <Location /app>
            SwiftGIProcessGroup %{GLOBAL}
            </Location>
            SwiftGIScriptAlias /always ${apps}/libHello.so process-group=%{GLOBAL}
            SwiftGIScriptAlias /never ${apps}/libVariables.so
            """
        try await withServer(.daemons("", lines)) { server in
            #expect(try server.get("/app").status == 200)
            #expect(try server.get("/always").status == 200)
            let maps = try readText("/proc/\(#require(server.children.first))/maps")
            #expect(!maps.contains("libVariables.so"))
        }
    }

    @Test func restrictedRequests() async throws {
        let lines = """
            SwiftGIScriptAlias /app ${apps}/libHello.so
            <Location /app/closed>
            SwiftGIRestrictProcess shop
            </Location>
            <Location /app/open>
            SwiftGIRestrictProcess shop %{GLOBAL}
            </Location>
            """
        try await withServer(.daemons("", lines), expecting: ["SGI0452"]) { server in
            let statuses = try ["/app", "/app/open", "/app/closed"].map { try server.get($0).status }
            #expect(statuses == [200, 200, 500])
        }
    }

    @Test func restrictedEmbedding() async throws {
        let lines = """
            SwiftGIRestrictEmbedded On
            <Directory ${root}/htdocs>
            Options +ExecCGI
            AddHandler swiftgi-script .so
            </Directory>
            """
        let configuration = Configuration.daemons("", lines, modules: ["mime"]).preparing {
            try Applications.compile("library.c", to: "\($0)/htdocs/libC.so")
        }
        try await withServer(configuration, expecting: ["SGI0450"]) { server in
            let status = try server.get("/libC.so").status
            #expect(status == 500)
            let child = try #require(server.children.first)
            #expect(!readText("/proc/\(child)/maps").contains("libC.so"))
        }
    }

    /// A library that no alias names is in no group.
    @Test func fileThatNoGroupRuns() async throws {
        let lines = """
            <Directory ${root}/htdocs>
            Options +ExecCGI
            AddHandler swiftgi-script .so
            SwiftGIProcessGroup shop
            </Directory>
            """
        let configuration = Configuration.daemons("", lines, modules: ["mime"]).preparing {
            try Applications.compile("library.c", to: "\($0)/htdocs/libC.so")
        }
        try await withServer(configuration, expecting: ["SGI0453"]) { server in
            let status = try server.get("/libC.so").status
            #expect(status == 503)
        }
    }
}
