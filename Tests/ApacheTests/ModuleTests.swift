import Foundation
import Testing

/// httpd's other modules do with an application's requests and responses what their users expect.
@Suite struct ModuleTests {
    @Test(.embedded("No alias names one of the files, so that no group runs it.")) func rewrite() async throws {
        let lines = """
            RewriteEngine On
            RewriteRule ^/old/(.*)$ /app/$1 [PT,QSA]
            RewriteRule ^/query/(.*)$ /app/variables?from=$1 [PT,QSA]
            RewriteRule ^/env /app/variables [PT,E=FROM_RULE:yes]
            RewriteRule ^/gone - [G]
            RewriteRule ^/file$ ${root}/htdocs/index.html [L]
            <Directory ${root}/htdocs/front>
            RewriteEngine On
            RewriteCond %{REQUEST_FILENAME} !-f
            RewriteRule ^(.*)$ /app/variables/$1 [L,QSA]
            </Directory>
            <Directory ${root}/htdocs/handled>
            Options +ExecCGI
            RewriteEngine On
            RewriteRule \\.so - [H=swiftgi-script]
            </Directory>
            SwiftGIScriptAlias /all ${apps}/libMirror.so
            """
        let configuration = Configuration.behaviour(lines, modules: ["rewrite"]).preparing { root in
            try makeDirectory("\(root)/htdocs/front")
            try writeFile("\(root)/htdocs/front/there.txt", "there\n")
            try makeDirectory("\(root)/htdocs/handled")
            try Applications.copy("Mirror", to: "\(root)/htdocs/handled/app.so")
        }
        try await withServer(configuration) { server in
            let passed = try server.get("/old/variables?a=b").variables
            #expect(passed["SCRIPT_NAME"] == "/app")
            #expect(passed["PATH_INFO"] == "/variables")
            #expect(passed["QUERY_STRING"] == "a=b")
            #expect(passed["REQUEST_URI"] == "/old/variables?a=b")
            #expect(try server.get("/query/x?y=z").variables["QUERY_STRING"] == "from=x&y=z")
            #expect(try server.get("/env").variables["FROM_RULE"] == "yes")
            #expect(try server.get("/gone").status == 410)
            #expect(try server.get("/file").text == "static\n")
            #expect(try server.get("/front/there.txt").text == "there\n")
            #expect(try server.get("/handled/app.so/x").variables["PATH_INFO"] == "/x")
            // A front controller in a directory.
            let front = try server.get("/front/a/b?c")
            #expect(front.status == 404)
        }
    }

    @Test func frontControllerInDirectory() async throws {
        let lines = """
            SwiftGIScriptAlias /all ${apps}/libMirror.so
            <Directory ${root}/htdocs>
            RewriteEngine On
            RewriteCond %{REQUEST_FILENAME} !-f
            RewriteRule ^(.*)$ /all/$1 [L,QSA]
            </Directory>
            """
        try await withServer(Configuration(lines, modules: ["rewrite"])) { server in
            #expect(try server.get("/index.html").text == "static\n")
            let variables = try server.get("/a/b?c=d").variables
            #expect(variables["SCRIPT_NAME"] == "/all")
            #expect(variables["PATH_INFO"] == "/a/b")
            #expect(variables["QUERY_STRING"] == "c=d")
            #expect(variables["REQUEST_URI"] == "/a/b?c=d")
            #expect(variables["REDIRECT_URL"] == "/a/b")
        }
    }

