import HTTPTypes
package import SwiftGICore

/// The applications of all cases, each below `/<rule>/<name>`, and their journals below
/// `/journal/`.
package let conformanceApplication: Application = { environ, startResponse in
    let path = environ.pathInfo
    if path.hasPrefix("/journal/") {
        try startResponse(.ok, [.contentType: "text/plain; charset=utf-8"], nil)
        return .bytes(try Journal(environ, token: String(path.dropFirst("/journal/".count))).read())
    }
    let segments = path.split(separator: "/", maxSplits: 2)
    guard segments.count > 1, let application = applications["\(segments[0])/\(segments[1])"] else {
        try startResponse(.notFound, [.contentType: "text/plain; charset=utf-8"], nil)
        return .string("No case here.\n")
    }
    return try application(&environ, startResponse)
}

private let applications = Dictionary(
    conformanceCases().compactMap { conformanceCase in
        if case .application(let application) = conformanceCase.entry {
            (conformanceCase.name, application)
        } else {
            nil
        }
    }, uniquingKeysWith: { first, _ in first })
