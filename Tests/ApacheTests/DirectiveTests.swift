import Foundation
import Testing

/// Every directive: where it may stand, how it is inherited and overridden, and what is refused.
@Suite struct DirectiveTests {
    // MARK: What is refused

    struct Malformed: CustomTestStringConvertible, Sendable {
        let lines: String
        let message: String
        var testDescription: String { lines.replacing("\n", with: " ⏎ ") }

        init(_ lines: String, _ message: String) {
            self.lines = lines
            self.message = message
        }

        /// A server that has the lines is refused with the message, when it is tested and when it is started.
        func check(at server: Server) throws {
            let configtest = try server.configtest()
            #expect(configtest.status != 0)
            #expect(configtest.errors.contains(message), "\(configtest)")
            let start = try server.startRefused()
            #expect(start.status != 0)
            #expect(start.errors.contains(message), "\(start)")
        }

        /// The configuration is refused, with the message and the place.
        func check() async throws {
            try await withStoppedServer(Configuration(lines).embedded) { server in
                let result = try server.configtest()
                #expect(result.status != 0)
                #expect(result.errors.contains(message), "\(result)")
                #expect(result.errors.contains("test.conf"), "\(result)")
            }
        }
    }

    @Test(arguments: [
        Malformed("SwiftGIScriptAlias /app", "SwiftGIScriptAlias takes two or three arguments"),
        Malformed("SwiftGIScriptAlias /app ${apps}/libHello.so x", "\"x\" is no option; there is process-group="),
        Malformed("SwiftGIScriptAlias app ${apps}/libHello.so", "must begin with a slash"),
        Malformed(
            "SwiftGIScriptAlias /app ${apps}/libHello.so\nSwiftGIScriptAlias /app/ ${apps}/libBehaviour.so",
            "already has an application"),
        Malformed("SwiftGIScriptAlias /a/./b ${apps}/libHello.so", "must not have the segments . and .."),
        Malformed("SwiftGIScriptAlias /a/.. ${apps}/libHello.so", "must not have the segments . and .."),
        Malformed("<Directory />\nSwiftGIScriptAlias /app ${apps}/libHello.so\n</Directory>", "not allowed"),
        Malformed("<Location />\nSwiftGIScriptAlias /app ${apps}/libHello.so\n</Location>", "not allowed"),
        Malformed("SwiftGIScriptAliasMatch ^/(app ${apps}/libHello.so", "is no regular expression"),
        Malformed("SwiftGIScriptAliasMatch ^/app", "SwiftGIScriptAliasMatch takes two or three arguments"),
        Malformed("<Directory />\nSwiftGIScriptAliasMatch ^/app ${apps}/libHello.so\n</Directory>", "not allowed"),
        Malformed("SwiftGIPassAuthorization", "SwiftGIPassAuthorization takes one argument"),
        Malformed("SwiftGIPassAuthorization Maybe", "must be On, Off or Auto"),
        Malformed("SwiftGIErrorOverride", "the value must be Off, On, or On and the statuses"),
        Malformed("SwiftGIErrorOverride Auto", "the value must be Off, On, or On and the statuses"),
        Malformed("SwiftGIErrorOverride Off 404", "the value must be Off, On, or On and the statuses"),
        Malformed(
            "SwiftGIErrorOverride On 200",
            "“200” is no status from 400 to 599".replacing("“", with: "\"").replacing("”", with: "\"")),
        Malformed("SwiftGIErrorOverride On 404 600", "is no status from 400 to 599"),
        Malformed("SwiftGIErrorOverride On 404x", "is no status from 400 to 599"),
        Malformed("SwiftGIMapHEADToGET", "SwiftGIMapHEADToGET takes one argument"),
        Malformed("SwiftGIMapHEADToGET Yes", "must be On, Off or Auto"),
        Malformed("SwiftGIBacktrace", "SwiftGIBacktrace takes one argument"),
        Malformed("SwiftGIBacktrace Sometimes", "must be On, Off or the absolute path"),
        Malformed("<VirtualHost *:${port}>\nSwiftGIBacktrace On\n</VirtualHost>", "SwiftGIBacktrace"),
        Malformed("<Directory />\nSwiftGIBacktrace On\n</Directory>", "not allowed"),
        Malformed("SwiftGIReload", "SwiftGIReload must be On or Off"),
        Malformed("SwiftGIReload Auto", "SwiftGIReload must be On or Off"),
        Malformed("<VirtualHost *:${port}>\nSwiftGIReload On\n</VirtualHost>", "SwiftGIReload"),
        Malformed("<Location />\nSwiftGIReload On\n</Location>", "not allowed"),
    ])
    func refused(_ malformed: Malformed) async throws { try await malformed.check() }

