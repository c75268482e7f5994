import Glibc
import SwiftGI

/// Kinds of responses that are as they should be.
let responseRoutes: [String: Application] = [
    "/hello": { _, startResponse in
        try startResponse(.ok, text, nil)
        return .string("Hello, world!\n")
    },
    "/method": { environ, startResponse in
        try startResponse(.ok, [.contentType: "text/plain", .init("X-Method")!: environ.method], nil)
        return .string("method\n")
    },
    "/status": { environ, startResponse in
        let query = Query(environ)
        let status = HTTPResponse.Status(code: query.number("code", 200), reasonPhrase: query["reason"] ?? "")
        try startResponse(status, text, nil)
        return query["body"].map { .string($0) } ?? .empty
    },
    "/set-cookie": { _, startResponse in
        var fields = text
        fields.append(HTTPField(name: .setCookie, value: "a=1"))
        fields.append(HTTPField(name: .setCookie, value: "b=2"))
        try startResponse(.ok, fields, nil)
        return .string("cookies\n")
    },
    "/field": { environ, startResponse in
        let query = Query(environ)
        var fields = text
        fields[HTTPField.Name(query["name"] ?? "X-Field")!] = String(
            repeating: query["value"] ?? "x", count: query.number("repeat", 1))
        try startResponse(.ok, fields, nil)
        return .string("field\n")
    },
    "/redirect": { environ, startResponse in
        try startResponse(.found, [.location: Query(environ)["to"] ?? "/"], nil)
        return .empty
    },
    "/unauthorized": { _, startResponse in
        try startResponse(
            .unauthorized, [.wwwAuthenticate: "Basic realm=\"behaviour\"", .contentType: "text/plain"], nil)
        return .string("who are you?\n")
    },
    "/chunks": { _, startResponse in
        try startResponse(.ok, text, nil)
        return .chunks([Array("one\n".utf8), [], Array("two\n".utf8)])
    },
    "/push": { environ, startResponse in
        let pieces = Query(environ).number("pieces", 3)
        try startResponse(.ok, text, nil)
        return .push { writer in
            for number in 0..<pieces { try writer.write("piece \(number)\n") }
        }
    },
    // The second piece is made only when the file `path` is there.
    "/gated": { environ, startResponse in
        let path = Query(environ)["path"] ?? ""
        try startResponse(.ok, text, nil)
        return .push { writer in
            try writer.write("first\n")
            let there = eventually { access(path, F_OK) == 0 }
            try writer.write(there ? "second\n" : "too late\n")
        }
    },
    // `bytes` of the pattern, each piece when it is asked for.
    "/big": { environ, startResponse in
        let query = Query(environ)
        let total = query.number("bytes")
        var sent = 0
        var fields: HTTPFields = [.contentType: "application/octet-stream"]
        if query["length"] == "yes" { fields[.contentLength] = "\(total)" }
        try startResponse(.ok, fields, nil)
        return .pull {
            if sent == total { return nil }
            let piece = pattern(sent, min(patternPiece, total - sent))
            sent += piece.count
            return piece
        }
    },
    "/slow-drip": { environ, startResponse in
        let query = Query(environ)
        var left = query.number("count", 10)
        let pause = query.number("ms", 10)
        try startResponse(.ok, text, nil)
        return .pull {
            if left == 0 { return nil }
            left -= 1
            usleep(UInt32(pause * 1000))
            return Array("drip\n".utf8)
        }
    },
    "/sleep": { environ, startResponse in
        usleep(UInt32(Query(environ).number("ms", 0) * 1000))
        try startResponse(.ok, text, nil)
        return .string("slept\n")
    },
    // Waits for the file `path`, so that a test decides how long a request lasts.
    "/wait-for": { environ, startResponse in
        let path = Query(environ)["path"] ?? ""
        environ.errors.write("waiting for \(path)\n")
        let there = eventually { access(path, F_OK) == 0 }
        try startResponse(there ? .ok : .gatewayTimeout, text, nil)
        return .string("waited\n")
    },
    "/file": { environ, startResponse in
        let query = Query(environ)
        var fields: HTTPFields = [.contentType: "application/octet-stream"]
        if let tag = query["etag"] { fields[.eTag] = "\"\(tag)\"" }
        if let ranges = query["ranges"] { fields[.acceptRanges] = ranges }
        if let date = query["modified"] { fields[.lastModified] = date.split(separator: "+").joined(separator: " ") }
        let descriptor = open(query["path"] ?? "", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            try startResponse(.notFound, text, nil)
            return .string("no such file\n")
        }
        if let length = query["declared"] { fields[.contentLength] = length }
        try startResponse(.ok, fields, nil)
        let body = Body.file(
            descriptor: descriptor, offset: query["offset"].flatMap { Int64($0) },
            length: query["length"].flatMap { Int64($0) }, closing: query["keep"] == nil)
        guard query["keep"] != nil else { return body }
        return body.onClose { close(descriptor) }
    },
    // A body out of a pipe: no regular file.
    "/pipe": { _, startResponse in
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw Failure("pipe") }
        _ = write(ends[1], "through a pipe\n", 15)
        close(ends[1])
        try startResponse(.ok, text, nil)
        return .file(descriptor: ends[0])
    },
    "/replace": { _, startResponse in
        try startResponse(.ok, [.contentType: "text/html", .init("X-First")!: "yes"], nil)
        try startResponse(.serviceUnavailable, text, Failure("replaced"))
        return .string("replaced\n")
    },
]

/// Polls a condition for at most 20 seconds.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<2000 {
        if condition() { return true }
        usleep(10_000)
    }
    return false
}
