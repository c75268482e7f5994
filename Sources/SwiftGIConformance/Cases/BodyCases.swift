import Glibc
import HTTPTypes
import SwiftGICore

private let allBytes: [UInt8] = (0..<4096).map { UInt8($0 & 0xFF) }

private let kinds = ["bytes", "chunks", "pull", "push"]

/// The body of the response: W29 to W31, W33, W36 and W37.
let bodyCases: [ConformanceCase] = [
    ConformanceCase("W29", "A piece is sent before the next is made", at: "at-once") { environ, startResponse in
        try startResponse(.ok, textType, nil)
        if environ.queryString == "push" {
            return .push { writer in
                try writer.write("one")
                usleep(400_000)
                try writer.write("two")
            }
        }
        var pieces = ["one", "two"][...]
        return .pull {
            if pieces.count == 1 { usleep(400_000) }
            return pieces.popFirst().map { Array($0.utf8) }
        }
    } check: { session in
        for kind in ["pull", "push"] {
            let response = try await session.get("?" + kind)
            try response.requireText("onetwo")
            let first = response.arrivals.first { $0.count >= 3 }
            let last = response.arrivals.first { $0.count == 6 }
            guard let first, let last else { throw ConformanceFailure(description: "no arrivals") }
            try require(first.count == 3, "both pieces came together")
            try require(last.time - first.time > .milliseconds(200), "the first piece waited for the second")
        }
    },

    ConformanceCase("W30", "Bytes arrive unaltered", at: "unaltered") { environ, startResponse in
        try startResponse(.ok, [.contentType: "application/octet-stream"], nil)
        return makeBody(
            environ.queryString, [allBytes, Array(allBytes.reversed()), [13, 10, 48, 13, 10, 13, 10], allBytes])
    } check: { session in
        let expected = allBytes + allBytes.reversed() + [13, 10, 48, 13, 10, 13, 10] + allBytes
        for kind in kinds {
            let response = try await session.get("?" + kind)
            try response.requireStatus(200)
            try require(response.body == expected, "\(kind): \(response.body.count) bytes that are not those sent")
        }
    },

    ConformanceCase("W30", "A large body arrives whole", at: "large") { environ, startResponse in
        try startResponse(.ok, [.contentType: "application/octet-stream"], nil)
        return makeBody(environ.queryString, Array(repeating: allBytes, count: 512))
    } check: { session in
        for kind in kinds {
            let response = try await session.get("?" + kind)
            try response.requireStatus(200)
            try require(response.body.count, equals: 4096 * 512, "the length of \(kind)")
            let same = stride(from: 0, to: response.body.count, by: 4096).allSatisfy { start in
                Array(response.body[start..<start + 4096]) == allBytes
            }
            try require(same, "\(kind) was altered")
        }
    },

    ConformanceCase("W30", "A large body comes back while it is sent", at: "echo") { environ, startResponse in
        let input = environ.input
        try startResponse(.ok, [.contentType: "application/octet-stream"], nil)
        return .pull { try input.next() }
    } check: { session in
        var request = session.request("POST")
        request.pieces = Array(repeating: allBytes, count: 16)
        request.framing = .chunked
        let response = try await session.send(request)
        try response.requireStatus(200)
        try require(
            response.body == Array(request.pieces.joined()), "\(response.body.count) bytes that are not those sent")
    },

    ConformanceCase("W31", "A known length becomes Content-Length", at: "known") { environ, startResponse in
        try startResponse(.ok, textType, nil)
        switch environ.queryString {
        case "bytes": return .bytes([1, 2, 3, 4, 5])
        case "string": return .string("vier…")
        case "chunks": return .chunks([[1, 2], [], [3]])
        default: return .empty
        }
    } check: { session in
        for (kind, length) in [("bytes", 5), ("string", 7), ("chunks", 3), ("empty", 0)] {
            let response = try await session.get("?" + kind)
            try response.requireStatus(200)
            try require(response.values("Content-Length"), equals: ["\(length)"], "Content-Length of \(kind)")
            try require(response.values("Transfer-Encoding"), equals: [], "Transfer-Encoding of \(kind)")
            try require(response.body.count, equals: length, "the length of \(kind)")
        }
    },

    ConformanceCase("W31", "The application's Content-Length is sent once", at: "given") { environ, startResponse in
        try startResponse(.ok, [.contentType: "text/plain", .contentLength: "5"], nil)
        return makeBody(environ.queryString, [[49, 50, 51], [52, 53]])
    } check: { session in
        for kind in kinds {
            let response = try await session.get("?" + kind)
            try response.requireText("12345")
            try require(response.values("Content-Length"), equals: ["5"], "Content-Length of \(kind)")
        }
    },

    ConformanceCase("W33", "A body is run once and not beyond its end", at: "once") { environ, startResponse in
        let journal = try Journal(environ)
        try startResponse(.ok, textType, nil)
        if environ.queryString == "push" {
            return .push { writer in
                journal.note("push")
                try writer.write("x")
            }
        }
        var left = 2
        return .pull {
            left -= 1
            journal.note("pull \(left)")
            return left > 0 ? [120] : nil
        }
    } check: { session in
        try await session.get("?push").requireText("x")
        try await session.get("?pull").requireText("x")
        try require(try await session.journal(), equals: ["push", "pull 1", "pull 0"], "the journal")
    },

    ConformanceCase("W36", "A body of unknown length ends where it ends", at: "unknown") { environ, startResponse in
        try startResponse(.ok, textType, nil)
        return makeBody(environ.queryString, [Array("un".utf8), Array("known".utf8)])
    } check: { session in
        for kind in ["pull", "push"] {
            try await session.get("?" + kind).requireText("unknown")
            var request = session.request("GET", "?" + kind)
            request.version = "HTTP/1.0"
            let response = try await session.send(request)
            try response.requireText("unknown")
        }
    },

    ConformanceCase("W37", "Pieces are sent in the order in which they were written", at: "order") {
        environ, startResponse in
        try startResponse(.ok, textType, nil)
        return .push { writer in
            for number in 0..<200 { try writer.write("\(number) ") }
        }
    } check: { session in
        try await session.get().requireText((0..<200).map { "\($0) " }.joined())
    },

    ConformanceCase("W37", "What was written can be changed afterwards", at: "reuse") { environ, startResponse in
        try startResponse(.ok, textType, nil)
        return .push { writer in
            var buffer = [UInt8](repeating: 0, count: 3)
            for letter in UInt8(ascii: "a")...UInt8(ascii: "e") {
                for index in buffer.indices { buffer[index] = letter }
                try writer.write(buffer.span)
            }
            for index in buffer.indices { buffer[index] = UInt8(ascii: "!") }
        }
    } check: { session in
        try await session.get().requireText("aaabbbcccdddeee")
    },

    ConformanceCase("W37", "The request can be read while the response is written", at: "duplex") {
        environ, startResponse in
        let input = environ.input
        try startResponse(.ok, textType, nil)
        return .push { writer in
            try writer.write("<")
            while let piece = try input.next() { try writer.write(piece) }
            try writer.write(">")
        }
    } check: { session in
        try await session.post("to ", "and ", "fro", framing: .chunked).requireText("<to and fro>")
    },
]
