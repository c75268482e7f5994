import CZlib
import Glibc
import SwiftGI

/// The benchmark's answers by a handler of the async contract.
struct AsyncBench: RequestHandler {
    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        let context = requestContext
        let path = await context.variable("PATH_INFO") ?? ""
        switch path {
        case "/environ":
            var text = ""
            for name in names {
                text += name
                text += "="
                text += await context.variable(name) ?? ""
                text += "\n"
            }
            try await responseSender.sendAndFinish(plain, Array(text.utf8))
        case "/json":
            let head = HTTPResponse(status: .ok, headerFields: [.contentType: "application/json"])
            try await responseSender.sendAndFinish(head, Bodies.json)
        case "/down":
            try await responseSender.sendAndFinish(binary, Bodies.megabyte)
        case "/up":
            var reader = reader
            var sum = adler32(0, nil, 0)
            while let piece = try await reader.next() { sum = adler32(sum, piece, UInt32(piece.count)) }
            try await responseSender.sendAndFinish(plain, Array((hexadecimal(sum) + "\n").utf8))
        case "/file":
            // Files are the gateway contract's: its bridge.
            try await GatewayHandler(file).handle(
                request: request, requestContext: context, reader: reader, responseSender: responseSender)
        case "/stream":
            var writer = try await responseSender.send(plain)
            for _ in 0..<1000 { try await writer.write(chunk) }
            try await writer.finish()
        case "/wait":
            try await Task.sleep(for: .milliseconds(50))
            try await responseSender.sendAndFinish(plain, hello)
        default:
            if path.hasPrefix("/body/"), let body = Bodies.sizes[path.dropFirst(6)] {
                try await responseSender.sendAndFinish(binary, body)
            } else if path.hasPrefix("/depth/"), let layered = depths[path.dropFirst(7)] {
                try await layered.handle(
                    request: request, requestContext: context, reader: reader, responseSender: responseSender)
            } else {
                try await responseSender.sendAndFinish(HTTPResponse(status: .notFound))
            }
        }
    }
}

@c public func swiftgi_application() -> ApplicationTable { export(handler: AsyncBench()) }

private let plain = HTTPResponse(status: .ok, headerFields: [.contentType: "text/plain"])
private let binary = HTTPResponse(status: .ok, headerFields: [.contentType: "application/octet-stream"])
private let hello = Array("Hello, world!\n".utf8)
private let chunk = Array("0123456789abcde\n".utf8)
private let names = [
    "REQUEST_METHOD", "REQUEST_URI", "QUERY_STRING", "SERVER_NAME", "SERVER_PROTOCOL", "REMOTE_ADDR", "HTTP_HOST",
    "HTTP_USER_AGENT", "HTTP_ACCEPT", "HTTP_COOKIE",
]

private let file: Application = { environ, startResponse in
    let body = try Body.file(path: Bodies.path("app/file"))
    try startResponse(.ok, [.contentType: "application/octet-stream"], nil)
    return body
}

private struct Hello: RequestHandler {
    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        try await responseSender.sendAndFinish(plain, hello)
    }
}

/// Middleware that looks at the request and passes it on.
private struct Layer: RequestHandler {
    let handler: any RequestHandler

    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        if request.method == .trace {
            return try await responseSender.sendAndFinish(HTTPResponse(status: .methodNotAllowed))
        }
        try await handler.handle(
            request: request, requestContext: requestContext, reader: reader, responseSender: responseSender)
    }
}

/// `Hello` behind so many layers.
private let depths: [Substring: any RequestHandler] = {
    var depths: [Substring: any RequestHandler] = [:]
    var handler: any RequestHandler = Hello()
    for depth in 0...20 {
        depths["\(depth)"] = handler
        handler = Layer(handler: handler)
    }
    return depths
}()

private func hexadecimal(_ sum: UInt) -> String {
    let digits = String(sum, radix: 16)
    return String(repeating: "0", count: max(0, 8 - digits.count)) + digits
}

/// Bodies that are made when they are first asked for.
private enum Bodies {
    static let json = read("app/json")
    static let megabyte = read("app/down")
    static let sizes: [Substring: [UInt8]] = {
        let sizes = [0, 1 << 10, 10 << 10, 100 << 10, 1 << 20, 10 << 20, 100 << 20]
        return Dictionary(uniqueKeysWithValues: sizes.map { ("\($0)", [UInt8](repeating: 0, count: $0)) })
    }()

    static func path(_ name: String) -> String {
        (getenv("BENCH_DATA").map { String(cString: $0) } ?? ".") + "/" + name
    }

    private static func read(_ name: String) -> [UInt8] {
        let file = open(path(name), O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return [] }
        defer { close(file) }
        let size = Int(lseek(file, 0, SEEK_END))
        return [UInt8](unsafeUninitializedCapacity: max(0, size)) { buffer, count in
            count = max(0, pread(file, buffer.baseAddress, buffer.count, 0))
        }
    }
}
