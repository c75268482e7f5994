import HTTPTypes
import SwiftGICore

private let marked = HTTPResponse(status: .ok, headerFields: [.contentType: "text/plain", .eTag: "\"marked\""])

/// The response's head: W16 to W18, W23 to W26 and W28. That there is no second head, W19 to W21,
/// the compiler sees to.
let asyncHeadCases: [ConformanceCase] = [
    ConformanceCase(async: "W16", "Text and bytes can be written", at: "write") { _, _, sender in
        var writer = try await sender.send(textHead)
        try await writer.write("text, ")
        try await writer.write([98, 121, 116, 101, 115])
        try await writer.finish(Array(", an end".utf8))
    } check: { session in
        try await session.get().requireText("text, bytes, an end")
    },

    ConformanceCase(async: "W17", "A head is not sent before there are bytes", at: "stored", log: ["SGI0201"]) {
        _, _, sender in
        _ = try await sender.send(marked)
        throw ApplicationError()
    } check: { session in
        let response = try await session.get()
        try response.requireStatus(500)
        try require(response.values("ETag"), equals: [], "a field of the head that was given up")
    },

    ConformanceCase(async: "W17", "A head goes out with the first bytes", at: "first", log: ["SGI0201"]) {
        _, _, sender in
        var writer = try await sender.send(
            HTTPResponse(status: .accepted, headerFields: [.contentType: "text/plain", .eTag: "\"marked\""]))
        try await writer.write("first")
        throw ApplicationError()
    } check: { session in
        try await session.get().requireCut(202, field: ("ETag", "\"marked\""))
    },

    ConformanceCase(async: "W17", "A head goes out when its handler waits", at: "waits", log: ["SGI0201"]) {
        _, _, sender in
        _ = try await sender.send(marked)
        try await waitForAnotherThread()
        throw ApplicationError()
    } check: { session in
        try await session.get().requireCut(200, field: ("ETag", "\"marked\""))
    },

    ConformanceCase(async: "W17", "A head goes out at the end of a body without bytes", at: "end") {
        request, _, sender in
        let head = HTTPResponse(status: .accepted, headerFields: marked.headerFields)
        try await send(await request.query, [], head, sender)
    } check: { session in
        for kind in ["whole", "last", "written"] {
            let response = try await session.get("?" + kind)
            try response.requireStatus(202)
            try require(response.body, equals: [], "the body of \(kind)")
            try require(response.values("ETag"), equals: ["\"marked\""], "ETag")
            if kind == "whole" { try require(response.values("Content-Length"), equals: ["0"], "Content-Length") }
        }
    },

    ConformanceCase(async: "W18", "Empty pieces don't send the head", at: "empty-pieces", log: ["SGI0201"]) {
        _, _, sender in
        var writer = try await sender.send(marked)
        try await writer.write("")
        try await writer.write([])
        throw ApplicationError()
    } check: { session in
        try await session.get().requireStatus(500)
    },

    ConformanceCase(async: "W18", "Empty pieces don't end the body", at: "between") { request, _, sender in
        try await send(await request.query, [[], [97], [], [], [98], [], [99], []], textHead, sender)
    } check: { session in
        for kind in ["written", "last"] { try await session.get("?" + kind).requireText("abc") }
    },

    ConformanceCase(async: "W23", "A head is checked while it is sent", at: "checked", log: ["SGI0208"]) {
        request, _, sender in
        let journal = try await request.journal
        do {
            _ = try await sender.send(HTTPResponse(status: .ok, headerFields: [.transferEncoding: "chunked"]))
        } catch {
            journal.note(code(of: error))
            throw error
        }
    } check: { session in
        try await session.get().requireStatus(500)
        try require(try await session.journal(), equals: ["invalidField"], "the journal")
    },

    ConformanceCase(async: "W24", "Any status from 200 to 599 will do, with any reason", at: "status") {
        request, _, sender in
        let status = Int(await request.query) ?? 0
        try await sender.sendAndFinish(
            HTTPResponse(status: .init(code: status, reasonPhrase: "Nearly Fine"), headerFields: textType),
            Array("status \(status)".utf8))
    } check: { session in
        for status in [200, 299, 399, 418, 499, 599] {
            let response = try await session.get("?\(status)")
            try response.requireStatus(status)
            try require(response.text, equals: "status \(status)", "the body")
            try require(["Nearly Fine", ""].contains(response.reason), "the reason is \(response.reason)")
        }
    },

    ConformanceCase(async: "W24", "Other statuses are refused", at: "refused", log: ["SGI0208"]) { request, _, sender in
        let journal = try await request.journal
        do {
            let status = HTTPResponse.Status(code: Int(await request.query) ?? 0)
            try await sender.sendAndFinish(HTTPResponse(status: status, headerFields: textType))
        } catch {
            journal.note(code(of: error))
            throw error
        }
    } check: { session in
        for status in [0, 1, 99, 100, 101, 103, 199, 600, 999] {
            try await session.get("?\(status)").requireStatus(500)
        }
        try require(Set(try await session.journal()), equals: ["invalidStatus"], "the journal")
    },

    ConformanceCase(async: "W25", "Fields arrive as they were given", at: "fields") { _, _, sender in
        var fields = textType
        fields.append(HTTPField(name: .setCookie, value: "a=1; Path=/"))
        fields.append(HTTPField(name: .setCookie, value: "b=2"))
        fields[.eTag] = "W/\"x, y\""
        fields[.mixed] = "a\tb; \"q\"; é"
        fields[.empty] = ""
        try await sender.sendAndFinish(HTTPResponse(status: .ok, headerFields: fields), Array("fields".utf8))
    } check: { session in
        let response = try await session.get()
        try response.requireText("fields")
        try require(response.values("Set-Cookie"), equals: ["a=1; Path=/", "b=2"], "Set-Cookie")
        try require(response.values("ETag"), equals: ["W/\"x, y\""], "ETag")
        try require(response.values("X-MiXed"), equals: ["a\tb; \"q\"; é"], "X-MiXed")
        try require(response.values("X-Empty"), equals: [""], "X-Empty")
    },

    ConformanceCase(async: "W25", "Control characters can't be in a field", at: "control", log: ["SGI0208"]) {
        request, _, sender in
        let character = UInt8(await request.query) ?? 0
        var fields = textType
        fields.append(HTTPField(name: .mixed, lenientValue: [0x61, character, 0x62]))
        try await sender.sendAndFinish(HTTPResponse(status: .ok, headerFields: fields))
    } check: { session in
        for character in [0x01, 0x08, 0x0B, 0x1F, 0x7F] { try await session.get("?\(character)").requireStatus(500) }
    },

    ConformanceCase(async: "W25", "A field can't make another", at: "split") { _, _, sender in
        var fields = textType
        fields[.mixed] = "a\r\nX-Injected: yes\r\n\r\nbody"
        try await sender.sendAndFinish(HTTPResponse(status: .ok, headerFields: fields), Array("whole".utf8))
    } check: { session in
        let response = try await session.get()
        try response.requireText("whole")
        try require(response.values("X-Injected"), equals: [], "an injected field")
    },

    ConformanceCase(async: "W26", "Fields that concern the connection are refused", at: "hop-by-hop", log: ["SGI0208"])
    {
        request, _, sender in
        guard let name = HTTPField.Name(await request.query) else { return try await reply(sender, "no name") }
        try await sender.sendAndFinish(
            HTTPResponse(status: .ok, headerFields: HTTPFields([HTTPField(name: name, value: "x")])))
    } check: { session in
        let names = [
            "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer",
            "Transfer-Encoding", "Upgrade", "proxy-connection", "Status",
        ]
        for name in names { try await session.get("?" + name).requireStatus(500) }
    },

    ConformanceCase(async: "W26", "A Content-Length that is no number is refused", at: "length", log: ["SGI0208"]) {
        request, _, sender in
        var fields: HTTPFields = [
            .contentLength: await request.query.split(separator: "_").first.map(String.init) ?? ""
        ]
        if await request.query.contains("_") { fields.append(HTTPField(name: .contentLength, value: "2")) }
        try await sender.sendAndFinish(HTTPResponse(status: .ok, headerFields: fields), Array("xx".utf8))
    } check: { session in
        for value in ["", "-1", "+1", "1x", "0x10", "1,1", "99999999999999999999", "1_"] {
            try await session.get("?" + value).requireStatus(500)
        }
        try await session.get("?2_").requireText("xx")
    },

    ConformanceCase(async: "W28", "A handler that returns without a response fails", at: "nothing", log: ["SGI0208"]) {
        request, _, sender in
        if await request.query == "head" { _ = try await sender.send(marked) }
    } check: { session in
        try await session.get().requireStatus(500)
        let response = try await session.get("?head")
        try response.requireStatus(500)
        try require(response.values("ETag"), equals: [], "a field of the head that was given up")
    },

    ConformanceCase(async: "W28", "A writer that is dropped aborts the response", at: "dropped", log: ["SGI0208"]) {
        _, _, sender in
        var writer = try await sender.send(textHead)
        try await writer.write("some")
    } check: { session in
        try await session.get().requireCut()
    },
]

extension HTTPField.Name {
    fileprivate static let mixed = HTTPField.Name("X-MiXed") ?? .eTag
    fileprivate static let empty = HTTPField.Name("X-Empty") ?? .eTag
}
