import SwiftGI

/// What shows the request as the application sees it.
let requestRoutes: [String: Application] = [
    "/variables": { environ, startResponse in
        try startResponse(.ok, text, nil)
        return .string(environ.snapshot().map { "\($0)=\($1)\n" }.sorted().joined())
    },
    "/variable": { environ, startResponse in
        let bytes: [UInt8]? = environ.withBytes(environ.queryString) { value in
            guard let value else { return nil }
            return value.indices.map { value[$0] }
        }
        try startResponse(bytes == nil ? .notFound : .ok, [.contentType: "application/octet-stream"], nil)
        return .bytes(bytes ?? [])
    },
    "/headers": { environ, startResponse in
        try startResponse(.ok, text, nil)
        return .string(environ.headers.map { "\($0.name.rawName): \($0.value)\n" }.joined())
    },
    "/traits": { environ, startResponse in
        try startResponse(.ok, text, nil)
        return .string(
            """
            multithread=\(environ.multithread)
            multiprocess=\(environ.multiprocess)
            run_once=\(environ.runOnce)
            server=\(environ.server)
            version=\(environ.version)
            url_scheme=\(environ.urlScheme)
            request_id=\(environ.requestID)

            """)
    },
    // Reads and writes piece by piece.
    "/echo": { environ, startResponse in
        try startResponse(.ok, [.contentType: environ.contentType ?? "application/octet-stream"], nil)
        let input = environ.input
        return .push { writer in
            while let piece = try input.next() { try writer.write(piece) }
        }
    },
    "/collect": { environ, startResponse in
        let query = Query(environ)
        let bytes = try environ.input.collect(upTo: query.number("limit", 1 << 20))
        try startResponse(.ok, [.contentType: "application/octet-stream"], nil)
        return .bytes(bytes)
    },
    // How many bytes there are, and whether they are the pattern's.
    "/count": { environ, startResponse in
        var count = 0
        var intact = true
        while let piece = try environ.input.next() {
            if intact, piece != pattern(count, piece.count) { intact = false }
            count += piece.count
        }
        try startResponse(.ok, text, nil)
        return .string("\(count) \(intact ? "intact" : "changed")\n")
    },
    "/lines": { environ, startResponse in
        var lines: [Int] = []
        try environ.input.forEachLine(upTo: Query(environ).number("limit", 1 << 20)) { lines.append($0.count) }
        try startResponse(.ok, text, nil)
        return .string(lines.map { "\($0)" }.joined(separator: " ") + "\n")
    },
    "/read-some": { environ, startResponse in
        let bytes = try environ.input.read(upTo: Query(environ).number("bytes", 1))
        try startResponse(.ok, [.contentType: "application/octet-stream"], nil)
        return .bytes(bytes)
    },
    "/unread": { _, startResponse in
        try startResponse(.ok, text, nil)
        return .string("unread\n")
    },
    // Answers first and reads the body while it is sent.
    "/read-after": { environ, startResponse in
        try startResponse(.ok, text, nil)
        let input = environ.input
        return .push { writer in
            try writer.write("before\n")
            var count = 0
            while let piece = try input.next() { count += piece.count }
            try writer.write("\(count)\n")
        }
    },
    // At its end a body stays at its end.
    "/read-at-end": { environ, startResponse in
        let all = try environ.input.collect(upTo: 1 << 20)
        let more = try (0..<3).map { _ in try environ.input.read().count }
        try startResponse(.ok, text, nil)
        return .string("\(all.count) \(more)\n")
    },
]
