import Glibc
import SwiftGICore
import Synchronization

/// What an application notes of itself for its client, which can't see it: a file for each run of
/// a case, so that it does not matter which process serves which request.
struct Journal: Sendable {
    /// The header field that carries a run's token, and its variable.
    static let field = "SwiftGI-Test-Token"
    static let variable = "HTTP_SWIFTGI_TEST_TOKEN"

    /// The variable that names the directory of the journals.
    ///
    /// Whoever sets up the server sets it.
    static let directory = "SWIFTGI_TEST_JOURNAL"

    let path: String

    /// The journal of the request's run.
    init(_ environ: borrowing Environ) throws {
        try self.init(environ, token: environ[Self.variable] ?? "")
    }

    init(_ environ: borrowing Environ, token: String) throws {
        try self.init(directory: environ[Self.directory], token: token)
    }

    init(directory: String?, token: String) throws {
        guard let directory else {
            throw ConformanceFailure(description: "\(Self.directory) is not set")
        }
        guard !token.isEmpty, token.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) })
        else { throw ConformanceFailure(description: "the request has no token") }
        path = "\(directory)/\(token)"
    }

    /// Adds a line.
    ///
    /// Called where nobody takes an error, so that one shows as a missing line.
    func note(_ line: String) {
        let descriptor = unsafe open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return }
        let bytes = [UInt8]((line + "\n").utf8)
        // One write, so that lines of several processes don't mix.
        unsafe bytes.withUnsafeBytes { _ = unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        close(descriptor)
    }

    /// The lines so far; none if there is no journal yet.
    func read() throws -> [UInt8] {
        guard unsafe access(path, F_OK) == 0 else { return [] }
        let file = try BodyFile(path: path)
        return try file.read(Int(BodyFile.pieceSize))
    }

    /// A new file with content of the application's choice, open for reading and writing and
    /// without a name.
    func openFile(_ content: [UInt8]) throws -> Int32 {
        let name = "\(path).file\(Self.fileCount.add(1, ordering: .relaxed).newValue)"
        let descriptor = unsafe open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw ConformanceFailure(description: "no file can be made in the journal") }
        unsafe unlink(name)
        let written = unsafe content.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        guard written == content.count else { throw ConformanceFailure(description: "the file can't be written") }
        return descriptor
    }

    private static let fileCount = Atomic(0)
}