    /// mod_dir makes another request of what a look-up found.
    @Test func directoryIndexAndFallback() async throws {
        let lines = """
            SwiftGIScriptAlias /all ${apps}/libMirror.so
            SwiftGIScriptAliasMatch ^/pattern/ ${apps}/libMirror.so
            DirectoryIndex index.html
            <Directory ${root}/htdocs>
            FallbackResource /all/fallback
            </Directory>
            <Directory ${root}/htdocs/index>
            DirectoryIndex /all/index
            </Directory>
            <Directory ${root}/htdocs/pattern-index>
            DirectoryIndex /pattern/index
            </Directory>
            """
        let configuration = Configuration(lines, modules: ["dir"]).preparing { root in
            try makeDirectory("\(root)/htdocs/index")
            try makeDirectory("\(root)/htdocs/pattern-index")
        }
        try await withServer(configuration) { server in
            for (target, script, path) in [
                ("/absent?a=b", "/all", "/fallback"), ("/index/?a=b", "/all", "/index"),
                ("/pattern-index/?a=b", "/pattern", "/index"),
            ] {
                let response = try server.get(target)
                #expect(response.status == 200, "\(target)")
                #expect(response.variables["SCRIPT_NAME"] == script, "\(target)")
                #expect(response.variables["PATH_INFO"] == path, "\(target)")
                #expect(response.variables["QUERY_STRING"] == "a=b", "\(target)")
                #expect(response.variables["REQUEST_URI"] == target)
            }
            // What is there, is not the application's.
            #expect(try server.get("/index.html").text == "static\n")
            #expect(try server.get("/").text == "static\n")
        }
    }

    /// A response that was cut short must not be served again as a complete one.
    @Test func cache() async throws {
        let lines = """
            CacheRoot ${root}/scratch
            CacheEnable disk /
            CacheQuickHandler Off
            """
        let configuration = Configuration.compiled("response.c", lines, modules: ["cache", "cache_disk"])
        try await withServer(configuration) { server in
            #expect(try server.get("/c/cacheable").text == "response 1\n")
            let cached = try server.get("/c/cacheable")
            #expect(cached.text == "response 1\n")
            #expect(cached["Age"] != nil)
            for number in 2...3 {
                let client = try server.connect()
                try client.request("GET /c/cacheable/cut HTTP/1.1")
                let head = try client.head()
                #expect(head["Age"] == nil)
                let part = "response \(number)\n"
                #expect(throws: WireError.noLastChunk(received: part.utf8.count)) { try client.body(of: head) }
            }
            #expect(server.errorLog.lines(with: "response ran").count == 3)
        }
    }

    @Test func deflate() async throws {
        let lines = "AddOutputFilterByType DEFLATE text/plain application/octet-stream"
        try await withServer(.behaviour(lines, modules: ["deflate", "filter"])) { server in
            let plain = try server.get("/app/push?pieces=500")
            let compressed = try server.get("/app/push?pieces=500", ["Accept-Encoding: gzip"])
            #expect(compressed["Content-Encoding"] == "gzip")
            #expect(compressed["Vary"] == "Accept-Encoding")
            #expect(compressed.body.count > 0)
            #expect(try server.get("/app/big?bytes=1000000", ["Accept-Encoding: gzip"]).body.count < 100_000)
            let curl = try Curl.run(server.url("/app/push?pieces=500"), ["--compressed"])
            #expect(curl.body == plain.text)
            // With a length that was known.
            #expect(try Curl.run(server.url("/app/hello"), ["--compressed"]).body == "Hello, world!\n")
            // HEAD says what GET would have.
            let head = try server.request("HEAD", "/app/push?pieces=500", ["Accept-Encoding: gzip"])
            #expect(head["Content-Encoding"] == "gzip")
            #expect(head.body.isEmpty)
        }
    }

    /// While mod_deflate keeps a piece back the client has not seen the head: it gets the error.
    @Test func failureBehindDeflate() async throws {
        let configuration = Configuration.compiled(
            "response.c", "AddOutputFilterByType DEFLATE text/plain", modules: ["deflate", "filter"])
        try await withServer(configuration) { server in
            for method in ["GET", "HEAD"] {
                let response = try server.request(method, "/c/cut/unflushed", ["Accept-Encoding: gzip"])
                #expect(response.status == 500, "\(method)")
                #expect(response["Content-Encoding"] == nil, "\(method)")
                #expect(response.text.contains("Internal Server Error") == (method == "GET"))
            }
        }
    }

