import Glibc
import SwiftGI

struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// What an application should not do, and what befalls it.
let failureRoutes: [String: Application] = [
    "/throw-early": { _, _ in throw Failure("thrown early") },
    "/throw-started": { _, startResponse in
        try startResponse(.ok, text, nil)
        throw Failure("thrown after startResponse")
    },
    "/throw-body": { _, startResponse in
        try startResponse(.ok, text, nil)
        return .pull { throw Failure("thrown before the first piece") }
    },
    "/throw-late": { environ, startResponse in
        var fields = text
        if Query(environ)["length"] == "yes" { fields[.contentLength] = "1000" }
        try startResponse(.ok, fields, nil)
        return .push { writer in
            try writer.write("a part\n")
            throw Failure("thrown late")
        }
    },
    "/short": { _, startResponse in
        try startResponse(.ok, [.contentType: "text/plain", .contentLength: "10"], nil)
        return .string("short")
    },
    "/long": { _, startResponse in
        try startResponse(.ok, [.contentType: "text/plain", .contentLength: "4"], nil)
        return .string("longer")
    },
    "/bad-status": { environ, startResponse in
        try startResponse(.init(code: Query(environ).number("code", 700)), text, nil)
        return .empty
    },
    "/bad-field": { environ, startResponse in
        let query = Query(environ)
        try startResponse(.ok, [HTTPField.Name(query["name"] ?? "Connection")!: query["value"] ?? "close"], nil)
        return .string("accepted\n")
    },
    "/start-twice": { _, startResponse in
        try startResponse(.ok, text, nil)
        try startResponse(.ok, text, nil)
        return .empty
    },
    "/never-started": { _, _ in .string("no head\n") },
    "/trap": { environ, _ in
        switch Query(environ)["kind"] {
        case "bounds": trapOutOfBounds([1, 2, 3], at: environ.queryString.utf8.count)
        case "unwrap": trapUnwrapping(environ["NO_SUCH_VARIABLE"])
        case "abort": abort()
        case "segv": raise(SIGSEGV)
        case "exit": exit(3)
        default: fatalError("trapped on purpose")
        }
        return .empty
    },
    // Traps behind the first piece of the body.
    "/trap-late": { _, startResponse in
        try startResponse(.ok, text, nil)
        return .push { writer in
            try writer.write("a part\n")
            trapUnwrapping(nil)
        }
    },
    // Writes until the client is gone, and says how it ended.
    "/client-gone": { environ, startResponse in
        let query = Query(environ)
        var fields = text
        if let tag = query["etag"] { fields[.eTag] = "\"\(tag)\"" }
        try startResponse(HTTPResponse.Status(code: query.number("code", 200)), fields, nil)
        let errors = environ.errors
        environ.onFinish { errors.write("finished\n") }
        return Body.push { writer in
            let piece = pattern(0, 16384)
            do {
                while true { try writer.write(piece) }
            } catch {
                errors.write("writing failed: \(error)\n")
                throw error
            }
        }.onClose { errors.write("closed\n") }
    },
    // Asks for the client until it is gone.
    "/watch-client": { environ, startResponse in
        environ.errors.write("watching\n")
        var gone = false
        for _ in 0..<2000 where !gone {
            gone = environ.isClientGone
            if !gone { usleep(10_000) }
        }
        environ.errors.write(gone ? "client is gone\n" : "client is still here\n")
        try startResponse(.ok, text, nil)
        return .string("watched\n")
    },
]

// Named functions, so that a backtrace can name them.

@inline(never) func trapOutOfBounds(_ numbers: [Int], at index: Int) {
    print(numbers[index])
}

@inline(never) func trapUnwrapping(_ text: String?) {
    print(text!)
}
