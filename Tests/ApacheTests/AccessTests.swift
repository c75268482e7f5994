import Foundation
import Testing

/// Who may call an application, and how a file becomes one.
@Suite struct AccessTests {
    @Test func deniedWithoutRequire() async throws {
        let lines = """
            SwiftGIScriptAlias /app ${root}/closed/libHello.so
            SwiftGIScriptAliasMatch ^/match ${root}/closed/libHello.so
            SwiftGIScriptAlias /open ${apps}/libHello.so
            """
        let configuration = Configuration(lines).preparing { root in
            try makeDirectory("\(root)/closed")
            try Applications.copy("Hello", to: "\(root)/closed/libHello.so")
        }
        try await withServer(configuration, expecting: ["AH01630"]) { server in
            let denied = try server.get("/app")
            #expect(denied.status == 403)
            #expect(!denied.text.contains("Hello"))
            #expect(try server.get("/app/x/y").status == 403)
            #expect(try server.get("/match").status == 403)
            #expect(try server.get("/open").status == 200)
        }
    }

    @Test func requireApplies() async throws {
        let lines = """
            SwiftGIScriptAlias /app ${apps}/libHello.so
            SwiftGIScriptAlias /file ${apps}/libBehaviour.so
            <Directory ${apps}>
            Require expr %{HTTP:X-Key} == 'open'
            </Directory>
            <Files libBehaviour.so>
            Require all denied
            </Files>
            <Location /app/closed>
            Require all denied
            </Location>
            """
        try await withServer(Configuration(lines), expecting: ["AH01630"]) { server in
            let response = try server.get("/app")
            #expect(response.status == 403)
            #expect(try server.get("/app", ["X-Key: open"]).status == 200)
            #expect(try server.get("/app/closed/x", ["X-Key: open"]).status == 403)
            #expect(try server.get("/file", ["X-Key: open"]).status == 403)
        }
    }

    @Test func limitExcept() async throws {
        let lines = "<Location /app>\n<LimitExcept GET>\nRequire all denied\n</LimitExcept>\n</Location>"
        try await withServer(.behaviour(lines), expecting: ["AH01630"]) { server in
            let response = try server.get("/app/hello")
            #expect(response.status == 200)
            #expect(try server.request("POST", "/app/hello").status == 403)
        }
    }

    /// Libraries below DocumentRoot.
    private func files(_ lines: String, modules: [String] = ["mime"]) -> Configuration {
        Configuration(lines, modules: modules).preparing { root in
            for name in ["variables.so", "plain", "other.so"] {
                try Applications.copy("Mirror", to: "\(root)/htdocs/\(name)")
            }
        }
    }

    @Test(.embedded("No alias names these files, so that no group runs them.")) func handlers() async throws {
        let lines = """
            <Directory ${root}/htdocs>
            Options +ExecCGI
            AddHandler swiftgi-script .so
            </Directory>
            <Location /plain>
            SetHandler swiftgi-script
            </Location>
            <Location /absent>
            SetHandler swiftgi-script
            </Location>
            """
        try await withServer(files(lines), expecting: ["SGI0031"]) { server in
            for (target, script, path) in [
                ("/variables.so", "/variables.so", ""), ("/variables.so/x/y", "/variables.so", "/x/y"),
                ("/plain", "/plain", ""),
                ("/plain/", "/plain", "/"), ("/plain//x", "/plain", "/x"),
            ] {
                let variables = try server.get(target).variables
                #expect(variables["SCRIPT_NAME"] == script, "\(target)")
                #expect(variables["PATH_INFO"] == path, "\(target)")
            }
            #expect(try server.get("/absent").status == 404)
            #expect(try server.get("/absent.so").status == 404)
            // Loaded once.
            #expect(server.errorLog.lines(with: "SGI0021").count == 2)
        }
    }

    @Test func handlerNeedsExecCGI() async throws {
        let lines = "<Directory ${root}/htdocs>\nAddHandler swiftgi-script .so\n</Directory>"
        try await withServer(files(lines), expecting: ["SGI0030"]) { server in
            let response = try server.get("/variables.so")
            #expect(response.status == 403)
        }
    }

    @Test(.embedded("No alias names these files, so that no group runs them.")) func handlerOfDirectoryAndBadLibrary()
        async throws
    {
        let lines = """
            <Directory ${root}/htdocs>
            Options +ExecCGI
            SetHandler swiftgi-script
            </Directory>
            """
        try await withServer(files(lines), expecting: ["SGI0031", "SGI0003"]) { server in
            #expect(try server.get("/").status == 404)
            let text = try server.get("/index.html")
            #expect(text.status == 503)
            #expect(text["Retry-After"] != nil)
            _ = try server.get("/index.html")
            #expect(try server.get("/variables.so").status == 200)
            // Said once.
            #expect(server.errorLog.lines(with: "SGI0003").count == 1)
        }
    }

    @Test func acceptPathInfo() async throws {
        let lines = "<Directory ${apps}>\nAcceptPathInfo Off\n</Directory>"
        try await withServer(.behaviour(lines), expecting: ["SGI0032"]) { server in
            let response = try server.get("/app/x")
            #expect(response.status == 404)
            #expect(try server.get("/app").status == 200)
        }
    }

    @Test func servedAsUser() async throws {
        try await withServer(.behaviour()) { server in
            let response = try server.get("/app/user")
            #expect(response.text == "\(ServedAs.userID) \(ServedAs.userID)\n")
            let maps = readText("/proc/\(server.pid)/maps")
            #expect(!maps.contains("libBehaviour"))
        }
    }
}
