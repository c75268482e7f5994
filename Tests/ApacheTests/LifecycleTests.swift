import Foundation
import Glibc
import Testing

/// How applications begin, end, and are replaced.
@Suite struct LifecycleTests {
    @Test(.embedded("Processes that cannot start are tried again.")) func initThatThrows() async throws {
        let lines = """
            SwiftGIScriptAlias /broken ${apps}/libThrowsAtStart.so
            SwiftGIScriptAlias /c ${root}/libFails.so
            <Directory ${root}>
            Require all granted
            </Directory>
            ErrorDocument 503 "later"
            """
        let configuration = Configuration.behaviour(lines).preparing {
            try RefusalTests.library("\($0)/libFails.so", "FAILS")
        }
        try await withServer(configuration, expecting: ["SGI0210", "SGI0022"]) { server in
            let response = try server.get("/broken/x")
            #expect(response.status == 503)
            #expect(response["Retry-After"] == "30")
            #expect(response.text == "later")
            #expect(try server.get("/c")["Retry-After"] == "30")
            #expect(try server.get("/app/hello").status == 200)
            #expect(try server.get("/index.html").status == 200)
            #expect(server.errorLog.lines(with: "the database is on holiday").count == 1)
            #expect(server.errorLog.lines(with: "SGI0022").filter { $0.message.contains("ThrowsAtStart") }.count == 1)
            #expect(server.errorLog.lines(with: "SGI0023").allSatisfy { $0.level == "info" })
        }
    }

    @Test(.embedded("Children are counted."), arguments: Configuration.MPM.allCases)
    func lifecycle(_ mpm: Configuration.MPM) async throws {
        let configuration = Configuration(
            "SwiftGIScriptAlias /app ${apps}/libWithLifecycle.so", mpm: mpm,
            environment: ["LIFECYCLE_JOURNAL": "${root}/scratch/journal"])
        try await withServer(configuration) { server in
            #expect(try server.get("/app").text == "alive\n")
            let line = try server.errorLog.wait(for: "lifecycle begins")
            #expect(line.level == "notice")
            let wrong = await server.stop()
            #expect(wrong == [])
            // Every process: init first, as the user that serves; shutdown last, after run was cancelled.
            let steps = Steps(readText("\(server.root)/scratch/journal"))
            #expect(!steps.processes.isEmpty)
            for (pid, lines) in steps.processes {
                #expect(lines.first == "init embedded uid=\(ServedAs.userID)", "\(pid): \(lines)")
                #expect(lines.last == "shutdown", "\(pid): \(lines)")
                #expect(lines.contains("run") == lines.contains("cancelled"), "\(pid): \(lines)")
                let once = lines.filter { $0 != "request" }
                #expect(Set(once).count == once.count, "\(pid): \(lines)")
            }
            #expect(steps.processes.values.joined().contains("request"))
        }
    }

    /// One file under two names is one application.
    @Test(arguments: Configuration.MPM.allCases)
    func oneFileUnderTwoNames(_ mpm: Configuration.MPM) async throws {
        let lines = "SwiftGIScriptAlias /link ${root}/libLink.so"
        let configuration = Configuration.compiled("lifecycle.c", lines, mpm: mpm).preparing { root in
            try FileManager.default.createSymbolicLink(
                atPath: "\(root)/libLink.so", withDestinationPath: "\(root)/libC.so")
        }
        try await withServer(configuration) { server in
            let texts = try ["/c", "/link"].map { try server.get($0).text }
            #expect(texts == ["alive\n", "alive\n"])
            let wrong = await server.stop()
            #expect(wrong == [])
            for step in ["lifecycle starts", "lifecycle stops"] {
                let processes = server.errorLog.lines(with: step).map(\.pid)
                #expect(!processes.isEmpty)
                #expect(Set(processes).count == processes.count, "\(step): \(processes)")
            }
        }
    }

    /// A library that went bad while the server ran does not keep it from being stopped.
    @Test func stopWithBadLibrary() async throws {
        try await withServer(.compiled("lifecycle.c")) { server in
            #expect(try server.get("/c").text == "alive\n")
            try replaceFile("\(server.root)/libC.so") { try writeFile($0, "garbage", mode: 0o755) }
            let configtest = try server.httpd("-t")
            #expect(configtest.status != 0)
            #expect(configtest.errors.contains("SGI0003"), "\(configtest)")
            let wrong = try await server.stop {
                let result = try server.httpd("-k", "stop")
                #expect(result.status == 0, "\(result)")
            }
            #expect(wrong == [])
        }
    }

