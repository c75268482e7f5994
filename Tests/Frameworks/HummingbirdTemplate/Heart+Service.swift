import Foundation
import Logging
import ServiceLifecycle

extension Heart: Service {
    func run() async throws {
        set(true)
        try await gracefulShutdown()
        set(false)
        Logger(label: "template").notice("the service has ended")
    }
}

/// A service that knows of cancellation alone, if the environment wants one.
struct Stubborn: Service {
    func run() async throws {
        guard ProcessInfo.processInfo.environment["STUBBORN"] != nil else { return try await gracefulShutdown() }
        do {
            try await Task.sleep(for: .seconds(600))
        } catch {
            Logger(label: "template").notice("the stubborn service was cancelled")
        }
    }
}
