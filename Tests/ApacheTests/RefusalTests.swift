import Foundation
import Testing

/// What `apachectl configtest` and the start refuse: with id, directive, file and line, and remedy.
@Suite struct RefusalTests {
    /// Each makes a library at the path.
    struct Refusal: CustomTestStringConvertible, Sendable {
        let id: String
        let remedy: String
        let testDescription: String
        let make: @Sendable (String) throws -> Void

        init(_ id: String, _ description: String, remedy: String, _ make: @escaping @Sendable (String) throws -> Void) {
            self.id = id
            self.remedy = remedy
            testDescription = "\(id) \(description)"
            self.make = make
        }
    }

    static let refusals = [
        Refusal("SGI0001", "no file", remedy: "correct the path") { _ in },
        Refusal("SGI0002", "unreadable file", remedy: "make the file readable") { path in
            try library(path)
            chmod(path, 0o600)
        },
        Refusal("SGI0003", "text file", remedy: "dynamic library product") {
            try writeFile($0, "#!/bin/sh\n", mode: 0o755)
        },
        Refusal("SGI0003", "empty file", remedy: "dynamic library product") { try writeFile($0, "", mode: 0o755) },
        Refusal("SGI0003", "directory", remedy: "dynamic library product") { try makeDirectory($0) },
        Refusal("SGI0003", "executable", remedy: "dynamic library product") { path in
            try library(path)
            // e_type: ET_EXEC
            try patch(path, at: 16, [2, 0])
        },
        Refusal("SGI0004", "32-bit library", remedy: "this kind of machine") { path in
            try library(path)
            try patch(path, at: 4, [1])
        },
        Refusal("SGI0004", "another processor's library", remedy: "this kind of machine") { path in
            try library(path)
            // e_machine: EM_RISCV or EM_S390, whatever this machine is not.
            try patch(path, at: 18, [0xF3, 0])
        },
        Refusal("SGI0005", "no symbol", remedy: "export the application") { try library($0, "NO_SYMBOL") },
        Refusal("SGI0006", "newer interface", remedy: "build it with the SwiftGI") { try library($0, "ABI=99") },
        Refusal("SGI0006", "no table", remedy: "build it with the SwiftGI") { try library($0, "NO_TABLE") },
        Refusal("SGI0008", "writable by the group", remedy: "chmod go-w") { path in
            try library(path)
            chmod(path, 0o775)
        },
        Refusal("SGI0008", "writable by others", remedy: "chmod go-w") { path in
            try library(path)
            chmod(path, 0o757)
        },
        Refusal("SGI0009", "missing function", remedy: "loader") { try library($0, "UNRESOLVED") },
        Refusal("SGI0010", "crash while loading", remedy: "initialisers") { try library($0, "CRASHES") },
    ]

    @Test(arguments: refusals)
    func refused(_ refusal: Refusal) async throws {
        // Only another user can be refused what root may read.
        if refusal.id == "SGI0002" && !ServedAs.isRoot { return }
        try await withStoppedServer(Configuration("\n\nSwiftGIScriptAlias /app ${root}/libBad.so")) { server in
            try refusal.make("\(server.root)/libBad.so")
            let configtest = try server.configtest()
            #expect(configtest.status != 0)
            try expectOneLine(configtest.errors, of: refusal, server)
            let start = try server.startRefused()
            #expect(start.status != 0)
            try expectOneLine(start.errors, of: refusal, server)
        }
    }

    private func expectOneLine(_ errors: String, of refusal: Refusal, _ server: Server) throws {
        let lines = errors.split(separator: "\n").filter { $0.contains(refusal.id) }
        let line = try #require(lines.first, "no \(refusal.id) in: \(errors)")
        #expect(lines.count == 1, "\(lines)")
        for part in ["SwiftGIScriptAlias", "test.conf:3", "\(server.root)/libBad.so", refusal.remedy] {
            #expect(line.contains(part), "no “\(part)” in: \(line)")
        }
    }

    @Test func unsearchableDirectory() async throws {
        guard ServedAs.isRoot else { return }
        try await withStoppedServer(Configuration("SwiftGIScriptAlias /app ${root}/closed/libBad.so")) { server in
            try makeDirectory("\(server.root)/closed")
            try Self.library("\(server.root)/closed/libBad.so")
            chmod("\(server.root)/closed", 0o700)
            let result = try server.configtest()
            #expect(result.status != 0)
            #expect(result.errors.contains("SGI0002"), "\(result)")
        }
    }

    /// A user that is given by its number has its groups too, as httpd sees it.
    @Test func groupOfNumericUser() async throws {
        let canMount = try ServedAs.isRoot && Command.run("unshare", ["--mount", "true"]).status == 0
        guard canMount else { return }
        let lines = "User #\(ServedAs.userID)\nSwiftGIScriptAlias /app ${root}/libGood.so"
        try await withStoppedServer(Configuration(lines)) { server in
            let group = gid_t(54_321)
            let groups = "\(server.root)/group"
            try Self.library("\(server.root)/libGood.so")
            chmod("\(server.root)/libGood.so", 0o640)
            chown("\(server.root)/libGood.so", 0, group)
            try writeFile(groups, readText("/etc/group") + "swiftgi-test:x:\(group):\(ServedAs.user)\n")
            let result = try Command.run(
                "unshare",
                [
                    "--mount", "sh", "-c", "mount --bind \(groups) /etc/group && exec \"$@\"", "sh", Paths.httpd, "-t",
                    "-d", server.root, "-f", "\(server.root)/httpd.conf",
                ])
            #expect(result.status == 0, "\(result)")
            #expect(try server.configtest().errors.contains("SGI0002"))
        }
    }

