import Glibc
import SwiftGI
import Synchronization

/// What the tests of the async contract call, by path.
struct Waiting: RequestHandler {
    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        let context = requestContext
        let path = await context.variable("PATH_INFO") ?? ""
        let query = await context.variable("QUERY_STRING") ?? ""
        let number = Int(query.prefix { $0.isNumber }) ?? 0
        var sender = responseSender
        switch path {
        case "/hello":
            try await sender.sendAndFinish(plain, Array("Hello, world!\n".utf8))
        case "/sleep":
            try await Task.sleep(for: .milliseconds(number))
            try await sender.sendAndFinish(plain, Array("slept\n".utf8))
        case "/echo":
            // Full duplex: the answer goes out while the question comes in.
            var reader = reader
            var writer = try await sender.send(HTTPResponse(status: .ok))
            while let piece = try await reader.next() { try await writer.write(piece) }
            try await writer.finish()
        case "/events":
            var writer = try await sender.send(plain)
            for count in 0..<number {
                try await writer.write("event \(count)\n")
                try await Task.sleep(for: .milliseconds(20))
            }
            try await writer.finish(Array("end\n".utf8))
        default:
            try await sender.sendAndFinish(HTTPResponse(status: .notFound))
        }
    }
}

private let plain = HTTPResponse(status: .ok, headerFields: [.contentType: "text/plain"])

@c public func swiftgi_application() -> ApplicationTable { export(handler: Waiting()) }
