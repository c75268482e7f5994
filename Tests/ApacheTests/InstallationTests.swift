import Foundation
import Testing

/// `make install` and `make uninstall`, below DESTDIR.
@Suite struct InstallationTests {
    private func run(_ script: String, _ destination: String) throws {
        // Whoever installs may have a narrow umask.
        let result = try Command.run(
            "sh", ["-c", "umask 077 && exec \"$0\"", "\(Paths.repository)/apache/\(script)"],
            environment: ["DESTDIR": destination])
        #expect(result.status == 0, "\(result)")
        #expect(result.errors == "")
    }

    private func query(_ name: String) throws -> String {
        String(try Command.run("apxs", ["-q", name]).output.prefix { $0 != "\n" })
    }

    @Test func installsEnablesAndUninstalls() async throws {
        let image = "/an image"
        let modules = try query("LIBEXECDIR")
        let settings = try query("SYSCONFDIR")
        let isDebian = FileManager.default.fileExists(atPath: "\(settings)/mods-available")
        let enabled = "${root}\(image)\(settings)/mods-enabled"
        var configuration = Configuration(
            """
            LoadModule swiftgi_module "${root}\(image)\(modules)/mod_swiftgi.so"
            \(isDebian ? "Include \"\(enabled)/swiftgi.conf\"" : "")
            SwiftGIScriptAlias /hello ${apps}/libHello.so
            """
        ).preparing { root in
            try run("install", root + image)
            chmod(root + image, 0o755)
            guard isDebian else { return }
            let load = readText("\(root)\(image)\(settings)/mods-available/swiftgi.load")
            #expect(load == "LoadModule swiftgi_module \(modules)/mod_swiftgi.so\n")
            try makeDirectory("\(root)\(image)\(settings)/mods-enabled")
            // a2enmod itself does not bear a space.
            try FileManager.default.createSymbolicLink(
                atPath: "\(root)/settings", withDestinationPath: "\(root)\(image)\(settings)")
            let result = try Command.run(
                "a2enmod", ["--quiet", "swiftgi"], environment: ["APACHE_CONFDIR": "\(root)/settings"])
            #expect(result.status == 0, "\(result)")
        }
        configuration.loadsModule = false
        try await withServer(configuration) { server in
            #expect(try server.get("/hello").text == "Hello, world!\n")
            try run("uninstall", server.root + image)
            let left = try Command.run("find", [server.root + image, "-type", "f"])
            #expect(left.output == "")
        }
    }
}
