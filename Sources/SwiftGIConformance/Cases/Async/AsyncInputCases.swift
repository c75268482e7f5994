import HTTPTypes
import SwiftGICore

/// The request's body, read by a handler: W11 to W13, W39 and W40.
let asyncInputCases: [ConformanceCase] = [
    ConformanceCase(async: "W11", "next(upTo:) gives no more than asked for", at: "next") { _, reader, sender in
        var reader = reader
        var most = 0
        var all: [UInt8] = []
        while let piece = try await reader.next(upTo: 7) {
            most = max(most, piece.count)
            all += piece
        }
        try await report(sender, ["most": "\(most)", "body": text(all)])
    } check: { session in
        try await session.post("twenty-three bytes here").requireReport([
            "most": "7", "body": "twenty-three bytes here",
        ])
    },

    ConformanceCase(async: "W11", "Odd counts give something and never a crash", at: "counts") { _, reader, sender in
        var reader = reader
        var all: [UInt8] = []
        for count in [Int.min, -1, 0, 1] { all += try await reader.next(upTo: count) ?? [] }
        while let piece = try await reader.next(upTo: .max) { all += piece }
        try await reply(sender, text(all))
    } check: { session in
        try await session.post("all of it").requireText("all of it")
    },

    ConformanceCase(async: "W11", "A huge count is no huge buffer", at: "huge") { _, reader, sender in
        var reader = reader
        let first = try await reader.next(upTo: .max) ?? []
        let rest = try await reader.collect(upTo: .max)
        try await reply(sender, "\(first.isEmpty || first.count > 65536) \(first.count + rest.count)")
    } check: { session in
        try await session.post(String(repeating: "x", count: 200_000)).requireText("false 200000")
    },

    ConformanceCase(async: "W11", "The body is a sequence of pieces", at: "sequence") { _, reader, sender in
        var all: [UInt8] = []
        for try await piece in reader.sequence() { all += piece }
        try await reply(sender, text(all))
    } check: { session in
        try await session.post("one ", "two ", "three").requireText("one two three")
        try await session.post("one ", "two ", "three", framing: .chunked).requireText("one two three")
        try await session.get().requireText("")
    },

    ConformanceCase(async: "W11", "collect(upTo:) gives all, or an error and 413", at: "collect", log: ["SGI0205"]) {
        _, reader, sender in
        try await reply(sender, text(try await reader.collect(upTo: 5)))
    } check: { session in
        try await session.post("12345").requireText("12345")
        try await session.post("").requireText("")
        try await session.post("123", "456", framing: .chunked).requireStatus(413)
    },

    ConformanceCase(async: "W12", "Reading too far gives the end and does not wait", at: "too-far") {
        _, reader, sender in
        var reader = reader
        var total = 0
        for _ in 0..<100 { total += try await reader.next(upTo: 1000)?.count ?? 0 }
        try await reply(sender, "\(total)")
    } check: { session in
        try await session.post("0123456789").requireText("10")
        try await session.get().requireText("0")
    },

    ConformanceCase(async: "W13", "The end stays the end", at: "end") { _, reader, sender in
        let body = reader.sequence()
        let all = text(try await body.collect(upTo: 100))
        var ends: [String] = []
        for _ in 0..<3 {
            var iterator = body.makeAsyncIterator()
            ends.append("\(try await iterator.next() == nil)")
            ends.append("\(try await body.collect(upTo: 0).isEmpty)")
        }
        try await reply(sender, "\(all) \(Set(ends).sorted())")
    } check: { session in
        try await session.post("body").requireText(#"body ["true"]"#)
        try await session.post("bo", "dy", framing: .chunked).requireText(#"body ["true"]"#)
        try await session.get().requireText(#" ["true"]"#)
    },

    ConformanceCase(async: "W39", "The first read invites a body that waits", at: "read") { _, reader, sender in
        try await reply(sender, text(try await reader.collect(upTo: 100)))
    } check: { session in
        var request = session.request("POST")
        request.pieces = [Array("awaited".utf8)]
        request.framing = .contentLength
        request.expectsContinue = true
        let response = try await session.send(request)
        try require(response.isContinued, "100 did not come before the final status")
        try response.requireText("awaited")
    },

    ConformanceCase(async: "W39", "A handler that does not read does not invite the body", at: "refuse") {
        _, _, sender in
        try await sender.sendAndFinish(
            HTTPResponse(status: .forbidden, headerFields: textType), Array("not you\n".utf8))
    } check: { session in
        var request = session.request("POST")
        request.pieces = [Array("unwanted".utf8)]
        request.framing = .contentLength
        request.expectsContinue = true
        let response = try await session.send(request)
        try require(!response.isContinued, "100 came, though nothing was read")
        try require(response.status, equals: 403, "the status")
    },

    ConformanceCase(async: "W40", "A chunked body comes as its content", at: "chunked") { request, reader, sender in
        let length = await request.context.variable("CONTENT_LENGTH") ?? "none"
        try await reply(sender, "\(length): \(text(try await reader.collect(upTo: 100_000)))")
    } check: { session in
        try await session.post("one", "-", "two", framing: .chunked).requireText("none: one-two")
        try await session.post(framing: .chunked).requireText("none: ")
        let long = String(repeating: "0123456789abcdef", count: 4000)
        try await session.post(long, "end", framing: .chunked).requireText("none: \(long)end")
    },
]
