import SwiftGI
import Synchronization

/// Responses: whole, in pieces, with all that may surround them.
let responseRoutes: [String: Route] = [
    "/hello": { _, _, sender in
        try await sender.sendAndFinish(plain, Array("Hello, world!\n".utf8))
    },
    // Nothing is sent before the wait.
    "/sleep": { call, _, sender in
        try await Task.sleep(for: .milliseconds(call.number("ms", 1)))
        try await sender.sendAndFinish(plain, Array("slept\n".utf8))
    },
    "/gate": { call, _, sender in
        call.journal("waiting")
        try await call.passGate()
        try await sender.sendAndFinish(plain, Array("passed\n".utf8))
    },
    // The wait is in the middle of the response.
    "/events": { call, _, sender in
        var writer = try await sender.send(plain)
        for count in 0..<call.number("count", 3) {
            try await writer.write("event \(count)\n")
            try await Task.sleep(for: .milliseconds(call.number("ms", 1)))
        }
        try await writer.finish(Array("end\n".utf8))
    },
    "/gate-midway": { call, _, sender in
        var writer = try await sender.send(plain)
        try await writer.write("before\n")
        call.journal("waiting")
        try await call.passGate()
        try await writer.finish(Array("after\n".utf8))
    },
    "/hints": { call, _, sender in
        var sender = sender
        let link = fields("Link", "</style.css>; rel=preload")
        try await sender.sendInformational(HTTPResponse(status: .init(code: 103), headerFields: link))
        call.journal("waiting")
        try await call.passGate()
        try await sender.sendAndFinish(plain, Array("hinted\n".utf8))
    },
    "/trailers": { _, _, sender in
        var writer = try await sender.send(plain)
        try await writer.write("body\n")
        try await writer.finish(trailers: fields("X-Checksum", "42"))
    },
    // Byte n of the body is n modulo 251.
    "/bytes": { call, _, sender in
        let count = call.number("count")
        var response = plain
        if call["length"] != nil { response.headerFields[.contentLength] = "\(count)" }
        var writer = try await sender.send(response)
        var offset = 0
        while offset < count {
            let size = min(count - offset, call.number("piece", 40_000))
            try await writer.write((offset..<offset + size).map { UInt8($0 % 251) })
            offset += size
        }
        try await writer.finish()
    },
    // Never comes to an end; `/accepted` tells how much was taken of it.
    "/endless": { call, _, sender in
        var writer = try await sender.send(plain)
        let piece = [UInt8](repeating: 0x78, count: 32768)
        do {
            while true {
                try await writer.write(piece)
                accepted.withLock { $0 += piece.count }
            }
        } catch {
            call.journal("endless ended: \(error)")
            throw error
        }
    },
    "/accepted": { _, _, sender in
        let count = accepted.withLock { $0 }
        try await sender.sendAndFinish(plain, Array("\(count)".utf8))
    },
]

private let accepted = Mutex(0)

private func fields(_ name: String, _ value: String) -> HTTPFields {
    guard let name = HTTPField.Name(name) else { return [:] }
    return HTTPFields([HTTPField(name: name, value: value)])
}
