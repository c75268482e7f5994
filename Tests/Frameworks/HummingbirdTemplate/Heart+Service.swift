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
