import Foundation
import Glibc
import Synchronization
import Testing

/// The applications, copied to where the user that httpd serves as can read them.
enum Applications {
    static let directory: String = {
        let directory = "\(Paths.temporary)/apps"
        do {
            try makeDirectory(directory)
            let built = try FileManager.default.contentsOfDirectory(atPath: Paths.builtApplications)
            for name in built where name.hasSuffix(".so") {
                let copy = "\(directory)/\(name)"
                try FileManager.default.copyItem(atPath: "\(Paths.builtApplications)/\(name)", toPath: copy)
                chmod(copy, 0o755)
            }
        } catch {
            Issue.record("no applications: \(error)")
        }
        return directory
    }()

    static func path(_ name: String) -> String { "\(directory)/lib\(name).so" }

    /// A program of two lines that serves the application that it contains.
    static let standalone: String = {
        let copy = "\(directory)/Standalone"
        do {
            try FileManager.default.copyItem(atPath: "\(Paths.builtApplications)/Standalone", toPath: copy)
            chmod(copy, 0o755)
        } catch {
            Issue.record("no Standalone: \(error)")
        }
        return copy
    }()

    /// What the frameworks' applications were built as; see `.ci/frameworks`.
    static let frameworks =
        Paths.environment("SWIFTGI_TEST_FRAMEWORKS") ?? "\(Paths.repository)/.build/frameworks/debug"

    /// Whether they were built. It takes minutes.
    static let hasFrameworks = access("\(frameworks)/libTodos.so", F_OK) == 0

    /// Puts an application of a framework beside the others. They are large: only when a test asks.
    static func addFramework(_ name: String) throws {
        try framework.withLock { added in
            if !added.insert(name).inserted { return }
            try FileManager.default.copyItem(atPath: "\(frameworks)/lib\(name).so", toPath: path(name))
            chmod(path(name), 0o755)
        }
    }

    private static let framework = Mutex<Set<String>>([])

    /// The same application under another name.
    static func copy(_ name: String, as other: String) throws {
        try copy(name, to: path(other))
    }

    static func copy(_ name: String, to path: String) throws {
        try? FileManager.default.removeItem(atPath: path)
        try FileManager.default.copyItem(atPath: self.path(name), toPath: path)
    }

    /// Builds a library of C for a test: one of Libraries/, with macros.
    static func compile(
        _ source: String, to path: String, defining: [String] = [], linking: [String] = []
    ) throws {
        let result = try Command.run(
            "cc",
            ["-shared", "-fPIC", "-O1", "-Wall", "-I\(Paths.repository)/Sources/CSwiftGI/include"]
                + defining.map { "-D\($0)" } + ["-o", path, "\(Paths.libraries)/\(source)"] + linking)
        guard result.status == 0 else { throw Command.Failure(description: "cc \(source): \(result)") }
        chmod(path, 0o755)
    }

    /// Starts a program with a listening socket: Libraries/activate.c.
    static let activate = program("activate")

    /// Programs that take the place of swiftgi-run: Libraries/daemon.c, Libraries/relay.c.
    static let daemon = program("daemon")
    static let relay = program("relay")

    /// An HTTP server that knows nothing of all this: Libraries/server.c.
    static let server = program("server")

    private static func program(_ name: String) -> String {
        let path = "\(Paths.temporary)/\(name)"
        do {
            let result = try Command.run(
                "cc", ["-O1", "-Wall", "-o", path, "\(Paths.libraries)/\(name).c", "-lpthread"])
            if result.status != 0 { Issue.record("cc \(name).c: \(result)") }
            chmod(path, 0o755)
        } catch {
            Issue.record("no \(name): \(error)")
        }
        return path
    }
}
