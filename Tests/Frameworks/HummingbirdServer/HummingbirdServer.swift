import Hummingbird
import HummingbirdTemplate
import ServiceLifecycle

/// The application with its own server, at the port that the first argument names; uploads go to the
/// directory that the second names.
@main
struct HummingbirdServer {
    static func main() async throws {
        let application = try await buildApplication(
            address: .hostname("127.0.0.1", port: Int(CommandLine.arguments[1]) ?? 0),
            directory: CommandLine.arguments[2])
        try await application.runService()
    }
}