    /// Prefork's children end in a signal handler, in the middle of a request.
    @Test func hardStopDuringARequest() async throws {
        try await withServer(.compiled("lifecycle.c", mpm: .prefork), expecting: ["an unfinished line"]) { server in
            let client = try server.connect()
            try client.request("GET /c/wait HTTP/1.1")
            try server.errorLog.wait(for: "lifecycle waits")
            let wrong = await server.stop(graceful: false)
            #expect(wrong == [])
            let log = readText(server.errorLog.path)
            #expect(!log.contains("exit signal"), "\(log)")
        }
    }

    @Test(.embedded("The supervisor ends what hangs.")) func shutdownThatHangs() async throws {
        let configuration = Configuration(
            "SwiftGIScriptAlias /app ${apps}/libWithLifecycle.so\nGracefulShutdownTimeout 1",
            environment: ["LIFECYCLE_JOURNAL": "${root}/scratch/journal", "LIFECYCLE_HANGS": "yes"])
        // The ambient checks see to it that httpd ends all the same.
        try await withServer(configuration, expecting: ["SGI0213"]) { server in
            let response = try server.get("/app")
            #expect(response.status == 200)
        }
    }

    /// Another library in place of the old one: another answer, and no request lost.
    @Test(.embedded("The supervisor replaces what is new.")) func reload() async throws {
        let lines =
            "SwiftGIReload On\nSwiftGIScriptAlias /twin ${root}/libTwin.so\n<Directory ${root}>\nRequire all granted\n</Directory>"
        let configuration = Configuration(lines).preparing { try Applications.copy("TwinA", to: "\($0)/libTwin.so") }
        try await withServer(configuration, expecting: ["SGI0051", "SGI0003"]) { server in
            let port = server.port
            let load = Load(clients: 2) {
                let client = try RawClient(port: port)
                try client.request("GET /twin HTTP/1.1", ["Host: localhost", "Connection: close"])
                let response = try client.response()
                return response.status == 200 && response.text.hasPrefix("twin ") ? nil : "\(response)"
            }
            // A bad one is refused; the one that runs goes on.
            try replaceFile("\(server.root)/libTwin.so") { try writeFile($0, "nonsense", mode: 0o755) }
            try server.errorLog.wait(for: "SGI0051")
            try load.waitForMore(20)
            #expect(try server.get("/twin").text.hasPrefix("twin A"))
            // A good one is taken.
            try replaceFile("\(server.root)/libTwin.so") { try Applications.copy("TwinB", to: $0) }
            try wait("the new answer") { try server.get("/twin").text.hasPrefix("twin B") }
            let line = try server.errorLog.wait(for: "SGI0050")
            #expect(line.level == "notice")
            try load.waitForMore(20)
            #expect(try load.stop().failures == [])
        }
    }

    /// One that is refused keeps its good neighbour waiting: a restart would end what runs of it.
    @Test(.embedded("The supervisor replaces what is new.")) func reloadOfTwo() async throws {
        let lines = """
            SwiftGIReload On
            SwiftGIScriptAlias /one ${root}/libOne.so
            SwiftGIScriptAlias /two ${root}/libTwo.so
            <Directory ${root}>
            Require all granted
            </Directory>
            """
        let configuration = Configuration(lines).preparing {
            try Applications.copy("TwinA", to: "\($0)/libOne.so")
            try Applications.copy("TwinA", to: "\($0)/libTwo.so")
        }
        try await withServer(configuration, expecting: ["SGI0051", "SGI0003"]) { server in
            // The bad one first, so that it is known by the time that the good one is.
            try replaceFile("\(server.root)/libTwo.so") { try writeFile($0, "nonsense", mode: 0o755) }
            try replaceFile("\(server.root)/libOne.so") { try Applications.copy("TwinB", to: $0) }
            try server.errorLog.wait(for: "SGI0051")
            try server.errorLog.wait(for: "SGI0050")
            let restarted = await comesToHold(for: 1.5) {
                server.errorLog.lines(with: "resuming normal operations").count > 1
            }
            #expect(!restarted)
            for path in ["/one", "/two"] {
                #expect(try server.get(path).text.hasPrefix("twin A"), "\(path)")
            }
            // Once it is mended both are taken.
            try replaceFile("\(server.root)/libTwo.so") { try Applications.copy("TwinB", to: $0) }
            for path in ["/one", "/two"] {
                try wait("the new answer at \(path)") { try server.get(path).text.hasPrefix("twin B") }
            }
        }
    }

