import HTTPTypes
public import SwiftGICore

/// Several applications under one: each at a path of its own, which it sees as the end of its
/// `SCRIPT_NAME`.
///
/// ```swift
/// let site = Mount(["/blog": blog, "/shop": shop]).application
/// ```
///
/// The longest path that a request's `PATH_INFO` begins with, at a slash or its end, decides. A path of
/// `""` takes what no other takes; without one that is answered 404.
public struct Mount: Sendable {
    /// What is at a path.
    private let places: [(path: String, entry: Entry)]

    private enum Entry: Sendable {
        case application(Application)
        case handler(any RequestHandler)

        var application: Application {
            switch self {
            case .application(let application): application
            case .handler(let handler): handler.application
            }
        }

        var handler: any RequestHandler {
            switch self {
            case .application(let application): GatewayHandler(application)
            case .handler(let handler): handler
            }
        }
    }

    private init(_ places: [(String, Entry)]) {
        let places = places.map { (path: Self.trimmed($0.0), entry: $0.1) }
        self.places = places.sorted { $0.path.utf8.count > $1.path.utf8.count }
    }

    /// Applications by their paths, which begin with a slash.
    public init(_ applications: [String: Application]) {
        self.init(applications.map { ($0.key, Entry.application($0.value)) })
    }

    /// Handlers by their paths.
    public init(handlers: [String: any RequestHandler]) {
        self.init(handlers.map { ($0.key, Entry.handler($0.value)) })
    }

    /// These as well as those, for a site of both contracts.
    public func adding(_ other: Mount) -> Mount {
        Mount((places + other.places).map { ($0.path, $0.entry) })
    }

    private static func trimmed(_ path: String) -> String {
        path.hasSuffix("/") ? String(path.dropLast()) : path
    }

    private func place(of pathInfo: String) -> (path: String, entry: Entry)? {
        places.first { place in
            pathInfo.utf8.starts(with: place.path.utf8)
                && [nil, UInt8(ascii: "/")].contains(pathInfo.utf8.dropFirst(place.path.utf8.count).first)
        }
    }

    private static let notFound = "Not found\n"

    /// All of them as one application. Handlers run as ``RequestHandler/application`` does.
    public var application: Application {
        { environ, startResponse in
            let rest = environ.pathInfo
            guard let (path, entry) = place(of: rest) else {
                try startResponse(.notFound, [.contentType: "text/plain"], nil)
                return .string(Self.notFound)
            }
            environ.scriptName += path
            environ.pathInfo = String(Substring(rest.utf8.dropFirst(path.utf8.count)))
            return try entry.application(&environ, startResponse)
        }
    }

    /// All of them as one handler. Applications run as ``GatewayHandler`` runs them.
    public var handler: any RequestHandler {
        ClosureHandler { request, context, reader, sender in
            let rest = await context.variable("PATH_INFO") ?? ""
            guard let (path, entry) = place(of: rest) else {
                return try await sender.sendAndFinish(
                    HTTPResponse(status: .notFound, headerFields: [.contentType: "text/plain"]),
                    Array(Self.notFound.utf8))
            }
            var context = context
            let scriptName = await context.variable("SCRIPT_NAME") ?? ""
            context.setVariable("SCRIPT_NAME", to: scriptName + path)
            context.setVariable("PATH_INFO", to: String(Substring(rest.utf8.dropFirst(path.utf8.count))))
            try await entry.handler.handle(
                request: request, requestContext: context, reader: reader, responseSender: sender)
        }
    }
}