    @Test func hangWhileLoading() async throws {
        try await withStoppedServer(Configuration("SwiftGIScriptAlias /app ${root}/libBad.so")) { server in
            try Self.library("\(server.root)/libBad.so", "HANGS")
            let result = try server.configtest()
            #expect(result.status != 0)
            #expect(result.errors.contains("SGI0011"), "\(result)")
        }
    }

    /// Two libraries that share a Swift runtime, of two compilers.
    @Test(.embedded("Processes of a group have one library each.")) func otherRuntime() async throws {
        let lines = "SwiftGIScriptAlias /a ${root}/libA.so\nSwiftGIScriptAlias /b ${root}/libB.so"
        try await withStoppedServer(Configuration(lines)) { server in
            let root = server.root
            try Applications.compile(
                "runtime.c", to: "\(root)/libswiftCore.so", linking: ["-Wl,-soname,libswiftCore.so"])
            let runtime = ["-Wl,--no-as-needed", "-L\(root)", "-lswiftCore", "-Wl,-rpath,\(root)"]
            func make(_ name: String, _ compiler: String) throws {
                try Applications.compile(
                    "library.c", to: "\(root)/\(name)", defining: ["COMPILER=\"\(compiler)\""], linking: runtime)
            }
            try make("libA.so", "Swift 6.2")
            try make("libB.so", "Swift 6.3")
            let result = try server.configtest()
            #expect(result.status != 0)
            let line = try #require(result.errors.split(separator: "\n").first { $0.contains("SGI0007") }, "\(result)")
            for part in ["Swift 6.2", "Swift 6.3", "libB.so", "test.conf:2", "-static-stdlib"] {
                #expect(line.contains(part), "no “\(part)” in: \(line)")
            }
            try make("libB.so", "Swift 6.2")
            let same = try server.configtest()
            #expect(same.status == 0, "\(same)")
        }
    }

    @Test func userRoot() async throws {
        guard ServedAs.isRoot else { return }
        try await withStoppedServer(Configuration("User root\nSwiftGIScriptAlias /app ${apps}/libHello.so")) { server in
            let result = try server.configtest()
            #expect(result.status != 0)
            // httpd itself may refuse first.
            #expect(result.errors.contains("SGI0013") || result.errors.contains("as root"), "\(result)")
        }
    }

    /// All that is wrong is said at once.
    @Test func everyLibraryIsNamed() async throws {
        let lines = "SwiftGIScriptAlias /a ${root}/libA.so\nSwiftGIScriptAlias /b ${root}/libB.so"
        try await withStoppedServer(Configuration(lines)) { server in
            let result = try server.configtest()
            #expect(result.errors.contains("libA.so"))
            #expect(result.errors.contains("libB.so"))
        }
    }

    @Test func goodLibrariesPass() async throws {
        let lines = """
            SwiftGIScriptAlias /hello ${apps}/libHello.so
            SwiftGIScriptAlias /c ${root}/libGood.so
            SwiftGIScriptAliasMatch ^/m/(.*) ${apps}/libHello.so
            <VirtualHost *:${port}>
            SwiftGIScriptAlias /hello ${root}/libGood.so
            </VirtualHost>
            """
        try await withStoppedServer(Configuration(lines)) { server in
            try Self.library("\(server.root)/libGood.so")
            let result = try server.configtest()
            #expect(result.status == 0, "\(result)")
        }
    }

    /// The parent must not load applications: it would keep their code, as root, for ever.
    @Test(.embedded("Children load the library.")) func parentLoadsNothing() async throws {
        try await withServer(.behaviour()) { server in
            let maps = readText("/proc/\(server.pid)/maps")
            #expect(maps.contains("mod_swiftgi.so"))
            #expect(!maps.contains("libBehaviour.so"))
            let child = try #require(server.children.first)
            #expect(readText("/proc/\(child)/maps").contains("libBehaviour.so"))
        }
    }

    /// A bad library at a restart must not take the server down, nor its other applications.
    @Test(.embedded("The library has no server inside.")) func badLibraryAtRestart() async throws {
        let lines = """
            SwiftGIScriptAlias /app ${apps}/libBehaviour.so
            SwiftGIScriptAlias /c ${root}/libC.so
            <Directory ${root}>
            Require all granted
            </Directory>
            """
        var configuration = Configuration(lines)
        configuration.prepare = { try Self.library("\($0)/libC.so") }
        try await withServer(configuration, expecting: ["SGI0006"]) { server in
            #expect(try server.get("/c").text == "served by C\n")
            try Self.replace("\(server.root)/libC.so", "ABI=99")
            let old = server.children
            server.graceful()
            try server.waitUntilResumed(2)
            try wait("new processes") { Set(server.children).isDisjoint(with: old) && !server.children.isEmpty }
            #expect(try server.get("/app/hello").status == 200)
            let refused = try server.get("/c")
            #expect(refused.status == 503)
            #expect(refused["Retry-After"] != nil)
        }
    }

    static func library(_ path: String, _ macros: String...) throws {
        try Applications.compile("library.c", to: path, defining: macros)
    }

    /// Another file of the same name: what is loaded stays as it was.
    static func replace(_ path: String, _ macros: String...) throws {
        try Applications.compile("library.c", to: path + ".new", defining: macros)
        try #require(rename(path + ".new", path) == 0)
    }

    private static func patch(_ path: String, at offset: Int, _ bytes: [UInt8]) throws {
        var content = try #require(FileManager.default.contents(atPath: path))
        content.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
        try writeFile(path, content, mode: 0o755)
    }
}
