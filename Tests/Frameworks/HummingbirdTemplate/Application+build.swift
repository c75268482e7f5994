import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Synchronization

/// An application of Hummingbird as its authors would write it: nothing here knows of SwiftGI.
///
/// - Parameters:
///   - address: Where its own server listens.
///   - directory: Where uploads go.
public func buildApplication(
    address: BindAddress = .hostname("127.0.0.1", port: 8080), directory: String
) async throws -> some ApplicationProtocol {
    let heart = Heart()
    var application = Application(
        router: buildRouter(directory: directory, heart: heart),
        configuration: .init(address: address, serverName: "Hummingbird"), services: [heart, Stubborn()],
        logger: Logger(label: "template"))
    application.beforeServerStarts {
        try await heart.waitUntilBeating()
        Logger(label: "template").info("about to start")
    }
    return application
}

private func buildRouter(directory: String, heart: Heart) -> Router<TemplateContext> {
    let router = Router(context: TemplateContext.self, options: .autoGenerateHeadEndpoints)
    router.addMiddleware {
        LogRequestsMiddleware(.debug)
        ResponseHeader()
    }
    router.get("/") { _, _ in "Hello!\n" }
    router.get("health") { _, _ in HTTPResponse.Status.ok }
    router.get("heart") { _, _ in "\(heart.isBeating)\n" }
    router.get("hello/:name") { _, context in
        try "Hello, \(context.parameters.require("name"))!\n"
    }
    router.get("number/:number") { _, context in
        try "\(context.parameters.require("number", as: Int.self) + 1)\n"
    }
    router.get("query") { request, _ in
        "\(request.uri.queryParameters.get("name") ?? "nobody"), \(request.uri.queryParameters.getAll("n").joined(separator: "+"))\n"
    }
    router.get("files/**") { _, context in "\(context.parameters.getCatchAll().joined(separator: "|"))\n" }
    router.get("address") { _, context in "\(context.remoteAddress ?? "unknown")\n" }
    router.get("task-local") { _, _ in "\(Logger.current[metadataKey: "hb.request.id"] == nil ? "no" : "an") id\n" }
    addJSON(router)
    addStreams(router)
    addFiles(router, directory)
    addErrors(router)
    router.group("private").add(middleware: BasicAuthentication()).get("name") { _, context in
        "\(context.user ?? "nobody")\n"
    }
    return router
}

private struct Item: ResponseCodable {
    var id: Int
    var title: String
    var tags: [String]?
}

private func addJSON(_ router: Router<TemplateContext>) {
    router.get("items/:id") { _, context in
        Item(id: try context.parameters.require("id", as: Int.self), title: "Müsli \"crisp\"", tags: ["a", "b"])
    }
    router.post("items") { request, context in
        var item = try await request.decode(as: Item.self, context: context)
        item.id += 1
        return EditedResponse(status: .created, headers: [.location: "/items/\(item.id)"], response: item)
    }
    router.delete("items/:id") { _, _ in HTTPResponse.Status.noContent }
}

