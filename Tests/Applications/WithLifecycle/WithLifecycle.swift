import Glibc
import SwiftGI

/// Notes each step of its life in the file that the environment variable LIFECYCLE_JOURNAL names.
struct WithLifecycle: GatewayApplication {
    init(_ startup: Startup) async throws {
        note("init \(startup.server) uid=\(getuid())")
        startup.logger.notice("lifecycle begins")
    }

    var application: Application {
        { _, startResponse in
            note("request")
            try startResponse(.ok, [.contentType: "text/plain"], nil)
            return .string("alive\n")
        }
    }

    func run() async throws {
        note("run")
        do {
            while true { try await Task.sleep(for: .seconds(3600)) }
        } catch {
            note("cancelled")
            throw error
        }
    }

    func shutdown() async throws {
        note("shutdown")
        if getenv("LIFECYCLE_HANGS") != nil { try await Task.sleep(for: .seconds(3600)) }
    }
}

/// One write each, so that processes don't mix their lines.
private func note(_ step: String) {
    guard let path = getenv("LIFECYCLE_JOURNAL") else { return }
    let file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o666)
    guard file >= 0 else { return }
    let line = "\(getpid()) \(step)\n"
    _ = write(file, line, line.utf8.count)
    close(file)
}

@c public func swiftgi_application() -> ApplicationTable { export(WithLifecycle.self) }