    /// An application that streams without an end, and nobody who wants it: the client has its head, or
    /// gets another answer. It is told, and the connection goes on.
    @Test(arguments: [
        ("HEAD", "", []), ("HEAD", "", ["Accept-Encoding: gzip"]), ("GET", "?etag=a", ["If-None-Match: \"a\""]),
        ("GET", "?code=404", []),
    ])
    func endlessBodyThatNobodyWants(_ method: String, _ query: String, _ fields: [String]) async throws {
        let lines = """
            SwiftGIMapHEADToGET On
            AddOutputFilterByType DEFLATE text/plain
            SwiftGIErrorOverride On
            """
        try await withServer(
            .behaviour(lines, modules: ["deflate", "filter"]),
            expecting: ["writing failed: clientGone", "closed", "finished"]
        ) { server in
            let client = try server.connect()
            try client.request("\(method) /app/client-gone\(query) HTTP/1.1", ["Host: localhost"] + fields)
            let response = try client.response(to: method)
            #expect(response.status == (query.isEmpty ? 200 : fields.isEmpty ? 404 : 304))
            #expect((response["Content-Encoding"] == "gzip") == fields.contains("Accept-Encoding: gzip"))
            try server.errorLog.wait(for: "finished")
            try client.request("GET /app/hello HTTP/1.1")
            #expect(try client.response().text == "Hello, world!\n")
        }
    }

    @Test func inflatedRequest() async throws {
        let lines = "<Location /app>\nSetInputFilter DEFLATE\n</Location>"
        let configuration = Configuration.behaviour(lines, modules: ["deflate", "filter"]).preparing { root in
            try writeFile("\(root)/body", String(repeating: "line\n", count: 1000))
            try Command.run("gzip", ["\(root)/body"])
        }
        try await withServer(configuration) { server in
            let result = try Curl.run(
                server.url("/app/collect"),
                ["--data-binary", "@\(server.root)/body.gz", "-H", "Content-Encoding: gzip"])
            #expect(result.body == String(repeating: "line\n", count: 1000))
        }
    }

    @Test func headers() async throws {
        let lines = """
            Header set X-Added yes
            Header always set X-Always yes
            Header unset X-Field
            Header edit Set-Cookie ^(.*)$ "$1; Secure"
            RequestHeader set X-Injected in
            """
        try await withServer(.behaviour(lines, modules: ["headers"]), expecting: ["SGI0201"]) { server in
            let response = try server.get("/app/field?name=X-Field&value=v")
            #expect(response["X-Added"] == "yes")
            #expect(response["X-Field"] == nil)
            #expect(try server.get("/app/set-cookie").all("Set-Cookie") == ["a=1; Secure", "b=2; Secure"])
            #expect(try server.get("/app/variables").variables["HTTP_X_INJECTED"] == "in")
            #expect(try server.get("/app/throw-early")["X-Always"] == "yes")
        }
    }

    @Test func rateLimit() async throws {
        let lines =
            "<Location /app>\nSetOutputFilter RATE_LIMIT\nSetEnv rate-limit 4000\nSetEnv rate-initial-burst 4000\n</Location>"
        try await withServer(.behaviour(lines, modules: ["ratelimit", "env"])) { server in
            // What comes is complete and unchanged; how fast, is the filter's business.
            let client = try server.connect()
            try client.request("GET /app/big?bytes=200000&length=yes HTTP/1.1")
            let head = try client.head()
            #expect(head["Content-Length"] == "200000")
            #expect(try client.drain(200_000, matching: bytePattern))
            #expect(try server.get("/app/push").text == "piece 0\npiece 1\npiece 2\n")
        }
    }

