import HTTPTypes
import Logging
public import SwiftGICore

/// Gives the client a page where an application fails, and the server's log the reason.
///
/// An ``HTTPStatusError`` is answered with its status; any other error with 500. In production the page
/// says no more than that. In development it shows the error and the request; that tells strangers more
/// than is good, so it is to be asked for.
///
/// What `GatewayError` stands for is the server's: it has the status for it. Once bytes of the response were sent there
/// is no page: the error goes on to the server, which aborts the response.
public struct ErrorPages: CommonMiddleware {
    /// How much a page shows.
    public enum Style: Sendable {
        /// Status and request id.
        case production
        /// The error and the request.
        case development
    }

    private let style: Style

    /// Error pages.
    public init(_ style: Style = .production) { self.style = style }

    /// The application, its errors answered.
    public func wrap(_ application: @escaping Application) -> Application {
        { environ, startResponse in
            do {
                return try application(&environ, startResponse)
            } catch let error as GatewayError {
                throw error
            } catch {
                let answer = HTTPStatusError(answering: error)
                if answer.status.kind == .serverError {
                    environ.errors.write(
                        "\(environ.method) \(environ.requestURI) failed: \(String(describing: error))\n")
                }
                try startResponse(answer.status, answer.pageFields, error)
                let request = RequestDescription(
                    method: environ.method, target: environ.requestURI, id: environ.requestID,
                    fields: environ.headers, variables: style == .development ? environ.snapshot() : [:])
                return .bytes(Array(page(answer, error, request).utf8))
            }
        }
    }

    /// The handler, its errors answered.
    public func wrap(_ handler: any RequestHandler) -> any RequestHandler {
        ClosureHandler { request, context, reader, sender in
            let responder = sender.errorResponder
            do {
                try await handler.handle(
                    request: request, requestContext: context, reader: reader, responseSender: sender)
            } catch let error as GatewayError {
                throw error
            } catch {
                if error is CancellationError, Task.isCancelled { throw error }
                let answer = HTTPStatusError(answering: error)
                let variables = try await style == .development ? context.environ.variables : [:]
                let description = RequestDescription(
                    method: request.method.rawValue, target: request.path ?? "", id: await context.requestID,
                    fields: request.headerFields, variables: variables)
                let body = Array(page(answer, error, description).utf8)
                // Throws the error back where the response has begun: the server logs it then.
                try await responder.respond(
                    HTTPResponse(status: answer.status, headerFields: answer.pageFields), body, to: error)
                if answer.status.kind == .serverError {
                    context.logger.error(
                        "\(request.method) \(request.path ?? "") failed: \(String(describing: error))")
                }
            }
        }
    }

    private func page(_ answer: HTTPStatusError, _ error: any Error, _ request: RequestDescription) -> String {
        let title = "\(answer.status.code) \(answer.status.reasonPhrase)"
        let message = answer.message.isEmpty ? "" : "<p>\(escaped(answer.message))</p>\n"
        let reference = request.id.isEmpty ? "" : "<p>Request <code>\(escaped(request.id))</code></p>\n"
        let details = style == .development ? request.details(of: error) : ""
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head><meta charset="utf-8"><title>\(escaped(title))</title>
            <style>
            body { font: 1rem/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 60rem; padding: 0 1rem }
            h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
            pre { background: #f4f4f4; overflow: auto; padding: 1rem; white-space: pre-wrap }
            th { font-weight: normal; padding-right: 1rem; text-align: left; vertical-align: top }
            td, th { border-bottom: 1px solid #ddd; font-family: monospace; overflow-wrap: anywhere }
            </style></head>
            <body>
            <h1>\(escaped(title))</h1>
            \(message)\(reference)\(details)</body>
            </html>

            """
    }
}

/// What a page shows of a request.
private struct RequestDescription {
    let method: String
    let target: String
    let id: String
    let fields: HTTPFields
    let variables: [String: String]

    func details(of error: any Error) -> String {
        let fields = fields.map { ($0.name.rawName, Self.shown($0.value, of: $0.name.rawName)) }
        let variables = variables.map { ($0.key, Self.shown($0.value, of: $0.key)) }.sorted { $0.0 < $1.0 }
        return """
            <h2>Error</h2>
            <p><code>\(escaped("\(type(of: error))"))</code></p>
            <pre>\(escaped("\(error)"))</pre>
            <h2>Request</h2>
            <pre>\(escaped("\(method) \(target)"))</pre>
            \(Self.table(fields))<h2>Variables</h2>
            \(Self.table(variables))
            """
    }

    private static func table(_ rows: [(String, String)]) -> String {
        "<table>\n" + rows.map { "<tr><th>\(escaped($0.0))</th><td>\(escaped($0.1))</td></tr>\n" }.joined()
            + "</table>\n"
    }

    /// Passwords and tokens do not belong on a screen, nor into what is pasted from one.
    private static func shown(_ value: String, of name: String) -> String {
        let name = name.lowercased()
        let isSecret = ["authorization", "cookie", "password", "secret", "token", "key"].contains { name.contains($0) }
        return isSecret ? "(not shown)" : value
    }
}

extension HTTPStatusError {
    /// How an error is answered.
    fileprivate init(answering error: any Error) {
        if let error = error as? HTTPStatusError, [.clientError, .serverError].contains(error.status.kind) {
            self = error
        } else {
            self.init(.internalServerError)
        }
    }

    fileprivate var pageFields: HTTPFields {
        var fields = headers
        fields[.contentType] = "text/html; charset=utf-8"
        fields[.cacheControl] = "no-store"
        return fields
    }
}

/// Text as the content of an element or an attribute.
private func escaped(_ text: String) -> String {
    var result = ""
    result.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
        switch scalar {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        case "'": result += "&#39;"
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result
}