    @Test func acceptedInAllPlaces() async throws {
        let everywhere = """
            SwiftGIPassAuthorization auto
            SwiftGIErrorOverride on 404 500
            SwiftGIMapHEADToGET off

            """
        let lines = """
            SwiftGIBacktrace off
            SwiftGIReload off
            \(everywhere)
            <Location /x>
            \(everywhere)
            </Location>
            <VirtualHost *:${port}>
            SwiftGIScriptAlias /app ${apps}/libHello.so
            \(everywhere)
            <Directory ${apps}>
            \(everywhere)
            </Directory>
            </VirtualHost>
            """
        try await withStoppedServer(Configuration(lines)) { server in
            let result = try server.configtest()
            #expect(result.status == 0, "\(result)")
        }
    }

    @Test(.embedded("A group runs what an alias names.")) func accessFiles() async throws {
        let lines = """
            <Directory ${root}/htdocs>
            Options +ExecCGI
            AddHandler swiftgi-script .so
            AllowOverride None
            </Directory>
            <Directory ${root}/htdocs/open>
            AllowOverride FileInfo
            </Directory>
            <Directory ${root}/htdocs/closed>
            AllowOverride AuthConfig
            </Directory>
            """
        var configuration = Configuration(lines, modules: ["mime"])
        configuration.prepare = { root in
            for name in ["open", "closed"] {
                try makeDirectory("\(root)/htdocs/\(name)")
                try Applications.copy("Behaviour", to: "\(root)/htdocs/\(name)/app.so")
                try writeFile(
                    "\(root)/htdocs/\(name)/.htaccess", "SwiftGIErrorOverride On\nSwiftGIPassAuthorization Off\n")
            }
        }
        try await withServer(configuration, expecting: ["SwiftGIErrorOverride not allowed here"]) { server in
            let open = try server.get("/open/app.so/status?code=404&body=own")
            #expect(open.status == 404)
            #expect(open.text.contains("<title>404 Not Found"))
            #expect(try server.get("/closed/app.so/status?code=404&body=own").status == 500)
        }
    }

    // MARK: Inheritance

    /// The main server's settings, seen in a virtual host, and overridden in a virtual host, in a
    /// directory and in a location, most special last.
    private func inheritance(_ directive: String, _ inherited: String, _ overridden: String) -> Configuration {
        Configuration(
            """
            SwiftGIScriptAlias /app ${apps}/libBehaviour.so
            SwiftGIScriptAlias /located ${apps}/libBehaviour.so
            SwiftGIScriptAlias /copied ${root}/libCopy.so
            <Directory ${root}>
            Require all granted
            </Directory>
            \(directive) \(inherited)
            <VirtualHost *:${port}>
            ServerName inherits
            <Location /located>
            \(directive) \(overridden)
            </Location>
            <Directory ${root}>
            \(directive) \(overridden)
            </Directory>
            </VirtualHost>
            <VirtualHost *:${port}>
            ServerName overrides
            \(directive) \(overridden)
            <Location /located>
            \(directive) \(inherited)
            </Location>
            </VirtualHost>
            """
        ).preparing { try Applications.copy("Behaviour", to: "\($0)/libCopy.so") }
    }

    /// Which of the two settings each place has: `check` tells whether it is the inherited one.
    private func checkInheritance(
        _ configuration: Configuration, _ check: (Server, String, String) throws -> Bool
    ) async throws {
        try await withServer(configuration) { server in
            for (host, path, isInherited) in [
                ("inherits", "/app", true), ("inherits", "/located", false), ("inherits", "/copied", false),
                ("overrides", "/app", false), ("overrides", "/located", true), ("overrides", "/copied", false),
            ] {
                let actual = try check(server, host, path)
                #expect(actual == isInherited, "\(path) in \(host)")
            }
        }
    }

    @Test func passAuthorization() async throws {
        try await checkInheritance(inheritance("SwiftGIPassAuthorization", "Off", "On")) { server, host, path in
            let fields = ["Authorization: Basic YTpi"]
            let seen = try server.get("\(path)/variables", fields, host: host).variables["HTTP_AUTHORIZATION"]
            let headers = try server.get("\(path)/headers", fields, host: host).text.lowercased()
            #expect((seen != nil) == headers.contains("authorization: basic ytpi"))
            return seen == nil
        }
    }

    @Test func errorOverride() async throws {
        try await checkInheritance(inheritance("SwiftGIErrorOverride", "On", "Off")) { server, host, path in
            try server.get("\(path)/status?code=404&body=own", host: host).text != "own"
        }
    }

    @Test func errorOverrideList() async throws {
        // "On" alone must not take over a list, nor the other way round.
        try await checkInheritance(inheritance("SwiftGIErrorOverride", "On 404", "On")) { server, host, path in
            #expect(try server.get("\(path)/status?code=404&body=own", host: host).text != "own")
            return try server.get("\(path)/status?code=503&body=own", host: host).text == "own"
        }
    }

    @Test func mapHEADToGET() async throws {
        try await checkInheritance(inheritance("SwiftGIMapHEADToGET", "On", "Off")) { server, host, path in
            let response = try server.request("HEAD", "\(path)/method", host: host)
            return response["X-Method"] == "GET"
        }
    }
}
