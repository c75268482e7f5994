import HTTPTypes
import SwiftGICore

private let allBytes: [UInt8] = (0..<4096).map { UInt8($0 & 0xFF) }
private let bytesHead = HTTPResponse(status: .ok, headerFields: [.contentType: "application/octet-stream"])
private let kinds = ["whole", "last", "written"]

/// The response's body, written by a handler: W29 to W31, W36 and W37.
let asyncBodyCases: [ConformanceCase] = [
    ConformanceCase(async: "W29", "A piece is sent before the next is made", at: "at-once") { _, _, sender in
        var writer = try await sender.send(textHead)
        try await writer.write("one")
        try await Task.sleep(for: .milliseconds(400))
        try await writer.write("two")
        try await Task.sleep(for: .milliseconds(400))
        try await writer.finish()
    } check: { session in
        let response = try await session.get()
        try response.requireText("onetwo")
        let first = response.arrivals.first { $0.count >= 3 }
        let last = response.arrivals.first { $0.count == 6 }
        guard let first, let last else { throw ConformanceFailure(description: "no arrivals") }
        try require(first.count == 3, "both pieces came together")
        try require(last.time - first.time > .milliseconds(200), "the first piece waited for the second")
    },

    ConformanceCase(async: "W29", "No piece waits for another, however many there are", at: "each") {
        _, reader, sender in
        var reader = reader
        var writer = try await sender.send(textHead)
        for number in 0..<20 {
            try await writer.write("\(number) ")
            try await waitForAnotherThread()
        }
        try await writer.finish(try await reader.next() ?? [])
    } check: { session in
        let response = try await session.post("end")
        try response.requireText((0..<20).map { "\($0) " }.joined() + "end")
        try require(response.arrivals.count > 5, "20 pieces came in \(response.arrivals.count)")
    },

    ConformanceCase(async: "W30", "Bytes arrive unaltered", at: "unaltered") { request, _, sender in
        let pieces = [allBytes, Array(allBytes.reversed()), [13, 10, 48, 13, 10, 13, 10], allBytes]
        try await send(await request.query, pieces, bytesHead, sender)
    } check: { session in
        let expected = allBytes + allBytes.reversed() + [13, 10, 48, 13, 10, 13, 10] + allBytes
        for kind in kinds {
            let response = try await session.get("?" + kind)
            try response.requireStatus(200)
            try require(response.body == expected, "\(kind): \(response.body.count) bytes that are not those sent")
        }
    },

    ConformanceCase(async: "W30", "A large body arrives whole", at: "large") { request, _, sender in
        let query = await request.query
        // Pieces of all sizes, those that have to be cut among them.
        let pieces =
            query == "uneven"
            ? [
                Array(repeating: allBytes, count: 500).flatMap { $0 },
                Array(repeating: allBytes, count: 12).flatMap { $0 },
            ]
            : Array(repeating: allBytes, count: 512)
        try await send(query, pieces, bytesHead, sender)
    } check: { session in
        for kind in kinds + ["uneven"] {
            let response = try await session.get("?" + kind)
            try response.requireStatus(200)
            try require(response.body.count, equals: 4096 * 512, "the length of \(kind)")
            let same = stride(from: 0, to: response.body.count, by: 4096).allSatisfy { start in
                Array(response.body[start..<start + 4096]) == allBytes
            }
            try require(same, "\(kind) was altered")
        }
    },

    ConformanceCase(async: "W30", "A large body comes back while it is sent", at: "echo") { _, reader, sender in
        var writer = try await sender.send(bytesHead)
        for try await piece in reader.sequence() { try await writer.write(piece) }
        try await writer.finish()
    } check: { session in
        var request = session.request("POST")
        request.pieces = Array(repeating: allBytes, count: 16)
        request.framing = .chunked
        let response = try await session.send(request)
        try response.requireStatus(200)
        try require(
            response.body == Array(request.pieces.joined()), "\(response.body.count) bytes that are not those sent")
    },

    ConformanceCase(async: "W31", "A whole response has its Content-Length", at: "known") { request, _, sender in
        let query = await request.query
        try await sender.sendAndFinish(textHead, [UInt8](repeating: 0x78, count: Int(query) ?? 0))
    } check: { session in
        for length in [0, 1, 5, 32768, 100_000] {
            let response = try await session.get("?\(length)")
            try response.requireStatus(200)
            try require(response.values("Content-Length"), equals: ["\(length)"], "Content-Length")
            try require(response.values("Transfer-Encoding"), equals: [], "Transfer-Encoding")
            try require(response.body.count, equals: length, "the length")
        }
    },

    ConformanceCase(async: "W31", "The handler's Content-Length is sent once", at: "given") { request, _, sender in
        let head = HTTPResponse(status: .ok, headerFields: [.contentType: "text/plain", .contentLength: "5"])
        try await send(await request.query, [[49, 50, 51], [52, 53]], head, sender)
    } check: { session in
        for kind in kinds {
            let response = try await session.get("?" + kind)
            try response.requireText("12345")
            try require(response.values("Content-Length"), equals: ["5"], "Content-Length of \(kind)")
        }
    },

    ConformanceCase(async: "W36", "A body of unknown length ends where it ends", at: "unknown") { request, _, sender in
        try await send(await request.query, [Array("un".utf8), Array("known".utf8)], textHead, sender)
    } check: { session in
        for kind in ["last", "written"] {
            try await session.get("?" + kind).requireText("unknown")
            var request = session.request("GET", "?" + kind)
            request.version = "HTTP/1.0"
            try await session.send(request).requireText("unknown")
        }
    },

    ConformanceCase(async: "W37", "Pieces are sent in the order in which they were written", at: "order") {
        _, _, sender in
        var writer = try await sender.send(textHead)
        for number in 0..<200 {
            try await writer.write("\(number) ")
            if number % 50 == 0 { try await waitForAnotherThread() }
        }
        try await writer.finish()
    } check: { session in
        try await session.get().requireText((0..<200).map { "\($0) " }.joined())
    },

    ConformanceCase(async: "W37", "The request can be read while the response is written", at: "duplex") {
        _, reader, sender in
        var reader = reader
        var writer = try await sender.send(textHead)
        try await writer.write("<")
        while let piece = try await reader.next() { try await writer.write(piece) }
        try await writer.finish(Array(">".utf8))
    } check: { session in
        try await session.post("to ", "and ", "fro", framing: .chunked).requireText("<to and fro>")
    },
]
