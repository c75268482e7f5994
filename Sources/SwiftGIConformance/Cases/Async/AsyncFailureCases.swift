import HTTPTypes
import SwiftGICore

private let lengthHead = HTTPResponse(status: .ok, headerFields: [.contentType: "text/plain", .contentLength: "5"])

/// What goes wrong in a handler: W32, W34, W35 and W38.
let asyncFailureCases: [ConformanceCase] = [
    ConformanceCase(async: "W32", "A handler whose client leaves finds it gone when it writes", at: "leaves") {
        request, _, sender in
        let journal = try await request.journal
        defer { journal.note("finished") }
        var writer = try await sender.send(
            HTTPResponse(status: .ok, headerFields: [.contentType: "application/octet-stream"]))
        let piece = [UInt8](repeating: 0x78, count: 65536)
        do {
            for _ in 0..<4096 { try await writer.write(piece) }
            journal.note("all written")
        } catch {
            journal.note(code(of: error))
            throw error
        }
    } check: { session in
        var request = session.request()
        request.leavesAfter = 100_000
        _ = try await session.send(request)
        try require(
            try await session.journal(with: "finished"), equals: ["clientGone", "finished"], "the journal")
    },

    ConformanceCase(async: "W32", "A handler whose client leaves is cancelled while it waits", at: "waits") {
        request, _, sender in
        let journal = try await request.journal
        defer { journal.note("finished") }
        var writer = try await sender.send(textHead)
        try await writer.write("some")
        do {
            try await Task.sleep(for: .seconds(600))
        } catch {
            journal.note("\(code(of: error)) \(Task.isCancelled)")
        }
        do { try await writer.write("more") } catch { journal.note(code(of: error)) }
        throw ApplicationError("caused by a client that left")
    } check: { session in
        var request = session.request()
        request.leavesAfter = 4
        _ = try await session.send(request)
        let expected = ["cancelled true", "clientGone", "finished"]
        try require(try await session.journal(with: "finished"), equals: expected, "the journal")
    },

    ConformanceCase(async: "W34", "A body is cut at its Content-Length", at: "longer", log: ["SGI0203"]) {
        request, _, sender in
        try await send(await request.query, [[49, 50, 51], [52, 53, 54, 55], [56]], lengthHead, sender)
    } check: { session in
        for kind in ["whole", "last", "written"] {
            let response = try await session.get("?" + kind)
            try response.requireText("12345")
            try require(response.values("Content-Length"), equals: ["5"], "Content-Length of \(kind)")
        }
    },

    ConformanceCase(
        async: "W34", "A cut body is logged, whatever its handler makes of it", at: "swallow", log: ["SGI0203"]
    ) {
        _, _, sender in
        try await send("swallow", [[49, 50, 51], [52, 53, 54, 55], [56]], lengthHead, sender)
    } check: { session in
        try await session.get().requireText("12345")
    },

    ConformanceCase(async: "W34", "Writing stops at the Content-Length", at: "stops", log: ["SGI0203"]) {
        request, _, sender in
        let journal = try await request.journal
        var writer = try await sender.send(
            HTTPResponse(status: .ok, headerFields: [.contentType: "text/plain", .contentLength: "2"]))
        for _ in 0..<4 {
            do { try await writer.write("x") } catch { journal.note(code(of: error)) }
        }
        journal.note("end")
        try await writer.finish()
    } check: { session in
        try await session.get().requireText("xx")
        let expected = ["contentLengthExceeded", "contentLengthExceeded", "end"]
        try require(try await session.journal(with: "end"), equals: expected, "the journal")
    },

    ConformanceCase(
        async: "W35", "A body short of its Content-Length does not look complete", at: "shorter", log: ["SGI0204"]
    ) {
        request, _, sender in
        let query = await request.query
        try await send(query, query == "empty" ? [] : [[49, 50, 51], [52]], lengthHead, sender)
    } check: { session in
        for kind in ["whole", "last", "written"] {
            try await session.get("?" + kind).requireCut()
        }
        try await session.get("?empty").requireFailure()
    },

    ConformanceCase(
        async: "W38", "An error before the head is logged and becomes 500", at: "before",
        log: ["SGI0201", "w38 before"]
    ) {
        _, _, _ in
        throw ApplicationError("w38 before")
    } check: { session in
        try await session.get().requireStatus(500)
        // The server goes on.
        try await session.get().requireStatus(500)
    },

    ConformanceCase(
        async: "W38", "An error after the head is logged and cuts the response", at: "after",
        log: ["SGI0201", "w38 after"]
    ) {
        request, _, sender in
        var writer = try await sender.send(textHead)
        try await writer.write("half of it")
        if await request.query == "wait" { try await waitForAnotherThread() }
        throw ApplicationError("w38 after")
    } check: { session in
        for query in ["", "?wait"] { try await session.get(query).requireCut() }
    },

    ConformanceCase(async: "W38", "An error after all of the response is no success", at: "late", log: ["SGI0201"]) {
        _, _, sender in
        try await reply(sender, "full")
        throw ApplicationError()
    } check: { session in
        // The bytes are out; what is left is to log it.
        let response = try await session.get()
        try require(response.status, equals: 200, "the status")
        try require(response.text, equals: "full", "the body")
    },
]
