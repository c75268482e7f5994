import CZlib
import Glibc
import SwiftGI

/// The benchmark's answers by an application of the gateway contract.
let bench: Application = { environ, startResponse in
    let path = environ.pathInfo
    switch path {
    case "/environ":
        var text = ""
        for name in names {
            text += name
            text += "="
            text += environ[name] ?? ""
            text += "\n"
        }
        try startResponse(.ok, plain, nil)
        return .string(text)
    case "/json":
        try startResponse(.ok, [.contentType: "application/json"], nil)
        return .bytes(Bodies.json)
    case "/down":
        try startResponse(.ok, binary, nil)
        return .bytes(Bodies.megabyte)
    case "/up":
        var sum = adler32(0, nil, 0)
        while let piece = try environ.input.next() { sum = adler32(sum, piece, UInt32(piece.count)) }
        try startResponse(.ok, plain, nil)
        return .string(hexadecimal(sum) + "\n")
    case "/file":
        let body = try Body.file(path: Bodies.path("app/file"))
        try startResponse(.ok, binary, nil)
        return body
    case "/stream":
        try startResponse(.ok, plain, nil)
        return .push { writer in
            for _ in 0..<1000 { try writer.write(chunk) }
        }
    case "/wait":
        usleep(50_000)
        return try hello(&environ, startResponse)
    default:
        if path.hasPrefix("/body/"), let body = Bodies.sizes[path.dropFirst(6)] {
            try startResponse(.ok, binary, nil)
            return .bytes(body)
        }
        if path.hasPrefix("/depth/"), let layered = depths[path.dropFirst(7)] {
            return try layered(&environ, startResponse)
        }
        try startResponse(.notFound, [:], nil)
        return .empty
    }
}

@c public func swiftgi_application() -> ApplicationTable { export(bench) }

private let plain: HTTPFields = [.contentType: "text/plain"]
private let binary: HTTPFields = [.contentType: "application/octet-stream"]
private let chunk = Array("0123456789abcde\n".utf8)
private let names = [
    "REQUEST_METHOD", "REQUEST_URI", "QUERY_STRING", "SERVER_NAME", "SERVER_PROTOCOL", "REMOTE_ADDR", "HTTP_HOST",
    "HTTP_USER_AGENT", "HTTP_ACCEPT", "HTTP_COOKIE",
]

private let hello: Application = { environ, startResponse in
    try startResponse(.ok, plain, nil)
    return .string("Hello, world!\n")
}

/// Middleware that looks at the request and passes the head on.
private let layer: Middleware = { application in
    { environ, startResponse in
        if environ.method == "TRACE" {
            try startResponse(.methodNotAllowed, [:], nil)
            return .empty
        }
        return try application(&environ) { status, headers, error in try startResponse(status, headers, error) }
    }
}

/// `hello` behind so many layers.
private let depths: [Substring: Application] = {
    var depths: [Substring: Application] = [:]
    var application = hello
    for depth in 0...20 {
        depths["\(depth)"] = application
        application = layer(application)
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
