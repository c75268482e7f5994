import HTTPTypes
import SwiftGICore

private func bytes(of name: String, _ environ: borrowing Environ) -> [UInt8] {
    environ.withBytes(name) { bytes in
        guard let bytes else { return [] }
        return [UInt8](copying: bytes)
    }
}

/// What the environ has: W4 to W10 and W43.
let environCases: [ConformanceCase] = [
    ConformanceCase("W4", "REQUEST_METHOD is the request's", at: "method") { environ, startResponse in
        try report(startResponse, ["method": environ["REQUEST_METHOD"], "property": environ.method])
    } check: { session in
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let response = try await session.send(session.request(method))
            try response.requireReport(["method": method, "property": method])
        }
    },

    ConformanceCase("W5", "SERVER_NAME and SERVER_PORT are never empty", at: "server") { environ, startResponse in
        try report(
            startResponse,
            ["name": environ["SERVER_NAME"], "port": environ["SERVER_PORT"], "number": "\(environ.serverPort)"])
    } check: { session in
        let report = try await session.get().report
        try require(report["name"]?.isEmpty == false, "SERVER_NAME is empty")
        let port = report["port"].flatMap { Int($0) } ?? 0
        try require((1...65535).contains(port), "SERVER_PORT is \(report["port"] ?? "absent")")
        try require(report["number"], equals: "\(port)", "serverPort")
    },

    ConformanceCase("W6", "The path is split into SCRIPT_NAME and PATH_INFO", at: "path") { environ, startResponse in
        try report(
            startResponse,
            ["script": environ["SCRIPT_NAME"] ?? "", "path": environ["PATH_INFO"] ?? "", "uri": environ.requestURI])
    } check: { session in
        let mount = session.client.scriptName
        try await session.get("/a%20b/%C3%A9/c;d=e").requireReport([
            "script": mount, "path": "/w6/path/a b/é/c;d=e", "uri": "\(mount)/w6/path/a%20b/%C3%A9/c;d=e",
        ])
        try await session.get("/").requireReport(["script": mount, "path": "/w6/path/"])
        try require(mount != "/" && !mount.hasSuffix("/"), "SCRIPT_NAME ends in a slash: \(mount)")
    },

    ConformanceCase("W6", "QUERY_STRING is what follows the question mark, as it came", at: "query") {
        environ, startResponse in
        try report(startResponse, ["query": environ["QUERY_STRING"] ?? "", "property": environ.queryString])
    } check: { session in
        for query in ["a=1&b=%20%C3%A9&&c", "?", "a=b=c+d", ""] {
            try await session.get("?" + query).requireReport(["query": query, "property": query])
        }
        try await session.get().requireReport(["query": "", "property": ""])
    },

    ConformanceCase("W6", "CONTENT_TYPE and CONTENT_LENGTH describe the body", at: "content") {
        environ, startResponse in
        try report(
            startResponse,
            [
                "type": environ["CONTENT_TYPE"], "length": environ["CONTENT_LENGTH"],
                "number": environ.contentLength.map { "\($0)" }, "doubled": environ["HTTP_CONTENT_TYPE"],
            ])
    } check: { session in
        let response = try await session.post("seven b")
        try response.requireReport(["type": "text/plain", "length": "7", "number": "7"])
        try require(response.report["doubled"], equals: nil, "HTTP_CONTENT_TYPE")
    },

    ConformanceCase("W6", "SERVER_PROTOCOL is there", at: "protocol") { environ, startResponse in
        try report(startResponse, ["protocol": environ["SERVER_PROTOCOL"], "property": environ.serverProtocol])
    } check: { session in
        let report = try await session.get().report
        try require(
            report["protocol"]?.hasPrefix("HTTP/") == true, "SERVER_PROTOCOL is \(report["protocol"] ?? "absent")")
        try require(report["property"], equals: report["protocol"], "serverProtocol")
    },

    ConformanceCase("W7", "Header fields become HTTP_ variables", at: "fields") { environ, startResponse in
        try report(
            startResponse,
            [
                "custom": environ["HTTP_X_CUSTOM"], "empty": environ["HTTP_X_EMPTY"], "twice": environ["HTTP_X_TWICE"],
                "cookie": environ["HTTP_COOKIE"], "authorization": environ["HTTP_AUTHORIZATION"],
            ])
    } check: { session in
        let headers = [
            ("X-Custom", "a value"), ("X-Empty", ""), ("x-twice", "one"), ("X-Twice", "two"), ("Cookie", "a=1; b=2"),
            ("Authorization", "Basic dTpw"),
        ]
        try await session.get(headers: headers).requireReport([
            "custom": "a value", "empty": "", "twice": "one, two", "cookie": "a=1; b=2", "authorization": "Basic dTpw",
        ])
    },

    ConformanceCase("W7", "HTTP_ variables are the client's fields and no others", at: "only") {
        environ, startResponse in
        let names = environ.snapshot().keys.filter { $0.hasPrefix("HTTP_") }
        return try reply(startResponse, names.sorted().joined(separator: "\n"))
    } check: { session in
        let sent = session.client.addedFields + [Journal.field, "X-Custom"]
        let allowed = Set(sent.map { "HTTP_" + $0.uppercased().split(separator: "-").joined(separator: "_") })
        let names = try await session.get(headers: [("X-Custom", "v")]).text.split(separator: "\n").map { String($0) }
        try require(names.contains("HTTP_X_CUSTOM"), "HTTP_X_CUSTOM is missing")
        try require(Set(names).isSubset(of: allowed), "variables that no field of the client's explains: \(names)")
    },

    ConformanceCase("W7", "Names that would pass for others don't become variables", at: "smuggled") {
        environ, startResponse in
        try report(startResponse, ["proxy": environ["HTTP_PROXY"], "foo": environ["HTTP_FOO_BAR"]])
    } check: { session in
        let headers = [("Proxy", "http://evil.example"), ("Foo_Bar", "smuggled"), ("Foo.Bar", "smuggled")]
        let response = try await session.get(headers: headers)
        try response.requireStatus(200)
        try require(response.report, equals: [:], "the variables")
        try await session.get(headers: headers + [("Foo-Bar", "real")]).requireReport(["foo": "real"])
    },

    ConformanceCase("W7", "The fields are there as fields too", at: "headers") { environ, startResponse in
        let headers = environ.headers
        let twice = HTTPField.Name("X-Twice").map { headers[values: $0] } ?? []
        return try report(
            startResponse, ["type": headers[.contentType], "twice": twice.joined(separator: ", ")])
    } check: { session in
        let headers = [("Content-Type", "text/csv"), ("X-Twice", "one"), ("X-Twice", "two")]
        try await session.get(headers: headers).requireReport(["type": "text/csv", "twice": "one, two"])
    },

    ConformanceCase("W8", "What is not known is absent and not empty", at: "absent") { environ, startResponse in
        let names = [
            "REMOTE_USER", "AUTH_TYPE", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_X_NOT_SENT", "NO_SUCH_VARIABLE", "",
        ]
        let present = names.filter { environ[$0] != nil }
        let inSnapshot = environ.snapshot().keys.filter { names.contains($0) }
        return try reply(startResponse, (present + inSnapshot).joined(separator: " "))
    } check: { session in
        try await session.get().requireText("")
    },

    ConformanceCase("W9", "Variables are bytes; as text they are repaired", at: "bytes") { environ, startResponse in
        let bytes = bytes(of: "PATH_INFO", environ)
        let tail = bytes.suffix(3).map { "\($0)" }.joined(separator: " ")
        let absent = environ.withBytes("NO_SUCH_VARIABLE") { $0 == nil }
        return try report(
            startResponse, ["bytes": tail, "text": String(environ.pathInfo.suffix(3)), "absent": "\(absent)"])
    } check: { session in
        try await session.get("/a%E9b").requireReport(["bytes": "97 233 98", "text": "a\u{FFFD}b", "absent": "true"])
    },

    ConformanceCase("W10", "The gateway's entries are there by property, by key and as text", at: "entries") {
        environ, startResponse in
        let snapshot = environ.snapshot()
        return try report(
            startResponse,
            [
                "version": "\(environ.version) \(environ["swiftgi.version"] ?? "")",
                "scheme": "\(environ.urlScheme) \(environ["swiftgi.url_scheme"] ?? "")",
                "multithread": "\(environ.multithread) \(environ["swiftgi.multithread"] ?? "")",
                "multiprocess": "\(environ.multiprocess) \(environ["swiftgi.multiprocess"] ?? "")",
                "run_once": "\(environ.runOnce) \(environ["swiftgi.run_once"] ?? "")",
                "server": "\(environ.server) \(environ["swiftgi.server"] ?? "")",
                "request_id": "\(environ.requestID) \(environ["swiftgi.request_id"] ?? "")",
                "keys": "\(environ[.version] == environ.version && environ[.multithread] == environ.multithread)",
                "types": "\(environ[Environ.Key<Int>("swiftgi.multithread")] == nil)",
                "snapshot": "\(snapshot["swiftgi.version"] == "\(environ.version)")",
                "input": "\(try environ.input.collect(upTo: 10).isEmpty)",
                "unknown": environ["swiftgi.no_such_entry"],
            ])
    } check: { session in
        let response = try await session.get()
        try response.requireReport(["keys": "true", "types": "true", "snapshot": "true", "input": "true"])
        let report = response.report
        try require(report["unknown"], equals: nil, "an entry that does not exist")
        func both(_ name: String) throws -> String {
            let parts = report[name]?.split(separator: " ", omittingEmptySubsequences: false) ?? []
            try require(parts.count == 2 && parts[0] == parts[1], "\(name) differs: \(report[name] ?? "absent")")
            return String(parts[0])
        }
        try require(try both("version"), equals: "1.0", "swiftgi.version")
        try require(["http", "https"].contains(try both("scheme")), "swiftgi.url_scheme is \(report)")
        for name in ["multithread", "multiprocess", "run_once"] {
            try require(["true", "false"].contains(try both(name)), "swiftgi.\(name) is \(report)")
        }
        let modes = ["embedded", "daemon", "fastcgi", "scgi", "cgi"]
        try require(modes.contains(try both("server")), "swiftgi.server is \(report)")
        try require(!(try both("request_id")).isEmpty, "swiftgi.request_id is empty")
    },

    ConformanceCase("W10", "A request has an id of its own", at: "request-id") { environ, startResponse in
        try reply(startResponse, environ.requestID)
    } check: { session in
        let ids = [try await session.get().text, try await session.get().text]
        try require(ids[0] != ids[1], "two requests have the id \(ids[0])")
    },

    ConformanceCase("W43", "An entry that middleware replaced is replaced in every view", at: "replaced") {
        environ, startResponse in
        let inner: Application = { environ, startResponse in
            try report(
                startResponse,
                [
                    "scheme": environ.urlScheme, "text": environ["swiftgi.url_scheme"],
                    "snapshot": environ.snapshot()["swiftgi.url_scheme"], "multithread": environ["swiftgi.multithread"],
                    "bytes": text(bytes(of: "swiftgi.url_scheme", environ)),
                    "server": environ[.server] ?? "removed",
                    "own": environ[Environ.Key<Int>("test.own")].map { "\($0)" },
                    "other type": environ[Environ.Key<String>("test.own")] ?? "none",
                ])
        }
        environ[.urlScheme] = "gopher"
        environ[.multithread] = !environ.multithread
        environ["swiftgi.server"] = nil
        environ[Environ.Key<Int>("test.own")] = 7
        return try inner(&environ, startResponse)
    } check: { session in
        try await session.get().requireReport([
            "scheme": "gopher", "text": "gopher", "snapshot": "gopher", "bytes": "gopher", "server": "removed",
            "own": "7", "other type": "none",
        ])
    },
]
