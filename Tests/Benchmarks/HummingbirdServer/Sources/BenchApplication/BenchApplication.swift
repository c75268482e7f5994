import CZlib
import Foundation
import Hummingbird
import Logging

/// The benchmark's answers by an application of Hummingbird, which does not know what serves it.
///
/// - Parameters:
///   - address: Where its own server listens.
///   - onServerRunning: Called when that server does.
public func buildApplication(
    address: BindAddress = .hostname(), onServerRunning: @escaping @Sendable () -> Void = {}
) throws -> some ApplicationProtocol {
    let data = ProcessInfo.processInfo.environment["BENCH_DATA"] ?? "."
    let json = ByteBuffer(bytes: try Data(contentsOf: URL(filePath: data + "/app/json")))
    let megabyte = ByteBuffer(bytes: try Data(contentsOf: URL(filePath: data + "/app/down")))
    let hello = ByteBuffer(string: "Hello, world!\n")
    let chunk = ByteBuffer(string: "0123456789abcde\n")
    let files = FileIO()

    let router = Router()
    router.get("/hello") { _, _ in answer("text/plain", hello) }
    router.get("/app/json") { _, _ in answer("application/json", json) }
    router.get("/app/down") { _, _ in answer("application/octet-stream", megabyte) }
    router.get("/app/file") { _, context in
        let body = try await files.loadFile(path: data + "/app/file", context: context)
        return Response(status: .ok, headers: [.contentType: "application/octet-stream"], body: body)
    }
    router.post("/app/up") { request, _ in
        var sum = adler32(0, nil, 0)
        for try await piece in request.body {
            piece.withUnsafeReadableBytes { bytes in
                sum = adler32(sum, bytes.bindMemory(to: UInt8.self).baseAddress, UInt32(bytes.count))
            }
        }
        let digits = String(sum, radix: 16)
        let text = String(repeating: "0", count: max(0, 8 - digits.count)) + digits + "\n"
        return answer("text/plain", ByteBuffer(string: text))
    }
    router.get("/app/stream") { _, _ in
        let body = ResponseBody { writer in
            for _ in 0..<1000 { try await writer.write(chunk) }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: [.contentType: "text/plain"], body: body)
    }
    router.get("/app/wait") { _, _ in
        try await Task.sleep(for: .milliseconds(50))
        return answer("text/plain", hello)
    }

    var logger = Logger(label: "bench")
    logger.logLevel = .error
    return Application(
        router: router,
        configuration: .init(address: address, serverName: "Hummingbird", backlog: 1024),
        onServerRunning: { _ in onServerRunning() }, logger: logger)
}

private func answer(_ type: String, _ body: ByteBuffer) -> Response {
    Response(status: .ok, headers: [.contentType: type], body: .init(byteBuffer: body))
}
