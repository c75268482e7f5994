import Foundation
import Testing

/// What an application is told of a request, and what the server's configuration changes of it.
@Suite struct EnvironTests {
    @Test func variablesOfARequest() async throws {
        try await withServer(.behaviour()) { server in
            let fields = [
                "X-One: a", "x-one: b", "X-Empty:", "Content-Type: text/x-test", "Proxy: evil", "X_Under: no",
                "X.Dot: no",
                "X-B\u{FC}: no", "User-Agent: test", "Cookie: a=1", "Cookie: b=2",
            ].filter { $0.utf8.allSatisfy { $0 < 128 } }
            let response = try server.request(
                "POST", "/app/variables?q=%41&&", fields, body: Array("body".utf8), host: "localhost:\(server.port)")
            let variables = response.variables
            for (name, value) in [
                "REQUEST_METHOD": "POST", "SCRIPT_NAME": "/app", "PATH_INFO": "/variables", "QUERY_STRING": "q=%41&&",
                "REQUEST_URI": "/app/variables?q=%41&&", "CONTENT_TYPE": "text/x-test", "CONTENT_LENGTH": "4",
                "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "localhost", "SERVER_PORT": "\(server.port)",
                "SERVER_ADDR": "127.0.0.1", "REMOTE_ADDR": "127.0.0.1", "GATEWAY_INTERFACE": "CGI/1.1",
                "REQUEST_SCHEME": "http", "HTTP_HOST": "localhost:\(server.port)", "HTTP_X_ONE": "a, b",
                "HTTP_X_EMPTY": "",
                "HTTP_USER_AGENT": "test", "DOCUMENT_ROOT": "\(server.root)/htdocs",
                "SCRIPT_FILENAME": Applications.path("Behaviour"),
                "swiftgi.url_scheme": "http", "swiftgi.server": Configuration.Execution.standard.rawValue,
                "swiftgi.version": "1.0",
                "swiftgi.run_once": "false", "swiftgi.multithread": "true",
            ] {
                #expect(variables[name] == value, "\(name)")
            }
            #expect(
                variables["HTTP_COOKIE"]?.contains("a=1") == true && variables["HTTP_COOKIE"]?.contains("b=2") == true)
            for name in [
                "HTTP_PROXY", "HTTP_X_UNDER", "HTTP_X.DOT", "HTTP_X_DOT", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH",
                "REMOTE_USER",
                "AUTH_TYPE", "HTTPS", "PATH", "HTTP_AUTHORIZATION",
            ] {
                #expect(variables[name] == nil, "\(name)")
            }
            #expect(Int(variables["REMOTE_PORT"] ?? "").map { $0 > 0 } == true)
            #expect(variables["swiftgi.request_id"]?.isEmpty == false)
            // Each name once.
            let names = response.text.split(separator: "\n").map { $0.prefix { $0 != "=" } }
            #expect(Set(names).count == names.count)
        }
    }

    @Test func lookUpsAgreeWithTheList() async throws {
        try await withServer(.behaviour("SetEnv SET yes", modules: ["env"])) { server in
            let fields = ["X-One: a", "X-Two_Three: b"]
            let variables = try server.get("/app/variables", fields).variables
            for (name, value) in variables
            where !["REMOTE_PORT", "REQUEST_URI", "QUERY_STRING", "PATH_INFO", "swiftgi.request_id"].contains(name) {
                if name.hasPrefix("swiftgi.") { continue }
                let response = try server.get("/app/variable?\(name)", fields)
                #expect(response.text == value, "\(name)")
            }
            for name in ["NO_SUCH", "http_host", "HTTP_x_one", "HTTP_X-One", "HTTP_", "HTTP_X_TWO_THREE", "SET%00"] {
                #expect(try server.get("/app/variable?\(name)", fields).status == 404, "\(name)")
            }
        }
    }

    @Test func absentWhatWasNotSent() async throws {
        try await withServer(.behaviour()) { server in
            let variables = try server.get("/app/variables").variables
            for name in ["CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_USER_AGENT", "HTTP_ACCEPT"] {
                #expect(variables[name] == nil, "\(name)")
            }
            #expect(variables["QUERY_STRING"] == "")
        }
    }

    @Test func rawBytes() async throws {
        try await withServer(.behaviour()) { server in
            let client = try server.connect()
            try client.send(
                Array("GET /app/variable?HTTP_X_BYTES HTTP/1.1\r\nHost: localhost\r\nX-Bytes: a".utf8) + [0xFC, 0xFF]
                    + Array("\r\n\r\n".utf8))
            #expect(try client.response().body == [0x61, 0xFC, 0xFF])
            try client.send(Array("GET /app/variable?PATH_INFO HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8))
            #expect(try client.response().text == "/variable")
        }
    }

    @Test func headerFields() async throws {
        try await withServer(.behaviour()) { server in
            let text = try server.get("/app/headers", ["X-One: a", "X-Two: b", "x-one: c"]).text
            // httpd has joined what was repeated.
            #expect(text.contains("X-One: a, c\n"))
            #expect(text.contains("X-Two: b\n"))
            #expect(text.contains("Host: localhost\n"))
        }
    }

    /// Those that the client repeats httpd joins; those that it adds itself it does not.
    @Test(.embedded("Fields travel as variables, joined.")) func fieldsThatTheServerRepeats() async throws {
        let lines = """
            RequestHeader add X-One b
            RequestHeader add x-one c
            RequestHeader add X-Two d
            """
        try await withServer(.behaviour(lines, modules: ["headers"])) { server in
            let fields = ["X-One: a", "X-Three: e"]
            let response = try server.get("/app/variables", fields)
            let names = response.text.split(separator: "\n").map { $0.prefix { $0 != "=" } }
            #expect(Set(names).count == names.count)
            for (name, value) in ["HTTP_X_ONE": "a, b, c", "HTTP_X_TWO": "d", "HTTP_X_THREE": "e"] {
                #expect(response.variables[name] == value)
                #expect(try server.get("/app/variable?\(name)", fields).text == value)
            }
            let headers = try server.get("/app/headers", fields).text
            #expect(headers.contains("X-One: a\n") && headers.contains("X-One: b\nx-one: c\n"))
        }
    }

    @Test func eightKilobyteField() async throws {
        try await withServer(.behaviour("LimitRequestFieldSize 16384")) { server in
            let value = String(repeating: "v", count: 8192)
            #expect(try server.get("/app/variable?HTTP_X_BIG", ["X-Big: \(value)"]).text == value)
            let back = try server.get("/app/field?name=X-Big&value=w&repeat=8192")
            #expect(back["X-Big"] == String(repeating: "w", count: 8192))
            let many = (0..<90).map { "X-Many-\($0): \($0)" }
            #expect(try server.get("/app/variables", many).variables["HTTP_X_MANY_89"] == "89")
        }
    }

    @Test func setEnv() async throws {
        let lines = """
            SetEnv PLAIN value
            SetEnv EMPTY
            SetEnv REQUEST_METHOD FORGED
            SetEnvIf X-Flag "^(.+)$" FLAG=$1 !PLAIN
            SetEnvIf Request_URI variables SEEN
            <Location /app>
            SetEnv LOCATED yes
            </Location>
            """
        try await withServer(.behaviour(lines, modules: ["env", "setenvif"])) { server in
            let variables = try server.get("/app/variables", ["X-Flag: up"]).variables
            #expect(variables["PLAIN"] == "value")
            #expect(variables["EMPTY"] == "")
            #expect(variables["FLAG"] == "up")
            #expect(variables["SEEN"] == "1")
            #expect(variables["LOCATED"] == "yes")
            #expect(variables["REQUEST_METHOD"] == "GET")
            #expect(try server.get("/app/variables").variables["FLAG"] == nil)
        }
    }

    @Test func authorization() async throws {
        let lines = """
            SwiftGIScriptAlias /locked ${apps}/libBehaviour.so
            SwiftGIScriptAlias /passed ${apps}/libBehaviour.so
            SwiftGIScriptAlias /cgi ${apps}/libBehaviour.so
            SwiftGIScriptAlias /off ${apps}/libBehaviour.so
            <LocationMatch ^/(locked|passed|cgi)>
            AuthType Basic
            AuthName locked
            AuthUserFile ${root}/users
            Require valid-user
            </LocationMatch>
            <Location /passed>
            SwiftGIPassAuthorization On
            </Location>
            <Location /cgi>
            CGIPassAuth On
            </Location>
            <Location /off>
            SwiftGIPassAuthorization Off
            </Location>
            """
        let configuration = Configuration.behaviour(
            lines, modules: ["auth_basic", "authn_core", "authn_file", "authz_user"]
        )
        .preparing { try writeFile("\($0)/users", "ann:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n") }
        try await withServer(configuration, expecting: ["AH01617"]) { server in
            let ann = ["Authorization: Basic YW5uOnRlc3Q=", "Proxy-Authorization: Basic eDp5"]
            let open = try server.get("/app/variables", ann).variables
            #expect(open["HTTP_AUTHORIZATION"] == "Basic YW5uOnRlc3Q=")
            #expect(open["REMOTE_USER"] == nil)

            let locked = try server.get("/locked/variables", ann)
            #expect(locked.status == 200)
            #expect(locked.variables["REMOTE_USER"] == "ann")
            #expect(locked.variables["AUTH_TYPE"] == "Basic")
            #expect(locked.variables["HTTP_AUTHORIZATION"] == nil)
            #expect(locked.variables["HTTP_PROXY_AUTHORIZATION"] == nil)
            #expect(try server.get("/locked/variable?HTTP_AUTHORIZATION", ann).status == 404)
            #expect(try !server.get("/locked/headers", ann).text.contains("Authorization"))
            #expect(try server.get("/locked/variables").status == 401)
            #expect(try server.get("/locked/variables", ["Authorization: Basic YW5uOm5v"]).status == 401)

            #expect(try server.get("/passed/variables", ann).variables["HTTP_AUTHORIZATION"] == "Basic YW5uOnRlc3Q=")
            #expect(try server.get("/cgi/variables", ann).variables["HTTP_AUTHORIZATION"] == "Basic YW5uOnRlc3Q=")
            #expect(try server.get("/off/variables", ann).variables["HTTP_AUTHORIZATION"] == nil)

            let own = try server.get("/app/unauthorized")
            #expect(own.status == 401)
            #expect(own["WWW-Authenticate"] == "Basic realm=\"behaviour\"")
            #expect(own.text == "who are you?\n")
        }
    }

    @Test func remoteIP() async throws {
        let lines = "RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1"
        try await withServer(.behaviour(lines, modules: ["remoteip"])) { server in
            let variables = try server.get("/app/variables", ["X-Forwarded-For: 192.0.2.7"]).variables
            #expect(variables["REMOTE_ADDR"] == "192.0.2.7")
            #expect(try server.get("/app/variables").variables["REMOTE_ADDR"] == "127.0.0.1")
        }
    }

    @Test func serverName() async throws {
        try await withServer(.behaviour("UseCanonicalName Off")) { server in
            let variables = try server.get("/app/variables", host: "example.org:81").variables
            #expect(variables["SERVER_NAME"] == "example.org")
            #expect(variables["HTTP_HOST"] == "example.org:81")
        }
        try await withServer(.behaviour("UseCanonicalName On\nServerName canonical:8088")) { server in
            let variables = try server.get("/app/variables", host: "example.org:81").variables
            #expect(variables["SERVER_NAME"] == "canonical")
            #expect(variables["SERVER_PORT"] == "8088")
        }
    }

    @Test func methods() async throws {
        try await withServer(.behaviour()) { server in
            for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "BREW"] {
                #expect(try server.request(method, "/app/variables").variables["REQUEST_METHOD"] == method)
            }
            // TRACE is httpd's own.
            let trace = try server.request("TRACE", "/app/variables")
            #expect(trace["Content-Type"] == "message/http")
        }
    }

    @Test func headIsMappedForFiltersOnly() async throws {
        let lines = """
            SwiftGIScriptAlias /filtered ${apps}/libBehaviour.so
            <Location /filtered>
            SetOutputFilter DEFLATE
            </Location>
            """
        try await withServer(.behaviour(lines, modules: ["deflate", "filter"])) { server in
            let plain = try server.request("HEAD", "/app/method")
            #expect(plain["X-Method"] == "HEAD")
            #expect(plain["Content-Length"] == "7")
            #expect(plain.body.isEmpty)
            #expect(try server.request("HEAD", "/filtered/method", ["Accept-Encoding: gzip"])["X-Method"] == "GET")
        }
    }
}
