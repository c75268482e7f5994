import Foundation
import Glibc

/// Where things are: the repository, what was built from it, and httpd.
enum Paths {
    static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path(percentEncoded: false).droppingTrailingSlash

    /// A copy, so that a build beside the tests does no harm.
    static let module: String = {
        let built = environment("SWIFTGI_MODULE") ?? "\(repository)/.build/apache/.libs/mod_swiftgi.so"
        let copy = "\(temporary)/mod_swiftgi.so"
        do {
            try FileManager.default.copyItem(atPath: built, toPath: copy)
            // The module looks for it beside itself.
            let directory = URL(filePath: built).deletingLastPathComponent().path(percentEncoded: false)
            let supervisor = "swiftgi-supervisor"
            try FileManager.default.copyItem(
                atPath: "\(directory)/\(supervisor)", toPath: "\(temporary)/\(supervisor)")
            // So is the launcher.
            _ = launcher
        } catch {
            return built
        }
        return copy
    }()

    /// A copy, where the user that httpd serves as can run it: the repository may lie where it can't go.
    static let launcher: String = {
        let built = environment("SWIFTGI_LAUNCHER") ?? "\(repository)/.build/launcher/swiftgi-run"
        let copy = "\(temporary)/swiftgi-run"
        do {
            try FileManager.default.copyItem(atPath: built, toPath: copy)
            chmod(copy, 0o755)
        } catch {
            return built
        }
        return copy
    }()

    static let builtApplications = environment("SWIFTGI_TEST_APPLICATIONS") ?? "\(repository)/.build/apps/release"

    static let httpd =
        environment("SWIFTGI_HTTPD")
        ?? firstExisting([
            "/usr/sbin/apache2", "/usr/sbin/httpd", "/usr/local/apache2/bin/httpd",
        ])

    static let httpdModules =
        environment("SWIFTGI_HTTPD_MODULES")
        ?? firstExisting([
            "/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/local/apache2/modules",
        ])

    static let libraries = "\(repository)/Tests/ApacheTests/Libraries"

    /// Server roots, copies of applications and the like; removed when the tests end unless
    /// SWIFTGI_KEEP is set.
    static let temporary = makeTemporaryDirectory()

    static func environment(_ name: String) -> String? { ProcessInfo.processInfo.environment[name] }

    private static func firstExisting(_ paths: [String]) -> String {
        paths.first { access($0, F_OK) == 0 } ?? paths[0]
    }

    /// Readable by the user that httpd serves as, whatever this process's umask.
    private static func makeTemporaryDirectory() -> String {
        var template = Array("/tmp/swiftgi-tests-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { mkdtemp($0.baseAddress!) != nil }
        precondition(made, "mkdtemp failed")
        let path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        chmod(path, 0o755)
        if environment("SWIFTGI_KEEP") == nil {
            atexit { try? FileManager.default.removeItem(atPath: Paths.temporary) }
        }
        return path
    }
}

extension String {
    fileprivate var droppingTrailingSlash: String { hasSuffix("/") && count > 1 ? String(dropLast()) : self }
}

/// Who httpd serves as: it starts as root and drops to this user, or stays who we are.
enum ServedAs {
    static let isRoot = geteuid() == 0
    static let user = isRoot ? "www-data" : NSUserName()
    static let group = isRoot ? "www-data" : "#\(getegid())"
    static let userID: uid_t = isRoot ? getpwnam("www-data").pointee.pw_uid : geteuid()
}
