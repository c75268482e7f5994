import HTTPTypes
import SwiftGICore

private let marked: HTTPFields = [.contentType: "text/plain", .eTag: "\"marked\""]

/// `startResponse` and the head of the response: W16 to W28.
let headCases: [ConformanceCase] = [
    ConformanceCase("W16", "A body can be written", at: "push") { environ, startResponse in
        try startResponse(.ok, textType, nil)
        return .push { writer in
            try writer.write("text, ")
            try writer.write([98, 121, 116, 101, 115])
            try writer.write(Array(", a span".utf8).span)
        }
    } check: { session in
        try await session.get().requireText("text, bytes, a span")
    },

    ConformanceCase("W17", "A head is not sent by startResponse", at: "call", log: ["SGI0201"]) {
        environ, startResponse in
        try startResponse(.ok, marked, nil)
        throw ApplicationError()
    } check: { session in
        let response = try await session.get()
        try response.requireStatus(500)
        try require(response.values("ETag"), equals: [], "a field of the head that was given up")
    },

    ConformanceCase("W17", "A head is not sent before there are bytes", at: "push", log: ["SGI0201"]) {
        environ, startResponse in
        try startResponse(.ok, marked, nil)
        return .push { _ in throw ApplicationError() }
    } check: { session in
        let response = try await session.get()
        try response.requireStatus(500)
        try require(response.values("ETag"), equals: [], "a field of the head that was given up")
    },

    ConformanceCase("W17", "A head goes out with the first bytes", at: "first", log: ["SGI0201"]) {
        environ, startResponse in
        try startResponse(.accepted, marked, nil)
        return .push { writer in
            try writer.write("first")
            throw ApplicationError()
        }
    } check: { session in
        try await session.get().requireCut(202, field: ("ETag", "\"marked\""))
    },

    ConformanceCase("W17", "A head goes out at the end of a body without bytes", at: "end") { environ, startResponse in
        try startResponse(.accepted, marked, nil)
        switch environ.queryString {
        case "pull": return .pull { nil }
        case "push": return .push { _ in }
        case "chunks": return .chunks([[], []])
        case "string": return .string("")
        default: return .empty
        }
    } check: { session in
        for kind in ["empty", "pull", "push", "chunks", "string"] {
            let response = try await session.get("?" + kind)
            try response.requireStatus(202)
            try require(response.body, equals: [], "the body of \(kind)")
            try require(response.values("ETag"), equals: ["\"marked\""], "ETag")
            try require(response.values("Content-Length"), equals: ["0"], "Content-Length of \(kind)")
        }
    },

    ConformanceCase("W18", "Empty pieces don't send the head", at: "empty-pieces", log: ["SGI0201"]) {
        environ, startResponse in
        try startResponse(.ok, marked, nil)
        if environ.queryString == "push" {
            return .push { writer in
                try writer.write("")
                try writer.write([])
                try writer.write(Span<UInt8>())
                throw ApplicationError()
            }
        }
        var count = 0
        return .pull {
            count += 1
            if count > 3 { throw ApplicationError() }
            return []
        }
    } check: { session in
        try await session.get("?push").requireStatus(500)
        try await session.get("?pull").requireStatus(500)
    },

    ConformanceCase("W18", "Empty pieces don't end the body", at: "between") { environ, startResponse in
        try startResponse(.ok, textType, nil)
        var pieces: [[UInt8]] = [[], [97], [], [], [98], [], [99], []]
        if environ.queryString == "chunks" { return .chunks(pieces) }
        return .pull { pieces.isEmpty ? nil : pieces.removeFirst() }
    } check: { session in
        try await session.get("?chunks").requireText("abc")
        try await session.get("?pull").requireText("abc")
    },

    ConformanceCase("W19", "A second call without an error is fatal", at: "twice", log: ["SGI0208"]) {
        environ, startResponse in
        try startResponse(.ok, textType, nil)
        let error = code { try startResponse(.created, textType, nil) }
        try Journal(environ).note(error)
        try startResponse(.created, textType, nil)
        return .string("not reached")
    } check: { session in
        try await session.get().requireStatus(500)
        try require(try await session.journal(), equals: ["startResponseCalledTwice"], "the journal")
    },

    ConformanceCase("W19", "A second call is one too many after a first that threw", at: "after-throw") {
        environ, startResponse in
        let first = code { try startResponse(.ok, [.connection: "close"], nil) }
        let second = code { try startResponse(.ok, textType, nil) }
        try startResponse(.ok, textType, ApplicationError())
        return .string("\(first) \(second)")
    } check: { session in
        try await session.get().requireText("invalidField startResponseCalledTwice")
    },

    ConformanceCase("W20", "With an error the head is replaced", at: "replace") { environ, startResponse in
        try startResponse(.ok, marked, nil)
        try startResponse(.init(code: 503), [.contentType: "text/html", .retryAfter: "5"], ApplicationError())
        return .string("sorry\n")
    } check: { session in
        let response = try await session.get()
        try response.requireStatus(503)
        try require(response.text, equals: "sorry\n", "the body")
        try require(response.values("ETag"), equals: [], "a field of the head that was replaced")
        try require(response.values("Retry-After"), equals: ["5"], "Retry-After")
        try require(response.values("Content-Type"), equals: ["text/html"], "Content-Type")
    },

    ConformanceCase("W20", "A head can be given with an error at once", at: "at-once") { environ, startResponse in
        try startResponse(.init(code: 503), textType, ApplicationError())
        return .string("sorry\n")
    } check: { session in
        let response = try await session.get()
        try response.requireStatus(503)
        try require(response.text, equals: "sorry\n", "the body")
    },

    ConformanceCase("W21", "Nothing replaces a head that was sent", at: "sent", log: ["SGI0201", "w21 reason"]) {
        environ, startResponse in
        // startResponse ends with the application's call, so that the error itself is what is left to throw.
        try startResponse(.ok, textType, nil)
        var isFirst = true
        return .pull {
            defer { isFirst = false }
            if isFirst { return Array("begun".utf8) }
            throw ApplicationError("w21 reason")
        }
    } check: { session in
        try await session.get().requireCut(200, text: "begun")
    },

    ConformanceCase("W22", "The error is not kept", at: "error") { environ, startResponse in
        final class Counted: Error {}
        var error: Counted? = Counted()
        weak let watched = error
        try startResponse(.ok, textType, error)
        error = nil
        return .string(watched == nil ? "released" : "kept")
    } check: { session in
        try await session.get().requireText("released")
    },

    ConformanceCase("W23", "A head is checked while it is given", at: "checked") { environ, startResponse in
        let error = code { try startResponse(.ok, [.transferEncoding: "chunked"], nil) }
        try startResponse(.ok, textType, ApplicationError())
        return .string("caught \(error)")
    } check: { session in
        try await session.get().requireText("caught invalidField")
    },

    ConformanceCase("W24", "Any status from 200 to 599 will do, with any reason", at: "status") {
        environ, startResponse in
        let status = Int(environ.queryString) ?? 0
        try startResponse(.init(code: status, reasonPhrase: "Nearly Fine"), textType, nil)
        return .string("status \(status)")
    } check: { session in
        for status in [200, 299, 399, 418, 499, 599] {
            let response = try await session.get("?\(status)")
            try response.requireStatus(status)
            try require(response.text, equals: "status \(status)", "the body")
            try require(["Nearly Fine", ""].contains(response.reason), "the reason is \(response.reason)")
        }
    },

    ConformanceCase("W24", "Other statuses are refused", at: "refused") { environ, startResponse in
        let codes = [0, 1, 99, 100, 101, 103, 199, 600, 999].map { status in
            code { try startResponse(.init(code: status), textType, ApplicationError()) }
        }
        try startResponse(.ok, textType, ApplicationError())
        return .string(Set(codes).joined())
    } check: { session in
        try await session.get().requireText("invalidStatus")
    },

    ConformanceCase("W25", "Fields arrive as they were given", at: "fields") { environ, startResponse in
        var fields = textType
        fields.append(HTTPField(name: .setCookie, value: "a=1; Path=/"))
        fields.append(HTTPField(name: .setCookie, value: "b=2"))
        fields[.eTag] = "W/\"x, y\""
        fields[.mixed] = "a\tb; \"q\"; é"
        fields[.empty] = ""
        try startResponse(.ok, fields, nil)
        return .string("fields")
    } check: { session in
        let response = try await session.get()
        try response.requireText("fields")
        try require(response.values("Set-Cookie"), equals: ["a=1; Path=/", "b=2"], "Set-Cookie")
        try require(response.values("ETag"), equals: ["W/\"x, y\""], "ETag")
        try require(response.values("X-MiXed"), equals: ["a\tb; \"q\"; é"], "X-MiXed")
        try require(response.values("X-Empty"), equals: [""], "X-Empty")
    },

    ConformanceCase("W25", "Control characters can't be in a field", at: "control") { environ, startResponse in
        let characters: [UInt8] = [0x01, 0x08, 0x0B, 0x1F, 0x7F]
        let codes = characters.map { character in
            code {
                var fields = textType
                fields.append(HTTPField(name: .mixed, lenientValue: [0x61, character, 0x62]))
                try startResponse(.ok, fields, ApplicationError())
            }
        }
        let names = ["", "a b", "a:b", "a\r\nb", "ä", "a\u{0}"].filter { HTTPField.Name($0) != nil }
        try startResponse(.ok, textType, ApplicationError())
        return .string(Set(codes).joined() + names.joined())
    } check: { session in
        try await session.get().requireText("invalidField")
    },

    ConformanceCase("W25", "A field can't make another", at: "split") { environ, startResponse in
        var fields = textType
        fields[.mixed] = "a\r\nX-Injected: yes\r\n\r\nbody"
        try startResponse(.ok, fields, nil)
        return .string("whole")
    } check: { session in
        let response = try await session.get()
        try response.requireText("whole")
        try require(response.values("X-Injected"), equals: [], "an injected field")
    },

    ConformanceCase("W26", "Fields that concern the connection are refused", at: "hop-by-hop") {
        environ, startResponse in
        let names = [
            "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer",
            "Transfer-Encoding", "Upgrade", "proxy-connection", "Status",
        ]
        let passed = names.filter { name in
            code {
                let field = HTTPField.Name(name).map { HTTPField(name: $0, value: "x") }
                try startResponse(.ok, HTTPFields(field.map { [$0] } ?? []), ApplicationError())
            } != "invalidField"
        }
        try startResponse(.ok, textType, ApplicationError())
        return .string(passed.joined(separator: " "))
    } check: { session in
        try await session.get().requireText("")
    },

    ConformanceCase("W26", "A refused field that nobody catches is a 500", at: "uncaught", log: ["SGI0208"]) {
        environ, startResponse in
        try startResponse(.ok, [.connection: "close"], nil)
        return .string("not reached")
    } check: { session in
        try await session.get().requireStatus(500)
    },

    ConformanceCase("W26", "A Content-Length that is no number is refused", at: "length") { environ, startResponse in
        let values = ["", "-1", "+1", "1x", "0x10", "1, 1", "99999999999999999999"]
        let passed = values.filter { value in
            code { try startResponse(.ok, [.contentLength: value], ApplicationError()) } != "invalidField"
        }
        let two = code {
            var fields: HTTPFields = [.contentLength: "1"]
            fields.append(HTTPField(name: .contentLength, value: "2"))
            try startResponse(.ok, fields, ApplicationError())
        }
        try startResponse(.ok, textType, ApplicationError())
        return .string("\(passed) \(two)")
    } check: { session in
        try await session.get().requireText("[] invalidField")
    },

    ConformanceCase("W27", "The server adds Date and Server", at: "date") { environ, startResponse in
        try reply(startResponse, "")
    } check: { session in
        let response = try await session.get()
        try require(response.values("Date").count, equals: 1, "the number of Date fields")
        try require(response.values("Server").count, equals: 1, "the number of Server fields")
    },

    ConformanceCase("W28", "startResponse comes before the application returns", at: "not-called", log: ["SGI0208"]) {
        environ, startResponse in
        let journal = try Journal(environ)
        switch environ.queryString {
        case "pull":
            return .pull {
                journal.note("asked")
                return nil
            }
        case "push": return .push { _ in journal.note("asked") }
        case "string": return .string("orphan")
        default: return .empty
        }
    } check: { session in
        for kind in ["empty", "string", "pull", "push"] { try await session.get("?" + kind).requireStatus(500) }
        try require(try await session.journal(), equals: [], "what bodies without a head did")
    },
]

extension HTTPField.Name {
    fileprivate static let mixed = HTTPField.Name("X-MiXed") ?? .eTag
    fileprivate static let empty = HTTPField.Name("X-Empty") ?? .eTag
}
