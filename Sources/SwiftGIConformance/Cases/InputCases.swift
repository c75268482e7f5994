import HTTPTypes
import SwiftGICore

private let lines = "first\n\nthird, äöü\nlast without end"

/// The request's body: W11 to W13, W15, W39 and W40.
let inputCases: [ConformanceCase] = [
    ConformanceCase("W11", "read(upTo:) gives no more than asked for", at: "read") { environ, startResponse in
        let input = environ.input
        var counts: [Int] = []
        var all: [UInt8] = []
        while true {
            let piece = try input.read(upTo: 7)
            counts.append(piece.count)
            all += piece
            if piece.isEmpty { break }
        }
        let most = "\(counts.max() ?? 0)"
        return try report(startResponse, ["most": most, "body": text(all), "none": "\(try input.read(upTo: 0).count)"])
    } check: { session in
        try await session.post("twenty-three bytes here").requireReport([
            "most": "7", "body": "twenty-three bytes here", "none": "0",
        ])
    },

    ConformanceCase("W11", "Odd limits give errors or nothing and never a crash", at: "limits") {
        environ, startResponse in
        let input = environ.input
        var results: [String] = []
        for limit in [Int.min, -1, 0] {
            results.append("\(try input.read(upTo: limit).count)")
            results.append(code { _ = try input.readLine(upTo: limit) })
        }
        results.append(lineText(try input.readLine(upTo: .max)))
        for limit in [Int.min, -1, 0] { results.append("\(try input.read(upTo: limit).count)") }
        results.append(lineText(try input.readLine(upTo: .max)))
        results.append(code { _ = try input.collect(upTo: .min) })
        return try reply(startResponse, results.joined(separator: "|"))
    } check: { session in
        let expected = "0|lineTooLong|0|lineTooLong|0|lineTooLong|one\n|0|0|0|two\n|bodyTooLarge"
        try await session.post("one\ntwo\nthree").requireText(expected)
    },

    ConformanceCase("W11", "A huge count is no huge buffer", at: "huge") { environ, startResponse in
        let first = try environ.input.read(upTo: .max)
        let rest = try environ.input.collect(upTo: .max)
        return try reply(startResponse, "\(first.isEmpty) \(first.count + rest.count)")
    } check: { session in
        try await session.post(String(repeating: "x", count: 200_000)).requireText("false 200000")
    },

    ConformanceCase("W11", "next() gives the body in pieces", at: "next") { environ, startResponse in
        var all: [UInt8] = []
        while let piece = try environ.input.next() { all += piece }
        return try reply(startResponse, text(all))
    } check: { session in
        try await session.post("one ", "two ", "three").requireText("one two three")
    },

    ConformanceCase("W11", "forEach gives the body in pieces", at: "each") { environ, startResponse in
        var all: [UInt8] = []
        try environ.input.forEach { all += $0 }
        return try reply(startResponse, text(all))
    } check: { session in
        try await session.post("one ", "two ", "three").requireText("one two three")
    },

    ConformanceCase("W11", "readLine gives lines with their ends", at: "lines") { environ, startResponse in
        var lines: [String] = []
        while let line = try environ.input.readLine() { lines.append(text(line)) }
        return try reply(startResponse, lines.joined(separator: "|"))
    } check: { session in
        try await session.post(lines).requireText("first\n|\n|third, äöü\n|last without end")
        // Cut anywhere, it is the same lines.
        let bytes = Array(lines.utf8)
        var request = session.request("POST")
        request.pieces = bytes.map { [$0] }
        request.framing = .chunked
        try await session.send(request).requireText("first\n|\n|third, äöü\n|last without end")
    },

    ConformanceCase("W11", "forEachLine gives the same lines", at: "each-line") { environ, startResponse in
        var lines: [String] = []
        try environ.input.forEachLine { lines.append(text($0)) }
        return try reply(startResponse, lines.joined(separator: "|"))
    } check: { session in
        try await session.post(lines).requireText("first\n|\n|third, äöü\n|last without end")
    },

    ConformanceCase("W11", "A line may be as long as permitted and no longer", at: "line-limit") {
        environ, startResponse in
        let input = environ.input
        let first = lineText(try input.readLine(upTo: 4))
        let second = code { _ = try input.readLine(upTo: 4) }
        let whole = lineText(try input.readLine(upTo: 5))
        let last = lineText(try input.readLine(upTo: 3))
        let end = lineText(try input.readLine(upTo: 0))
        return try reply(startResponse, [first, second, whole, last, end].joined(separator: "|"))
    } check: { session in
        try await session.post("abc\ndefg\nhij").requireText("abc\n|lineTooLong|defg\n|hij|nil")
    },

    ConformanceCase("W11", "Lines and bytes can be read in turn", at: "mixed") { environ, startResponse in
        let input = environ.input
        let line = lineText(try input.readLine())
        let bytes = text(try input.read(upTo: 3))
        let next = lineText(try input.readLine())
        let rest = text(try input.collect(upTo: 100))
        return try reply(startResponse, [line, bytes, next, rest].joined(separator: "|"))
    } check: { session in
        try await session.post("one\ntwo three\nfour\nfive").requireText("one\n|two| three\n|four\nfive")
    },

    ConformanceCase("W11", "collect(upTo:) gives all, or an error and 413", at: "collect", log: ["SGI0205"]) {
        environ, startResponse in
        try reply(startResponse, text(try environ.input.collect(upTo: 5)))
    } check: { session in
        try await session.post("12345").requireText("12345")
        try await session.post("").requireText("")
        try await session.post("123", "456", framing: .chunked).requireStatus(413)
    },

    ConformanceCase("W12", "Reading too far gives the end and does not wait", at: "too-far") { environ, startResponse in
        let input = environ.input
        var total = 0
        for _ in 0..<100 { total += try input.read(upTo: 1000).count }
        return try reply(startResponse, "\(total)")
    } check: { session in
        try await session.post("0123456789").requireText("10")
        try await session.get().requireText("0")
    },

    ConformanceCase("W13", "The end stays the end", at: "end") { environ, startResponse in
        let input = environ.input
        let body = text(try input.collect(upTo: 100))
        var ends: [String] = []
        for _ in 0..<3 {
            ends.append("\(try input.read().count)")
            ends.append("\(try input.next() == nil)")
            ends.append("\(try input.readLine() == nil)")
            ends.append("\(try input.collect(upTo: 0).count)")
        }
        return try reply(startResponse, "\(body) \(Set(ends).sorted())")
    } check: { session in
        try await session.post("body").requireText(#"body ["0", "true"]"#)
        try await session.post("bo", "dy", framing: .chunked).requireText(#"body ["0", "true"]"#)
        try await session.get().requireText(#" ["0", "true"]"#)
    },

    ConformanceCase("W15", "A copy of the input that goes away closes nothing", at: "input") { environ, startResponse in
        do {
            let copy = environ.input
            _ = try copy.read(upTo: 1)
        }
        return try reply(startResponse, text(try environ.input.collect(upTo: 100)))
    } check: { session in
        try await session.post("one stream").requireText("ne stream")
    },

    ConformanceCase(
        "W15", "A copy of the error stream that goes away closes nothing", at: "errors", log: ["w15 errors"]
    ) {
        environ, startResponse in
        do {
            var copy = environ.errors
            print("w15 errors", terminator: " ", to: &copy)
        }
        environ.errors.write("to the end\n")
        return try reply(startResponse, "")
    } check: { session in
        try await session.get().requireText("")
    },

    ConformanceCase("W39", "The first read invites a body that waits", at: "read") { environ, startResponse in
        try reply(startResponse, text(try environ.input.collect(upTo: 100)))
    } check: { session in
        var request = session.request("POST")
        request.pieces = [Array("awaited".utf8)]
        request.framing = .contentLength
        request.expectsContinue = true
        let response = try await session.send(request)
        try require(response.isContinued, "100 did not come before the final status")
        try response.requireText("awaited")
    },

    ConformanceCase("W39", "An application that does not read does not invite the body", at: "refuse") {
        environ, startResponse in
        try startResponse(.forbidden, textType, nil)
        return .string("not you\n")
    } check: { session in
        var request = session.request("POST")
        request.pieces = [Array("unwanted".utf8)]
        request.framing = .contentLength
        request.expectsContinue = true
        let response = try await session.send(request)
        try require(!response.isContinued, "100 came, though nothing was read")
        try require(response.status, equals: 403, "the status")
    },

    ConformanceCase("W40", "A chunked body comes as its content", at: "chunked") { environ, startResponse in
        let length = environ["CONTENT_LENGTH"] ?? "none"
        return try reply(startResponse, "\(length): \(text(try environ.input.collect(upTo: 100_000)))")
    } check: { session in
        try await session.post("one", "-", "two", framing: .chunked).requireText("none: one-two")
        try await session.post(framing: .chunked).requireText("none: ")
        let long = String(repeating: "0123456789abcdef", count: 4000)
        try await session.post(long, "end", framing: .chunked).requireText("none: \(long)end")
    },
]
