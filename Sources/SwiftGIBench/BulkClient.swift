import ArgumentParser
import Foundation
import Glibc
import Synchronization

/// Downloads over and over and has the kernel drop the bodies, so that the client costs little.
///
/// A command of its own, so that it runs on the load generators' processors.
struct BulkClient: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "bulk", shouldDisplay: false)

    @Option var port: Int
    @Option var path: String
    @Option var connections: Int
    @Option var seconds: Double

    private struct Totals {
        var latencies: [Double] = []
        var failure: String?
    }

    func run() throws {
        let totals = Mutex(Totals())
        let begin = Clock.now
        let end = begin + seconds
        let threads = (0..<connections).map { _ in
            Thread { [port, path] in
                do {
                    let latencies = try Self.download(port, path, until: end)
                    totals.withLock { $0.latencies += latencies }
                } catch {
                    totals.withLock { $0.failure = "\(error)" }
                }
            }
        }
        for thread in threads { thread.start() }
        while !threads.allSatisfy(\.isFinished) { usleep(2000) }
        let duration = Clock.now - begin
        let (latencies, failure) = totals.withLock { ($0.latencies, $0.failure) }
        if let failure { throw Failure(failure) }
        print("BENCH", latencies.count, Int(duration * 1e6), latencies.percentile(50), latencies.percentile(99), 0, 0)
    }

    /// - Returns: How long each took, in microseconds.
    private static func download(_ port: Int, _ path: String, until end: Double) throws -> [Double] {
        guard let descriptor = Connection.open(port, timeout: 30) else { throw Failure("can't connect") }
        defer { close(descriptor) }
        var head = "GET \(path) HTTP/1.1\r\n"
        for (name, value) in HTTPProbe.fields { head += "\(name): \(value)\r\n" }
        let request = Array((head + "\r\n").utf8)
        var latencies: [Double] = []
        repeat {
            let begin = Clock.now
            try Connection.send(descriptor, request)
            var rest = try receiveHead(descriptor)
            while rest > 0 {
                let count = recv(descriptor, nil, rest, Int32(MSG_TRUNC | MSG_WAITALL))
                guard count > 0 else { throw Failure("body cut short") }
                rest -= count
            }
            latencies.append((Clock.now - begin) * 1e6)
        } while Clock.now < end
        return latencies
    }

    /// - Returns: How many bytes of the body are still to come.
    private static func receiveHead(_ descriptor: Int32) throws -> Int {
        var buffer = [UInt8](repeating: 0, count: 4096)
        var filled = 0
        while filled < buffer.count {
            let count = buffer.withUnsafeMutableBytes { bytes in
                recv(descriptor, bytes.baseAddress.map { $0 + filled }, bytes.count - filled, 0)
            }
            guard count > 0 else { throw Failure("head cut short") }
            filled += count
            let end = (3..<filled).first { index in
                buffer[index] == 10 && buffer[index - 1] == 13 && buffer[index - 2] == 10 && buffer[index - 3] == 13
            }
            guard let end else { continue }
            let head = String(decoding: buffer[..<end], as: UTF8.self).lowercased()
            guard head.contains(" 200 ") else { throw Failure("answers \(head.prefix(30))") }
            guard let field = head.range(of: "content-length:"),
                let length = Int(
                    head[field.upperBound...].prefix { $0 != "\r\n" }.trimmingCharacters(in: .whitespaces))
            else { throw Failure("no length") }
            return length - (filled - end - 1)
        }
        throw Failure("the head is too long")
    }
}
