import BenchApplication
import Foundation
import Hummingbird

/// The application with its own server: on the Unix socket that the argument names, or at the port, with
/// the name of a file that is made when it listens.
@main
struct BenchHummingbird {
    static func main() async throws {
        let arguments = CommandLine.arguments
        umask(0)
        let application =
            if let port = Int(arguments[1]) {
                try buildApplication(address: .hostname("127.0.0.1", port: port)) {
                    FileManager.default.createFile(atPath: arguments[2], contents: nil)
                }
            } else {
                try buildApplication(address: .unixDomainSocket(path: arguments[1]))
            }
        try await application.runService()
    }
}
