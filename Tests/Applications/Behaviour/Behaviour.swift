import SwiftGI

/// One application for the integration tests: PATH_INFO picks what it does.
let behaviour: Application = { environ, startResponse in
    let path = environ.pathInfo
    guard let route = routes[path] else {
        try startResponse(path.isEmpty || path == "/" ? .ok : .notFound, text, nil)
        return .string("behaviour\n")
    }
    return try route(&environ, startResponse)
}

@c public func swiftgi_application() -> ApplicationTable { export(behaviour) }

let text: HTTPFields = [.contentType: "text/plain"]

private let routes = requestRoutes.merging(responseRoutes) { $1 }.merging(failureRoutes) { $1 }
    .merging(processRoutes) { $1 }

/// The parameters of a query, without percent decoding: tests send none that need it.
struct Query {
    private let values: [Substring: Substring]

    init(_ environ: borrowing Environ) {
        let pairs = environ.queryString.split(separator: "&").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (parts[0], parts.count > 1 ? parts[1] : "")
        }
        values = Dictionary(pairs) { $1 }
    }

    subscript(name: Substring) -> String? { values[name].map { String($0) } }

    func number(_ name: Substring, _ fallback: Int = 0) -> Int { self[name].flatMap { Int($0) } ?? fallback }
}

/// A piece of the pattern that large bodies are made of: byte n of the body is n modulo 251.
func pattern(_ offset: Int, _ count: Int) -> [UInt8] {
    let start = offset % 251
    return Array(patternSource[start..<start + count])
}

let patternPiece = 65536
private let patternSource: [UInt8] = (0..<(patternPiece + 251)).map { UInt8($0 % 251) }
