import HTTPTypes
import SwiftGICore

/// What goes wrong: W32, W34, W35 and W38.
let failureCases: [ConformanceCase] = [
    ConformanceCase("W32", "A body is closed once, at its end", at: "end") { environ, startResponse in
        let journal = try Journal(environ)
        let query = environ.queryString
        environ.onFinish { journal.note("finished \(query)") }
        try startResponse(.ok, textType, nil)
        return makeBody(query, [[97], [98]])
            .onClose { journal.note("first") }
            .onClose { journal.note("second") }
    } check: { session in
        for kind in ["bytes", "chunks", "pull", "push"] {
            try await session.get("?" + kind).requireText("ab")
            let journal = try await session.journal(with: "finished \(kind)")
            try require(journal.suffix(3), equals: ["first", "second", "finished \(kind)"], "the journal of \(kind)")
        }
    },

    ConformanceCase("W32", "A body is closed once, after an error", at: "error", log: ["SGI0201"]) {
        environ, startResponse in
        let journal = try Journal(environ)
        let query = environ.queryString
        environ.onFinish { journal.note("finished \(query)") }
        try startResponse(.ok, textType, nil)
        if query == "pull" {
            return .pull { throw ApplicationError() }.onClose { journal.note("closed") }
        }
        return .push { writer in
            try writer.write("some")
            throw ApplicationError()
        }.onClose { journal.note("closed") }
    } check: { session in
        try await session.get("?pull").requireStatus(500)
        try require(
            try await session.journal(with: "finished pull"), equals: ["closed", "finished pull"], "the journal")
        try await session.get("?push").requireFailure()
        try require(
            try await session.journal(with: "finished push").suffix(2), equals: ["closed", "finished push"],
            "the journal")
    },

    ConformanceCase("W32", "A body is closed once, if the client leaves", at: "leaves") { environ, startResponse in
        let journal = try Journal(environ)
        environ.onFinish { journal.note("finished") }
        try startResponse(.ok, [.contentType: "application/octet-stream"], nil)
        let piece = [UInt8](repeating: 0x78, count: 65536)
        return .push { writer in
            do {
                for _ in 0..<4096 { try writer.write(piece) }
                journal.note("all written")
            } catch {
                journal.note(code { throw error })
                throw error
            }
        }.onClose { journal.note("closed") }
    } check: { session in
        var request = session.request()
        request.leavesAfter = 100_000
        _ = try await session.send(request)
        let journal = try await session.journal(with: "finished")
        try require(journal, equals: ["clientGone", "closed", "finished"], "the journal")
    },

    ConformanceCase("W32", "An application that does not mind that its client left is not logged", at: "ignores") {
        environ, startResponse in
        let journal = try Journal(environ)
        environ.onFinish { journal.note("finished") }
        try startResponse(.ok, [.contentType: "application/octet-stream"], nil)
        let piece = [UInt8](repeating: 0x78, count: 65536)
        return .push { writer in
            for _ in 0..<4096 {
                do { try writer.write(piece) } catch { throw ApplicationError("caused by \(error)") }
            }
        }
    } check: { session in
        var request = session.request()
        request.leavesAfter = 100_000
        _ = try await session.send(request)
        _ = try await session.journal(with: "finished")
    },

    ConformanceCase("W32", "A body that middleware drops is closed", at: "dropped") { environ, startResponse in
        let journal = try Journal(environ)
        let inner: Application = { environ, startResponse in
            try startResponse(.ok, textType, nil)
            return .pull {
                journal.note("asked")
                return nil
            }.onClose { journal.note("closed") }
        }
        _ = try inner(&environ, startResponse)
        try startResponse(.ok, textType, ApplicationError())
        return .string("another")
    } check: { session in
        try await session.get().requireText("another")
        try require(try await session.journal(), equals: ["closed"], "the journal")
    },

    ConformanceCase("W34", "A body is cut at its Content-Length", at: "longer", log: ["SGI0203"]) {
        environ, startResponse in
        try startResponse(.ok, [.contentType: "text/plain", .contentLength: "5"], nil)
        return makeBody(environ.queryString, [[49, 50, 51], [52, 53, 54, 55], [56]])
    } check: { session in
        for kind in ["bytes", "chunks", "pull", "push", "swallow"] {
            let response = try await session.get("?" + kind)
            try response.requireText("12345")
            try require(response.values("Content-Length"), equals: ["5"], "Content-Length of \(kind)")
        }
    },

    ConformanceCase("W34", "A body of Content-Length 0 is cut to nothing", at: "none", log: ["SGI0203"]) {
        environ, startResponse in
        try startResponse(.ok, [.contentType: "text/plain", .contentLength: "0"], nil)
        return makeBody(environ.queryString, [[49, 50, 51]])
    } check: { session in
        for kind in ["bytes", "pull", "push", "swallow"] { try await session.get("?" + kind).requireText("") }
    },

    ConformanceCase("W34", "Writing stops at the Content-Length", at: "stops", log: ["SGI0203"]) {
        environ, startResponse in
        let journal = try Journal(environ)
        try startResponse(.ok, [.contentType: "text/plain", .contentLength: "2"], nil)
        return .push { writer in
            for _ in 0..<4 {
                do { try writer.write("x") } catch { journal.note(code { throw error }) }
            }
        }.onClose { journal.note("closed") }
    } check: { session in
        try await session.get().requireText("xx")
        let expected = ["contentLengthExceeded", "contentLengthExceeded", "closed"]
        try require(try await session.journal(with: "closed"), equals: expected, "the journal")
    },

    ConformanceCase("W35", "A body short of its Content-Length does not look complete", at: "shorter", log: ["SGI0204"])
    {
        environ, startResponse in
        try startResponse(.ok, [.contentType: "text/plain", .contentLength: "10"], nil)
        return makeBody(environ.queryString, [[49, 50, 51], [52]])
    } check: { session in
        for kind in ["bytes", "chunks", "pull", "push"] {
            try await session.get("?" + kind).requireCut()
        }
    },

    ConformanceCase("W35", "A missing body does not look complete", at: "missing", log: ["SGI0204"]) {
        environ, startResponse in
        try startResponse(.ok, [.contentType: "text/plain", .contentLength: "10"], nil)
        return makeBody(environ.queryString, [])
    } check: { session in
        for kind in ["bytes", "chunks", "pull", "push"] { try await session.get("?" + kind).requireFailure() }
    },

    ConformanceCase(
        "W38", "An error before the head is logged and becomes 500", at: "before", log: ["SGI0201", "w38 before"]
    ) {
        environ, startResponse in
        throw ApplicationError("w38 before")
    } check: { session in
        try await session.get().requireStatus(500)
        // The server goes on.
        try await session.get().requireStatus(500)
    },

    ConformanceCase(
        "W38", "An error after the head is logged and cuts the response", at: "after", log: ["SGI0201", "w38 after"]
    ) {
        environ, startResponse in
        try startResponse(.ok, textType, nil)
        return .push { writer in
            try writer.write("half of it")
            throw ApplicationError("w38 after")
        }
    } check: { session in
        try await session.get().requireCut()
    },

    ConformanceCase("W38", "An error after all of Content-Length is no success", at: "late", log: ["SGI0201"]) {
        environ, startResponse in
        let journal = try Journal(environ)
        try startResponse(.ok, [.contentType: "text/plain", .contentLength: "4"], nil)
        return .push { writer in
            try writer.write("full")
            throw ApplicationError()
        }.onClose { journal.note("closed") }
    } check: { session in
        // The bytes are out; what is left is to log it and to close.
        let response = try await session.get()
        if !response.isReplaced { try require(response.status, equals: 200, "the status") }
        _ = try await session.journal(with: "closed")
    },
]
