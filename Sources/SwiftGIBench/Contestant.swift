import Foundation
import Glibc

/// One way to answer the same requests, with its own httpd or without.
struct Contestant: Sendable {
    /// Its name in the report and on the command line.
    let name: String
    /// What it is, for people.
    let title: String
    /// What has to be there; without it the contestant is absent.
    var needs: [Need] = []
    /// Modules of httpd beside those that all have.
    var modules: [String] = []
    var isPrefork = false
    /// Lines of httpd's configuration; `nil` if one of its own processes serves the port.
    let httpd: (@Sendable (Place) -> String)?
    /// Other processes, started before httpd.
    var processes: @Sendable (Place) throws -> [[String]] = { _ in [] }
    /// Sockets that these processes make: they are ready when all are there.
    var sockets: [String] = []
    /// What it does not do, and why.
    var without: [String: String] = [:]

    /// A product without which a contestant is absent.
    enum Need: Sendable {
        /// A file, by its path, or by its name among the peers.
        case file(String)
        /// A module of httpd.
        case module(String)
        /// A program in PATH.
        case program(String)
        /// A directive of the built mod_swiftgi.
        case directive(String)
        /// Something that is not there yet.
        case work(String)
    }

    /// Where one server runs.
    struct Place: Sendable {
        let site: Site
        /// A directory of its own.
        let directory: String
        let port: Int
        /// Another port that nobody uses.
        let backPort: Int
        /// How many processes httpd has.
        let children: Int
        /// How many threads each of them has.
        let threads: Int

        func socket(_ name: String) -> String { "\(directory)/run/\(name)" }

        /// Lines that pass everything on to a socket.
        func proxy(_ scheme: String, _ name: String) -> String {
            ["/hello", "/app"].map {
                "ProxyPass \($0) \"unix:\(socket(name))|\(scheme)://localhost\($0)\" enablereuse=on retry=0\n"
            }.joined()
        }
    }

    /// Why it can't take part, or `nil`.
    func absence(_ site: Site) -> String? {
        for need in needs {
            switch need {
            case .file(let name):
                let path = name.hasPrefix("/") ? name : "\(site.peers)/\(name)"
                if access(path, F_OK) != 0 { return "\(name) is not there" }
            case .module(let name):
                if access("\(Httpd.modules)/mod_\(name).so", F_OK) != 0 { return "mod_\(name) is not installed" }
            case .program(let name):
                if Programs.find(name) == nil { return "\(name) is not installed" }
            case .directive(let name):
                let module = (try? Data(contentsOf: URL(filePath: "\(site.peers)/mod_swiftgi.so"))) ?? Data()
                if module.firstRange(of: Data(name.utf8)) == nil { return "mod_swiftgi has no \(name)" }
            case .work(let what):
                return what
            }
        }
        return nil
    }
}

/// Programs of the system.
enum Programs {
    static func find(_ name: String) -> String? {
        ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin"].map { "\($0)/\(name)" }
            .first { access($0, X_OK) == 0 }
    }

    /// The newest version of php-fpm, whose name has its version.
    static var phpFPM: String? {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/sbin")) ?? []
        return names.filter { $0.hasPrefix("php-fpm") }.max().map { "/usr/sbin/\($0)" }
    }

    /// mod_php, which was unpacked rather than installed; see .ci/setup-bench.
    static func modPHP(_ site: Site) -> String? {
        let directory = "\(site.repository)/.build/bench/peers/usr/lib/apache2/modules"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.filter { $0.hasPrefix("libphp") }.max().map { "\(directory)/\($0)" }
    }
}

enum Httpd {
    static let program = Programs.find("apache2") ?? Programs.find("httpd") ?? "apache2"
    static let modules: String = {
        let places = ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/local/apache2/modules"]
        return places.first { access($0, F_OK) == 0 } ?? places[0]
    }()
}