    /// Libraries are named as those see them that load them, inside of ChrootDir.
    @Test(.embedded("The launcher is not in the new root.")) func changedRoot() async throws {
        guard ServedAs.isRoot else { return }
        let lines = """
            ChrootDir ${root}/jail
            SwiftGIReload On
            SwiftGIScriptAlias /c /apps/libC.so
            <Directory /apps>
            Require all granted
            </Directory>
            """
        let configuration = Configuration(lines).preparing { root in
            for directory in ["", "/apps", "/lib", "/tmp"] { try makeDirectory("\(root)/jail\(directory)") }
            try RefusalTests.library("\(root)/jail/apps/libC.so")
            // Threads that end want it.
            let unwinder = try Command.run("cc", ["-print-file-name=libgcc_s.so.1"]).output.split(separator: "\n")[0]
            try FileManager.default.copyItem(
                at: URL(filePath: String(unwinder)).resolvingSymlinksInPath(),
                to: URL(filePath: "\(root)/jail/lib/libgcc_s.so.1"))
        }
        try await withServer(configuration) { server in
            #expect(try server.get("/c").text == "served by C\n")
            try replaceFile("\(server.root)/jail/apps/libC.so") {
                try Applications.compile("response.c", to: $0)
            }
            try wait("the new answer") { try server.get("/c/status/410").status == 410 }
        }
    }

    @Test(.embedded("Children are compared.")) func noReloadByDefault() async throws {
        let lines =
            "SwiftGIScriptAlias /twin ${root}/libTwin.so\n<Directory ${root}>\nRequire all granted\n</Directory>"
        let configuration = Configuration(lines).preparing { try Applications.copy("TwinA", to: "\($0)/libTwin.so") }
        try await withServer(configuration) { server in
            try replaceFile("\(server.root)/libTwin.so") { try Applications.copy("TwinB", to: $0) }
            #expect(try server.get("/twin").text.hasPrefix("twin A"))
            // A graceful restart takes the new one.
            server.graceful()
            try wait("the new answer") { try server.get("/twin").text.hasPrefix("twin B") }
            #expect(server.errorLog.lines(with: "SGI0050").isEmpty)
        }
    }

    @Test(arguments: Configuration.MPM.allCases)
    func gracefulUnderLoad(_ mpm: Configuration.MPM) async throws {
        try await withServer(.behaviour(mpm: mpm, children: 2, threads: 16)) { server in
            let port = server.port
            let short = Load(clients: 2) {
                let client = try RawClient(port: port)
                try client.request("GET /app/hello HTTP/1.1", ["Host: localhost", "Connection: close"])
                let response = try client.response()
                return response.text == "Hello, world!\n" ? nil : "\(response)"
            }
            let long = Load(clients: 2) {
                let client = try RawClient(port: port)
                try client.request(
                    "POST /app/echo HTTP/1.1", ["Host: localhost", "Connection: close", "Content-Length: 10"])
                try client.send("hello")
                try client.send("again")
                let echoed = try client.response().text
                let drip = try RawClient(port: port)
                try drip.request(
                    "GET /app/slow-drip?count=10&ms=10 HTTP/1.1", ["Host: localhost", "Connection: close"])
                let dripped = try drip.response().text
                return echoed == "helloagain" && dripped == String(repeating: "drip\n", count: 10)
                    ? nil : "\(echoed), \(dripped)"
            }
            for round in 1...10 {
                try short.waitForMore(20)
                try long.waitForMore(1)
                server.graceful()
                try server.waitUntilResumed(round + 1)
            }
            try short.waitForMore(20)
            try long.waitForMore(1)
            #expect(try short.stop().failures == [])
            #expect(try long.stop().failures == [])
            try wait("the old processes to end") { server.children.count <= 3 }
        }
    }
}

/// The journal of libWithLifecycle, by process.
private struct Steps {
    var processes: [String: [String]] = [:]

    init(_ text: String) {
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            if parts.count == 2 { processes[String(parts[0]), default: []].append(String(parts[1])) }
        }
    }
}