private func addStreams(_ router: Router<TemplateContext>) {
    router.get("stream/:count") { _, context in
        let count = try context.parameters.require("count", as: Int.self)
        return Response(
            status: .ok, headers: [.contentType: "text/plain"],
            body: ResponseBody { writer in
                for number in 0..<count {
                    try await writer.write(ByteBuffer(string: "line \(number)\n"))
                    if number % 100 == 50 { await Task.yield() }
                }
                try await writer.finish(nil)
            })
    }
    router.get("endless") { _, _ in
        Response(
            status: .ok,
            body: ResponseBody { writer in
                let piece = ByteBuffer(repeating: 0x78, count: 50_000)
                while !Task.isCancelled { try await writer.write(piece) }
                try await writer.finish(nil)
            })
    }
    router.get("known") { _, _ in
        Response(
            status: .ok, headers: [.contentType: "text/plain"],
            body: ResponseBody(contentLength: 12) { writer in
                try await writer.write(ByteBuffer(string: "Hello "))
                try await Task.sleep(for: .milliseconds(1))
                try await writer.write(ByteBuffer(string: "world\n"))
                try await writer.finish(nil)
            })
    }
    // Both directions at once: what comes is sent back piece by piece.
    router.post("echo") { request, _ in
        Response(
            status: .ok, headers: [.contentType: request.headers[.contentType] ?? "application/octet-stream"],
            body: ResponseBody(asyncSequence: request.body))
    }
    router.post("count") { request, _ in
        var count = 0
        for try await piece in request.body { count += piece.readableBytes }
        return "\(count) bytes\n"
    }
    router.post("collect") { request, _ in
        var request = request
        let body = try await request.collectBody(upTo: 1000)
        return "\(body.readableBytes) bytes\n"
    }
    // What ends the process when the body is not one of NIO's channels.
    router.get("events") { request, _ in
        Response(
            status: .ok, headers: [.contentType: "text/event-stream"],
            body: ResponseBody { writer in
                let ticks = AsyncStream<Int> { continuation in
                    for tick in 1...3 { continuation.yield(tick) }
                    continuation.finish()
                }
                let collected = try await request.body.consumeWithCancellationOnInboundClose { _ in
                    var all: [Int] = []
                    for await tick in ticks { all.append(tick) }
                    return all
                }
                for tick in collected { try await writer.write(ByteBuffer(string: "data: \(tick)\n\n")) }
                try await writer.finish(nil)
            })
    }
    router.get("wait-for-close") { request, context in
        Response(
            status: .ok, headers: [.contentType: "text/event-stream"],
            body: ResponseBody { writer in
                try await writer.write(ByteBuffer(string: "data: begin\n\n"))
                do {
                    try await request.body.consumeWithCancellationOnInboundClose { _ in
                        try await Task.sleep(for: .seconds(600))
                    }
                } catch {
                    context.logger.notice("closed while waiting")
                    throw error
                }
                try await writer.finish(nil)
            })
    }
}

private func addFiles(_ router: Router<TemplateContext>, _ directory: String) {
    let files = FileIO()
    router.put("upload/:name") { request, context in
        let name = try context.parameters.require("name")
        guard name.allSatisfy({ $0.isLetter || $0.isNumber }) else { throw HTTPError(.badRequest, message: "bad name") }
        try await files.writeFile(contents: request.body, path: "\(directory)/\(name)", context: context)
        return HTTPResponse.Status.created
    }
    router.get("upload/:name") { _, context in
        let name = try context.parameters.require("name")
        guard name.allSatisfy({ $0.isLetter || $0.isNumber }) else { throw HTTPError(.badRequest, message: "bad name") }
        let body = try await files.loadFile(path: "\(directory)/\(name)", context: context)
        return Response(status: .ok, headers: [.contentType: "application/octet-stream"], body: body)
    }
}

private struct Failure: Error {}

private func addErrors(_ router: Router<TemplateContext>) {
    router.get("conflict") { _, _ -> String in throw HTTPError(.conflict, message: "It is there already.") }
    router.get("failure") { _, _ -> String in throw Failure() }
    router.get("late-failure") { _, _ in
        Response(
            status: .ok, headers: [.contentType: "text/plain"],
            body: ResponseBody { writer in
                try await writer.write(ByteBuffer(string: "begin\n"))
                throw Failure()
            })
    }
}

// MARK: What an application has besides

struct TemplateContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    var user: String?
    let remoteAddress: String?

    init(source: Source) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress?.ipAddress
    }
}

private struct ResponseHeader: RouterMiddleware {
    func handle(
        _ request: Request, context: TemplateContext, next: (Request, TemplateContext) async throws -> Response
    ) async throws -> Response {
        var response = try await next(request, context)
        if let name = HTTPField.Name("X-Template") { response.headers[name] = "1" }
        return response
    }
}

private struct BasicAuthentication: RouterMiddleware {
    func handle(
        _ request: Request, context: TemplateContext, next: (Request, TemplateContext) async throws -> Response
    ) async throws -> Response {
        // user:secret
        guard request.headers[.authorization] == "Basic dXNlcjpzZWNyZXQ=" else {
            throw HTTPError(.unauthorized, headers: [.wwwAuthenticate: "Basic realm=\"template\""])
        }
        var context = context
        context.user = "user"
        return try await next(request, context)
    }
}

/// A service that runs beside the requests.
final class Heart: Sendable {
    private let state = Mutex(false)

    var isBeating: Bool { state.withLock { $0 } }

    func waitUntilBeating() async throws {
        while !isBeating { try await Task.sleep(for: .milliseconds(1)) }
    }

    func set(_ isBeating: Bool) { state.withLock { $0 = isBeating } }
}
