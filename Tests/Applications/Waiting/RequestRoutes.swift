import SwiftGI

/// What is made of the body of the request.
let requestRoutes: [String: Route] = [
    "/collect": { call, reader, sender in
        let bytes = try await reader.collect(upTo: call.number("limit", 1_000_000))
        try await sender.sendAndFinish(plain, bytes)
    },
    // Full duplex: the answer goes out while the question comes in.
    "/echo": { _, reader, sender in
        var reader = reader
        var writer = try await sender.send(HTTPResponse(status: .ok))
        while let piece = try await reader.next() { try await writer.write(piece) }
        try await writer.finish()
    },
    // How many bytes came, and whether they are those of `/bytes`.
    "/count": { call, reader, sender in
        var reader = reader
        var count = 0
        var isIntact = true
        while let piece = try await reader.next() {
            if count == 0 { call.journal("first piece") }
            for byte in piece {
                if byte != UInt8(count % 251) { isIntact = false }
                count += 1
            }
        }
        try await sender.sendAndFinish(plain, Array("\(count) \(isIntact ? "intact" : "damaged")\n".utf8))
    },
    "/request-trailers": { _, reader, sender in
        var reader = reader
        let before = try await reader.trailers
        while try await reader.next() != nil {}
        let lines = try await reader.trailers.map { "\($0.name.rawName)=\($0.value)\n" }
        try await sender.sendAndFinish(plain, Array("\(before.count) before\n\(lines.joined())".utf8))
    },
    // What reading comes to when the client does not go on.
    "/await-body": { call, reader, sender in
        var reader = reader
        do {
            call.journal("waiting")
            while try await reader.next() != nil {}
            try await sender.sendAndFinish(plain, Array("read\n".utf8))
        } catch {
            call.journal("reading failed: \(error)")
            throw error
        }
    },
]