    @Test func limitRequestBody() async throws {
        let lines =
            "<Location /app>\nLimitRequestBody 100\n</Location>\n<Location /app/unread>\nLimitRequestBody 50\n</Location>"
        try await withServer(.behaviour(lines), expecting: ["SGI0033", "SGI0205"]) { server in
            let body = [UInt8](repeating: 0x61, count: 101)
            #expect(try server.request("POST", "/app/collect", body: Array(body.dropLast())).body.count == 100)
            #expect(try server.request("POST", "/app/collect", body: body).status == 413)
            let client = try server.connect()
            try client.request("POST /app/collect HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
            for _ in 0..<3 { try client.send("32\r\n" + String(repeating: "b", count: 50) + "\r\n") }
            try client.send("0\r\n\r\n")
            #expect(try client.response().status == 413)
            // Within the limit.
            let chunked = try server.connect()
            try chunked.request("POST /app/collect HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
            try chunked.send("32\r\n" + String(repeating: "b", count: 50) + "\r\n0\r\n\r\n")
            #expect(try chunked.response().body.count == 50)
        }
    }

    /// Too large, found out after the response has begun: it can only be aborted.
    @Test func limitRequestBodyAfterTheHead() async throws {
        try await withServer(.behaviour("LimitRequestBody 100"), expecting: ["SGI0205"]) { server in
            let client = try server.connect()
            try client.request("POST /app/read-after HTTP/1.1", ["Host: localhost", "Transfer-Encoding: chunked"])
            for _ in 0..<3 { try client.send("32\r\n" + String(repeating: "b", count: 50) + "\r\n") }
            let head = try client.head()
            #expect(head.status == 200)
            #expect(throws: WireError.self) { try client.body(of: head) }
        }
    }

    @Test func errorDocument() async throws {
        let lines = """
            ErrorDocument 500 "our apologies"
            ErrorDocument 404 /app/hello
            ErrorDocument 503 /app/variables
            SwiftGIScriptAlias /override ${apps}/libBehaviour.so
            <Location /override>
            SwiftGIErrorOverride On
            </Location>
            """
        try await withServer(.behaviour(lines), expecting: ["SGI0201"]) { server in
            let thrown = try server.get("/app/throw-early")
            #expect(thrown.status == 500)
            #expect(thrown.text == "our apologies")
            #expect(try server.get("/app/throw-started").text == "our apologies")
            #expect(try server.get("/app/throw-body").text == "our apologies")
            // The application's own errors are its own.
            #expect(try server.get("/app/status?code=404&body=own").text == "own")
            // An application as the error document: 200 keeps the error's status, as it does for a
            // CGI program that names none.
            let absent = try server.get("/absent")
            #expect(absent.status == 404)
            #expect(absent.text == "Hello, world!\n")
            let overridden = try server.get("/override/status?code=503&body=own")
            #expect(overridden.variables["REDIRECT_STATUS"] == "503")
            #expect(overridden.variables["REDIRECT_URL"] == "/override/status")
            #expect(overridden.variables["REQUEST_METHOD"] == "GET")
        }
    }

    @Test func errorOverrideKeepsWhatMatters() async throws {
        let lines = "SwiftGIErrorOverride On 401 500\nErrorDocument 401 \"ours\""
        try await withServer(.behaviour(lines)) { server in
            let response = try server.get("/app/unauthorized")
            #expect(response.status == 401)
            #expect(response["WWW-Authenticate"] == "Basic realm=\"behaviour\"")
            #expect(response.text == "ours")
            #expect(try server.get("/app/status?code=404&body=own").text == "own")
            #expect(try server.get("/app/status?code=500&body=own").text.contains("Internal Server Error"))
            #expect(try server.get("/app/status?code=200&body=own").text == "own")
        }
    }

    /// An application provides the error pages, in a place whose errors are overridden, too.
    @Test func errorOverrideByAnErrorDocument() async throws {
        let lines = "SwiftGIErrorOverride On\nErrorDocument 404 /app/hello\nErrorDocument 410 /app/unread"
        try await withServer(.behaviour(lines)) { server in
            #expect(try server.get("/absent").text == "Hello, world!\n")
            // Whether its body was read or not, a connection stays in step.
            let client = try server.connect()
            for (status, text) in [(404, "Hello, world!\n"), (410, "unread\n")] {
                for field in ["Content-Length: 4", "Transfer-Encoding: chunked"] {
                    try client.request("POST /app/status?code=\(status)&body=own HTTP/1.1", ["Host: localhost", field])
                    try client.send(field.hasSuffix("4") ? "body" : "4\r\nbody\r\n0\r\nX-After: x\r\n\r\n")
                    let response = try client.response()
                    #expect(response.status == status)
                    #expect(response.text == text)
                }
            }
        }
    }

    /// A second head takes back the whole first one.
    @Test func errorOverrideOfASecondHead() async throws {
        try await withServer(.compiled("response.c", "SwiftGIErrorOverride On")) { server in
            for status in [200, 403, 401] {
                let response = try server.get("/c/heads/\(status)")
                #expect(response.status == status)
                #expect((response.text == "second\n") == (status == 200))
                #expect(response["WWW-Authenticate"] == nil, "\(status)")
                #expect(response.all("Set-Cookie") == ["second=2"], "\(status)")
            }
        }
    }

    /// An error document that is in error itself is asked for once.
    @Test func errorDocumentThatFails() async throws {
        let lines = """
            SwiftGIScriptAlias /override ${root}/libC.so
            ErrorDocument 404 /c/fails
            ErrorDocument 410 /c/status/410
            ErrorDocument 500 /c/fails
            ErrorDocument 503 /override/status/503
            <Location /override>
            SwiftGIErrorOverride On
            </Location>
            """
        try await withServer(.compiled("response.c", lines)) { server in
            var count = 0
            func expectRuns(_ runs: Int, _ target: String) {
                let all = server.errorLog.lines(with: "response ran").count
                #expect(all - count == runs, "\(target)")
                count = all
            }
            // The request, status, body and how often the application runs.
            for (target, status, text, runs) in [
                ("/absent", 404, "Additionally", 1),
                ("/c/fails", 500, "Additionally", 2),
                ("/override/fails", 500, "Additionally", 2),
                ("/override/status/404", 404, "Additionally", 2),
                ("/override/status/410", 410, "own", 2),
                ("/override/status/503", 503, "Additionally", 2),
            ] {
                let response = try server.get(target)
                #expect(response.status == status, "\(target)")
                #expect(response.text.contains(text), "\(target): \(response)")
                expectRuns(runs, target)
            }
        }
    }

    @Test func accessLogAndStatus() async throws {
        try await withServer(.behaviour()) { server in
            let response = try server.get("/app/traits")
            let line = try wait("the access log") { server.accessLog.first { $0.contains("/app/traits") } }
            let fields = line.split(separator: "|")
            #expect(fields[1] == "200")
            #expect(fields[2] == "\(response.body.count)")
            #expect(response.variables["request_id"] == String(fields.last ?? ""))
        }
    }

    /// A request inside a request: mod_include asks an application.
    @Test func includedVirtually() async throws {
        let lines = """
            <Directory ${root}/htdocs>
            Options +Includes
            AddOutputFilter INCLUDES .shtml
            </Directory>
            """
        let configuration = Configuration.behaviour(lines, modules: ["mime", "include", "filter"]).preparing {
            try writeFile("\($0)/htdocs/page.shtml", "before <!--#include virtual=\"/app/hello\" --> after\n")
        }
        try await withServer(configuration) { server in
            let response = try server.get("/page.shtml")
            #expect(response.text == "before Hello, world!\n after\n")
        }
    }
}

/// What /big answers and /count expects: byte n is n modulo 251.
let bytePattern = (0..<251).map { UInt8($0) }
