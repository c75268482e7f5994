import Foundation
import Testing

/// What the API's types forbid does not compile: the files in `Misuse` say line by line what the
/// compiler has to find, and it finds nothing else.
@Suite(.timeLimit(.minutes(2)))
struct MisuseTests {
    private static let directory = URL(filePath: #filePath).deletingLastPathComponent()
    private static let repository = directory.deletingLastPathComponent().deletingLastPathComponent()

    /// Where this build's modules are: beside the tests.
    private static let modules: URL? = {
        guard let maps = try? String(contentsOfFile: "/proc/self/maps", encoding: .utf8) else { return nil }
        for line in maps.split(separator: "\n") where line.hasSuffix(".xctest") {
            guard let start = line.firstIndex(of: "/") else { continue }
            return URL(filePath: String(line[start...])).deletingLastPathComponent().appending(component: "Modules")
        }
        return nil
    }()

    /// The ownership and data race checks come behind the types.
    private static let files = [("Types", "-typecheck"), ("Ownership", "-emit-sil"), ("Concurrency", "-emit-sil")]

    private func compile(_ file: URL, _ stage: String) async throws -> (status: Int32, output: String) {
        let modules = try #require(Self.modules)
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [
            "swiftc", "-frontend", stage, "-o", "/dev/null", "-verify", "-verify-ignore-unrelated", "-swift-version",
            "6", "-module-name", "Misuse", "-I", modules.path,
        ]
        // The modules of C that ours import.
        let sources = Self.repository.appending(path: "Sources")
        for name in try FileManager.default.contentsOfDirectory(atPath: sources.path) where name.hasPrefix("C") {
            process.arguments? += ["-I", sources.appending(path: "\(name)/include").path]
        }
        process.arguments?.append(file.path)
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        return try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                do {
                    try process.run()
                    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
                    process.waitUntilExit()
                    continuation.resume(
                        returning: (process.terminationStatus, String(decoding: output, as: UTF8.self)))
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        }
    }

    @Test("What is wrong does not compile, for its reason, and what is right does", arguments: files)
    func misuse(_ file: String, _ stage: String) async throws {
        let (status, output) = try await compile(Self.directory.appending(path: "Misuse/\(file).swift"), stage)
        #expect(status == 0, "\(output)")
    }

    @Test("A file that promises an error that does not come is found out", arguments: files)
    func control(_ file: String, _ stage: String) async throws {
        let text = try String(contentsOf: Self.directory.appending(path: "Misuse/\(file).swift"), encoding: .utf8)
        #expect(text.contains("expected-error"))
        let name = "swiftgi-misuse-\(UUID().uuidString).swift"
        let copy = FileManager.default.temporaryDirectory.appending(component: name)
        defer { try? FileManager.default.removeItem(at: copy) }
        try (text + "\nprivate func right() {}  // expected-error {{consumed more than once}}\n")
            .write(to: copy, atomically: true, encoding: .utf8)
        let (status, output) = try await compile(copy, stage)
        #expect(status != 0)
        #expect(output.contains("expected error not produced"), "\(output)")
    }
}
