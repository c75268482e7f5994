import Foundation
import Testing

/// Which application a path leads to, and how it splits into SCRIPT_NAME and PATH_INFO.
@Suite struct AliasTests {
    /// A request target, and what the application sees; `nil`: the request is not the application's.
    private func check(
        _ server: Server, _ target: String, _ script: String?, _ path: String = "", on index: Int = 0,
        host: String = "localhost", sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let response = try server.get(target, on: index, host: host)
        let variables = response.status == 200 ? response.variables : [:]
        #expect(
            variables["SCRIPT_NAME"] == script, "SCRIPT_NAME of \(target): \(response.status)",
            sourceLocation: sourceLocation)
        #expect(
            variables["PATH_INFO"] == script.map { _ in path }, "PATH_INFO of \(target)", sourceLocation: sourceLocation
        )
    }

    /// An application that answers every path with its variables.
    private static let variables = "${apps}/libMirror.so"

    @Test func longestMatchWins() async throws {
        for lines in [
            ["/a", "/a/b", "/a/b/c"], ["/a/b/c", "/a/b", "/a"], ["/a/b", "/a/b/c", "/a"],
        ] {
            let aliases = lines.map { "SwiftGIScriptAlias \($0) \(Self.variables)" }.joined(separator: "\n")
            try await withServer(Configuration(aliases)) { server in
                try check(server, "/a", "/a")
                try check(server, "/a/", "/a", "/")
                try check(server, "/a/x", "/a", "/x")
                try check(server, "/a/b", "/a/b")
                try check(server, "/a/bc", "/a", "/bc")
                try check(server, "/a/b/x/y", "/a/b", "/x/y")
                try check(server, "/a/b/c/d", "/a/b/c", "/d")
                try check(server, "/ab", nil)
                try check(server, "/A/b", nil)
            }
        }
    }

    @Test func root() async throws {
        try await withServer(
            Configuration("SwiftGIScriptAlias / \(Self.variables)\nSwiftGIScriptAlias /sub \(Self.variables)")
        ) { server in
            try check(server, "/", "", "/")
            try check(server, "/x", "", "/x")
            try check(server, "/index.html", "", "/index.html")
            try check(server, "/sub", "/sub")
            try check(server, "/sub/x", "/sub", "/x")
            try check(server, "/subway", "", "/subway")
        }
    }

    @Test func slashes() async throws {
        try await withServer(Configuration("SwiftGIScriptAlias /app/ \(Self.variables)")) { server in
            // The alias's own trailing slash counts for nothing.
            try check(server, "/app", "/app")
            try check(server, "/app/", "/app", "/")
            try check(server, "/application", nil)
            // MergeSlashes is on.
            try check(server, "//app", "/app")
            try check(server, "/app//x///y", "/app", "/x/y")
            try check(server, "/app//", "/app", "/")
        }
        try await withServer(Configuration("MergeSlashes Off\nSwiftGIScriptAlias /app \(Self.variables)")) { server in
            try check(server, "/app//x", "/app", "//x")
            // Those at the beginning httpd merges in any case.
            try check(server, "//app/x", "/app", "/x")
        }
    }

    @Test func encodedPaths() async throws {
        let lines =
            "SwiftGIScriptAlias /app \(Self.variables)\nSwiftGIScriptAlias /gr%C3%BC%C3%9Fe \(Self.variables)\nSwiftGIScriptAlias /größe \(Self.variables)"
        try await withServer(Configuration(lines), expecting: ["AH10244"]) { server in
            try check(server, "/app/%41%20b", "/app", "/A b")
            try check(server, "/%61pp/x", "/app", "/x")
            try check(server, "/app/%C3%BC/%E2%82%AC", "/app", "/ü/€")
            try check(server, "/gr%C3%B6%C3%9Fe/x", "/größe", "/x")
            // What is not UTF-8 is repaired.
            try check(server, "/app/%FF", "/app", "/\u{FFFD}")
            // Once only.
            try check(server, "/app/%2541", "/app", "/%41")
            // The target stays as it came.
            let response = try server.get("/app/%41?a=%42+c%2Fd")
            #expect(response.variables["REQUEST_URI"] == "/app/%41?a=%42+c%2Fd")
            #expect(response.variables["QUERY_STRING"] == "a=%42+c%2Fd")
            #expect(try server.get("/app/%zz").status == 400)
            #expect(try server.get("/app/%00").status >= 400)
        }
    }

    @Test func encodedSlashes() async throws {
        for (setting, status, path) in [("Off", 404, nil), ("On", 200, "/a/b"), ("NoDecode", 200, "/a%2fb")]
            as [(String, Int, String?)]
        {
            try await withServer(
                Configuration("AllowEncodedSlashes \(setting)\nSwiftGIScriptAlias /app \(Self.variables)")
            ) { server in
                let response = try server.get("/app/a%2fb")
                #expect(response.status == status, "AllowEncodedSlashes \(setting)")
                #expect(response.variables["PATH_INFO"] == path, "AllowEncodedSlashes \(setting)")
            }
        }
    }

    @Test func dots() async throws {
        try await withServer(
            Configuration("SwiftGIScriptAlias /app \(Self.variables)\nSwiftGIScriptAlias /other ${apps}/libHello.so"),
            expecting: ["AH10244"]
        ) { server in
            try check(server, "/app/./x", "/app", "/x")
            try check(server, "/app/a/../b", "/app", "/b")
            try check(server, "/x/../app/b", "/app", "/b")
            try check(server, "/app/..", nil)
            try check(server, "/app/%2e%2e/index.html", nil)
            #expect(try server.get("/app/../other").text == "Hello, world!\n")
            #expect(try server.get("/app/../../etc/passwd").status == 400)
            try check(server, "/app/...", "/app", "/...")
        }
    }

    @Test func oddTargets() async throws {
        try await withServer(Configuration("SwiftGIScriptAlias /app \(Self.variables)")) { server in
            let query = try server.get("/app?x=1?y=2")
            #expect(query.variables["QUERY_STRING"] == "x=1?y=2")
            #expect(query.variables["PATH_INFO"] == "")
            #expect(try server.get("/app/x?").variables["QUERY_STRING"] == "")
            // Semicolons are the application's business.
            try check(server, "/app;v=1", nil)
            try check(server, "/app/x;v=1", "/app", "/x;v=1")
            // The absolute form.
            let absolute = try server.get("http://localhost:\(server.port)/app/x?y")
            #expect(absolute.variables["PATH_INFO"] == "/x")
            #expect(absolute.variables["REQUEST_URI"] == "/app/x?y")
        }
    }

    @Test(.embedded("The libraries of a group do not depend on the request.")) func patterns() async throws {
        let lines = """
            SwiftGIScriptAliasMatch ^/m/([a-z]+)/v[0-9] ${apps}/lib$1.so
            SwiftGIScriptAliasMatch ^/rest/(.*) \(Self.variables)/$1
            SwiftGIScriptAliasMatch ^/slash/ \(Self.variables)
            SwiftGIScriptAliasMatch \\.app$ \(Self.variables)
            SwiftGIScriptAliasMatch ^/ap \(Self.variables)
            SwiftGIScriptAlias /m/mirror/v1/longer \(Self.variables)
            SwiftGIScriptAlias /m/tie \(Self.variables)
            SwiftGIScriptAliasMatch ^/m/tie ${apps}/libHello.so
            """
        var configuration = Configuration(lines)
        configuration.prepare = { _ in
            // The pattern's group names the library.
            try Applications.copy("Mirror", as: "mirror")
        }
        try await withServer(configuration, expecting: ["SGI0031"]) { server in
            try check(server, "/m/mirror/v1", "/m/mirror/v1")
            try check(server, "/m/mirror/v1/x", "/m/mirror/v1", "/x")
            try check(server, "/m/mirror/v1/longer/x", "/m/mirror/v1/longer", "/x")
            try check(server, "/rest/x/y", "/rest", "/x/y")
            try check(server, "/slash/x", "/slash", "/x")
            try check(server, "/x/y.app", "/x/y.app")
            try check(server, "/m/tie", "/m/tie")
            // A path that goes on in the middle of a segment has no PATH_INFO.
            try check(server, "/ap", "/ap")
            try check(server, "/ap/x", "/ap", "/x")
            try check(server, "/apple", nil)
            try check(server, "/apple/x", nil)
            #expect(try server.get("/m/absent/v1").status == 404)
            try check(server, "/m/mirror", nil)
        }
    }

    @Test func virtualHosts() async throws {
        let lines = """
            SwiftGIScriptAlias /app ${apps}/libHello.so
            SwiftGIScriptAlias /app/deep ${apps}/libHello.so
            SwiftGIScriptAlias /everywhere \(Self.variables)
            <VirtualHost *:${port}>
            ServerName one
            SwiftGIScriptAlias /app \(Self.variables)
            SwiftGIScriptAlias /one \(Self.variables)
            </VirtualHost>
            <VirtualHost *:${port}>
            ServerName two
            </VirtualHost>
            """
        try await withServer(Configuration(lines)) { server in
            try check(server, "/everywhere/x", "/everywhere", "/x", host: "one")
            try check(server, "/everywhere/x", "/everywhere", "/x", host: "two")
            try check(server, "/app/x", "/app", "/x", host: "one")
            try check(server, "/one", "/one", host: "one")
            try check(server, "/one", nil, host: "two")
            #expect(try server.get("/app/x", host: "two").text == "Hello, world!\n")
            // Length comes before place.
            #expect(try server.get("/app/deep", host: "one").text == "Hello, world!\n")
        }
    }

    /// mod_alias and files keep what is theirs, an alias of ours hides files.
    @Test func besideOthers() async throws {
        let lines = """
            Alias /static ${root}/htdocs
            SwiftGIScriptAlias /app \(Self.variables)
            RedirectMatch ^/old/(.*) /app/$1
            """
        try await withServer(Configuration(lines, modules: ["alias", "dir"])) { server in
            #expect(try server.get("/static/index.html").text == "static\n")
            #expect(try server.get("/index.html").text == "static\n")
            #expect(try server.get("/").text == "static\n")
            try check(server, "/app/index.html", "/app", "/index.html")
            #expect(try server.get("/old/x")["Location"]?.hasSuffix("/app/x") == true)
        }
    }
}
