import Foundation
import Glibc
import Testing

/// Applications and their processes: several in one, and what they are told of it.
@Suite struct ApplicationsTests {
    @Test(.embedded("A group has processes for each library."), arguments: Configuration.MPM.allCases)
    func severalInOneProcess(_ mpm: Configuration.MPM) async throws {
        let lines = """
            SwiftGIScriptAlias /hello ${apps}/libHello.so
            SwiftGIScriptAlias /a ${apps}/libTwinA.so
            SwiftGIScriptAlias /b ${apps}/libTwinB.so
            SwiftGIScriptAlias /a/again ${apps}/libTwinA.so
            """
        try await withServer(.behaviour(lines, mpm: mpm)) { server in
            let port = server.port
            // TwinA and TwinB have the same module and type names.
            let load = Load(clients: 3) {
                for (path, text) in [
                    ("/hello", "Hello, world!\n"), ("/a", "twin A, true\n"), ("/b", "twin B, true\n"),
                    ("/a/again", "twin A, true\n"),
                    ("/app/hello", "Hello, world!\n"),
                ] {
                    let client = try RawClient(port: port)
                    try client.request("GET \(path) HTTP/1.1", ["Host: localhost", "Connection: close"])
                    let response = try client.response()
                    if response.text != text { return "\(path): \(response)" }
                }
                return nil
            }
            try load.waitForMore(30)
            #expect(try load.stop().failures == [])
            let child = try #require(server.children.first)
            let maps = readText("/proc/\(child)/maps")
            for name in ["Behaviour", "Hello", "TwinA", "TwinB"] { #expect(maps.contains("lib\(name).so")) }
            // Once in each process, however many aliases there are.
            let started = server.errorLog.lines(with: "SGI0021").filter {
                $0.pid == child && $0.message.contains("TwinA")
            }
            #expect(started.count == 1)
        }
    }

    @Test(arguments: Configuration.MPM.allCases, [1, 2])
    func traits(_ mpm: Configuration.MPM, _ children: Int) async throws {
        try await withServer(.behaviour(mpm: mpm, children: children, threads: 4)) { server in
            let variables = try server.get("/app/traits").variables
            let execution = Configuration.Execution.standard
            #expect(variables["multithread"] == "\(mpm.isThreaded || execution == .daemon)")
            // Also with one child: at a graceful restart there are two.
            #expect(variables["multiprocess"] == "true")
            #expect(variables["run_once"] == "false")
            #expect(variables["server"] == execution.rawValue)
            #expect(variables["version"] == "1.0")
        }
    }

    /// `httpd -X` is one process and stays one.
    @Test(arguments: Configuration.MPM.allCases)
    func traitsOfOneProcess(_ mpm: Configuration.MPM) async throws {
        try await withStoppedServer(.behaviour(mpm: mpm)) { server in
            let command = try Command(Paths.httpd, ["-d", server.root, "-f", "\(server.root)/httpd.conf", "-X"])
            try wait("httpd to answer") { (try? server.get("/app/traits"))?.status == 200 }
            // Processes of a group are replaced beside one another all the same.
            let isDaemon = Configuration.Execution.standard == .daemon
            #expect(try server.get("/app/traits").variables["multiprocess"] == "\(isDaemon)")
            kill(command.pid, SIGTERM)
            let result = try command.finish()
            #expect(result.status == 0, "\(result)")
        }
    }

    /// An application in C that breaks the rules of the binary interface: it is told so, and
    /// nothing else happens.
    @Test(.embedded("The library has no server inside.")) func misuseOfTheInterface() async throws {
        let lines =
            "SwiftGIScriptAlias /misuse ${root}/libMisuse.so\n<Directory ${root}>\nRequire all granted\n</Directory>"
        let configuration = Configuration(lines).preparing {
            try Applications.compile("misuse.c", to: "\($0)/libMisuse.so")
        }
        try await withServer(configuration, expecting: ["SGI0035", "SGI0042", "level 0"]) { server in
            // 3 is SWIFTGI_MISUSE.
            for (path, results) in [
                ("status", "3333"), ("field", "333333333"), ("order", "33"), ("extent", "333"), ("twice", ""),
                ("after", "sent\n33"),
                ("names", "000010"),
                ("log", ""),
            ] {
                let response = try server.get("/misuse/\(path)")
                #expect(response.status == 200, "\(path)")
                #expect(response.text == results, "\(path)")
                for field in ["X-Injected", "X-Early", "X-Late", "X-First", "X-A"] {
                    #expect(response[field] == nil, "\(path)")
                }
            }
            try server.errorLog.wait(for: "of this thread's request")
            try server.errorLog.wait(for: "second line")
            try server.errorLog.wait(for: "before?after")
            // Raw bytes from an application never reach the log as they are.
            #expect(!readText(server.errorLog.path).contains("\u{1B}["))
            // A response that was not finished is none.
            #expect(try server.get("/misuse/incomplete").status == 500)
            // What handle() returns.
            for (result, status) in [(0, 500), (2, 500), (3, 500), (4, 413), (5, 400), (6, 408), (7, 500), (99, 500)] {
                #expect(try server.get("/misuse/result/\(result)").status == status, "\(result)")
            }
            #expect(server.children.count == 1)
        }
    }
}
