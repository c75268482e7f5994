import Foundation
import Testing

/// What an application says is in the log of the right virtual host, with level and request.
@Suite struct LoggingTests {
    private static let everything = [
        "from errors", "unfinished", "from stderr", "from logger at warning", "from logger at error",
        "from logger at critical",
    ]

    @Test(.embedded("What is printed is its process's."), arguments: Configuration.MPM.allCases)
    func levelsAndRequest(_ mpm: Configuration.MPM) async throws {
        let configuration = Configuration.behaviour(mpm: mpm, logLevel: "info swiftgi:trace8")
        try await withServer(configuration, expecting: Self.everything) { server in
            let id = try server.get("/app/log?word=w").text.dropLast()
            #expect(!id.isEmpty)
            for (text, level) in [
                ("w from errors", "error"), ("w from errors, line two", "error"), ("w unfinished", "error"),
                ("w from print", "notice"),
                ("w from stderr", "error"), ("w from logger at trace", "trace"), ("w from logger at debug", "debug"),
                ("w from logger at info", "info"), ("w from logger at notice", "notice"),
                ("w from logger at warning", "warn"),
                ("w from logger at error", "error"), ("w from logger at critical", "crit"),
            ] {
                let line = try server.errorLog.wait(for: text)
                #expect(line.level.hasPrefix(level), "\(text): \(line.level)")
                #expect(line.requestID == id, "\(text)")
                #expect(line.module == "swiftgi", "\(text)")
            }
            let logger = try server.errorLog.wait(for: "w from logger at info")
            #expect(logger.message.contains("behaviour:"))
            #expect(logger.message.contains("key=value"))
            // Each request its own.
            let other = try server.get("/app/log?word=v").text.dropLast()
            #expect(other != id)
            #expect(try server.errorLog.wait(for: "v from print").requestID == other)
        }
    }

    @Test func logLevelApplies() async throws {
        try await withServer(.behaviour(logLevel: "warn"), expecting: Self.everything) { server in
            _ = try server.get("/app/log?word=w")
            try server.errorLog.wait(for: "w from logger at critical")
            for text in ["logger at notice", "logger at info", "logger at debug", "SGI0021"] {
                #expect(server.errorLog.lines(with: text).isEmpty, "\(text)")
            }
        }
    }

    /// Sections that log more are what swift-log's loggers have to go by.
    @Test func logLevelOfSections() async throws {
        for (begin, end) in [
            ("<Location /app>", "</Location>"), ("<Directory ${apps}>", "</Directory>"),
            ("<Files libBehaviour.so>", "</Files>"), ("<If \"true\">", "</If>"),
            ("<VirtualHost *:${port}>\n<Location />\n<If \"true\">", "</If>\n</Location>\n</VirtualHost>"),
        ] {
            let lines = "\(begin)\nLogLevel swiftgi:debug\n\(end)"
            try await withServer(.behaviour(lines, logLevel: "warn"), expecting: Self.everything) { server in
                _ = try server.get("/app/log?word=w")
                try server.errorLog.wait(for: "w from logger at critical")
                #expect(server.errorLog.lines(with: "w from logger at debug").count == 1, "\(begin)")
                #expect(server.errorLog.lines(with: "w from logger at trace").isEmpty, "\(begin)")
            }
        }
    }

    /// httpd cuts long lines after it has written odd bytes as four.
    @Test func nothingIsCut() async throws {
        try await withServer(.compiled("misuse.c")) { server in
            let response = try server.get("/c/log/long")
            #expect(response.status == 200)
            let logged = readText(server.errorLog.path).split(separator: "\\xe9", omittingEmptySubsequences: false)
            #expect(logged.count - 1 == 20_000)
        }
    }

    @Test(.embedded("What is printed goes to the log of the group.")) func virtualHosts() async throws {
        let lines = """
            <VirtualHost *:${port}>
            ServerName one
            ErrorLog ${root}/logs/one-error.log
            LogLevel debug
            </VirtualHost>
            <VirtualHost *:${port}>
            ServerName two
            ErrorLog ${root}/logs/two-error.log
            LogLevel warn
            </VirtualHost>
            """
        try await withServer(.behaviour(lines), expecting: Self.everything + ["SGI0201"]) { server in
            let one = ErrorLog(path: "\(server.root)/logs/one-error.log")
            let two = ErrorLog(path: "\(server.root)/logs/two-error.log")
            _ = try server.get("/app/log?word=alpha", host: "one")
            _ = try server.get("/app/log?word=beta", host: "two")
            _ = try server.get("/app/throw-early", host: "two")
            for text in [
                "alpha from errors", "alpha unfinished", "alpha from print", "alpha from stderr",
                "alpha from logger at debug",
            ] {
                try one.wait(for: text)
            }
            for text in ["beta from errors", "beta from stderr", "beta from logger at error", "SGI0201"] {
                try two.wait(for: text)
            }
            #expect(two.lines(with: "alpha").isEmpty)
            #expect(one.lines(with: "beta").isEmpty)
            #expect(one.lines(with: "SGI0201").isEmpty)
            // Its own level.
            #expect(two.lines(with: "beta from logger at info").isEmpty)
            #expect(server.errorLog.lines(with: "alpha").isEmpty)
            #expect(server.errorLog.lines(with: "beta").isEmpty)
        }
    }

    @Test(.embedded("What is printed is its process's.")) func otherThreadsAndOddOutput() async throws {
        try await withServer(.behaviour(), expecting: ["torn", "apart", "llll", "tab", "no line's end"]) { server in
            _ = try server.get("/app/log-elsewhere?word=w")
            let line = try server.errorLog.wait(for: "w from another thread")
            #expect(line.level == "notice")
            _ = try server.get("/app/output")
            try server.errorLog.wait(for: "no line's end")
        }
    }

    @Test(.embedded("What is printed is its process's.")) func manyThreadsDoNotMix() async throws {
        try await withServer(.behaviour(threads: 8), expecting: Self.everything) { server in
            let port = server.port
            let load = Load(clients: 4) {
                let client = try RawClient(port: port)
                let word = "w\(UInt32.random(in: 0 ... .max))"
                try client.request("GET /app/log?word=\(word) HTTP/1.1", ["Host: localhost", "Connection: close"])
                let response = try client.response()
                return response.status == 200 ? nil : "\(response.status)"
            }
            try load.waitForMore(100)
            let result = try load.stop()
            #expect(result.failures.isEmpty)
            // A word belongs to one request, and each line is whole.
            var owners: [String: String] = [:]
            for line in server.errorLog.lines(with: " from ") {
                let words = line.message.replacing("behaviour: ", with: "").split(separator: " ")
                let word = String(words[0])
                #expect(owners[word, default: line.requestID] == line.requestID)
                owners[word] = line.requestID
            }
            #expect(owners.count == result.answered)
        }
    }

    @Test func uniqueID() async throws {
        try await withServer(.behaviour(modules: ["unique_id"])) { server in
            let variables = try server.get("/app/variables").variables
            #expect(variables["swiftgi.request_id"]?.isEmpty == false)
        }
    }
}
