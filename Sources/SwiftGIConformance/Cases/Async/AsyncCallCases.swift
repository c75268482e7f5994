import HTTPTypes
import Logging
import SwiftGICore
import Synchronization

/// What a run's last request has left behind.
private let kept = Mutex<[String: Kept]>([:])

private struct Kept: Sendable {
    let context: RequestContext
    let body: RequestBody
}

/// How a handler is called and what it learns of its request: W1, W2, W6 to W10, W42 and W47.
let asyncCallCases: [ConformanceCase] = [
    ConformanceCase(async: "W1", "A value with a method is a handler", at: "call") { request, _, sender in
        try await reply(sender, await request.query)
    } check: { session in
        try await session.get("?one").requireText("one")
        try await session.get("?two").requireText("two")
    },

    ConformanceCase(async: "W2", "A handler is called any number of times", at: "again") { request, _, sender in
        try await reply(sender, await request.query)
    } check: { session in
        for number in 1...50 { try await session.get("?\(number)").requireText("\(number)") }
    },

    ConformanceCase(async: "W2", "Calls at the same time don't mix", at: "together") { request, reader, sender in
        let query = await request.query
        let body = try await reader.collect(upTo: 1 << 20)
        var writer = try await sender.send(textHead)
        for _ in 0..<5 {
            try await writer.write(query)
            try await Task.sleep(for: .milliseconds(1))
            try await writer.write(query)
        }
        try await writer.finish(body)
    } check: { session in
        try await withThrowingTaskGroup { group in
            for number in 1...16 {
                group.addTask {
                    let expected = String(repeating: "<\(number)>", count: 10) + "body \(number)"
                    try await session.post("body \(number)", suffix: "?<\(number)>").requireText(expected)
                }
            }
            try await group.waitForAll()
        }
    },

    ConformanceCase(async: "W6", "The request's head is as it came", at: "head") { request, _, sender in
        let head = request.head
        let twice = HTTPField.Name("X-Twice").map { head.headerFields[values: $0] } ?? []
        try await report(
            sender,
            [
                "method": head.method.rawValue, "target": head.path,
                "authority": head.authority.map { "\(!$0.isEmpty)" },
                "scheme": head.scheme, "type": head.headerFields[.contentType], "twice": twice.joined(separator: ", "),
                "host": HTTPField.Name("Host").flatMap { head.headerFields[$0] },
            ])
    } check: { session in
        let headers = [("Content-Type", "text/csv"), ("X-Twice", "one"), ("X-Twice", "two")]
        let response = try await session.send(session.request("PUT", "/a%20b?c=%20d", headers: headers))
        try response.requireReport([
            "method": "PUT", "target": session.client.scriptName + session.path + "/a%20b?c=%20d", "type": "text/csv",
            "twice": "one, two",
        ])
        let scheme = response.report["scheme"] ?? "absent"
        try require(["http", "https"].contains(scheme), "the scheme is \(scheme)")
        // Its place is the authority.
        try require(response.report["host"], equals: nil, "the field Host")
    },

    ConformanceCase(async: "W8", "Variables are there one by one and all together", at: "variables") {
        request, _, sender in
        let context = request.context
        let environ = try await context.environ
        var same: [String] = []
        for (name, value) in environ.variables where await context.variable(name) != value { same.append(name) }
        try await report(
            sender,
            [
                "method": await context.variable("REQUEST_METHOD"), "snapshot": environ["REQUEST_METHOD"],
                "address": "\(await context.remoteAddress == environ["REMOTE_ADDR"])", "different": same.joined(),
                "absent": await context.variable("NO_SUCH_VARIABLE") ?? environ["NO_SUCH_VARIABLE"],
            ])
    } check: { session in
        let response = try await session.get()
        try response.requireReport(["method": "GET", "snapshot": "GET", "address": "true", "different": ""])
        try require(response.report["absent"], equals: nil, "a variable that does not exist")
    },

    ConformanceCase(async: "W10", "The gateway's entries are variables too", at: "entries") { request, _, sender in
        let context = request.context
        try await report(
            sender,
            [
                "version": await context.variable("swiftgi.version"),
                "scheme": await context.variable("swiftgi.url_scheme"),
                "server": await context.variable("swiftgi.server"), "id": await context.requestID,
                "same": "\(await context.requestID == (try await context.environ)["swiftgi.request_id"])",
            ])
    } check: { session in
        let response = try await session.get()
        try response.requireReport(["version": "1.0", "same": "true"])
        try require(response.report["id"]?.isEmpty == false, "the id is empty")
        try require(try await session.get().report["id"] != response.report["id"], "two requests have the same id")
    },

    ConformanceCase(async: "W14", "A logger writes to the server's log", at: "log", log: ["w14 async"]) {
        request, _, sender in
        request.context.logger.error("w14 async handler")
        try await waitForAnotherThread()
        request.context.logger.error("w14 async later")
        let logger = request.context.logger
        await Task.detached { logger.error("w14 async detached") }.value
        try await reply(sender, "logged")
    } check: { session in
        try await session.get().requireText("logged")
    },

    ConformanceCase(async: "W42", "Variables of the server's configuration are there", at: "configuration") {
        request, _, sender in
        let value = await request.context.variable(Journal.directory)
        try await report(
            sender,
            [
                "set": value.map { "\(!$0.isEmpty)" },
                "snapshot": "\(try await request.context.environ[Journal.directory] == value)",
            ])
    } check: { session in
        try await session.get().requireReport(["set": "true", "snapshot": "true"])
    },

    ConformanceCase(async: "W47", "What is kept of a request fails cleanly afterwards", at: "kept") {
        request, reader, sender in
        let token = await request.context.variable(Journal.variable) ?? ""
        var results = "none"
        if let last = kept.withLock({ $0.removeValue(forKey: token) }) {
            var codes: [String] = []
            do { _ = try await last.body.collect(upTo: 1) } catch { codes.append(code(of: error)) }
            do { for try await _ in last.body {} } catch { codes.append(code(of: error)) }
            do { _ = try await last.context.environ } catch { codes.append(code(of: error)) }
            codes.append(await last.context.variable("REQUEST_METHOD") ?? "nothing")
            results = codes.joined(separator: " ")
        }
        let body = reader.sequence()
        var iterator = body.makeAsyncIterator()
        _ = try await iterator.next()
        let own = Kept(context: request.context, body: body)
        kept.withLock { $0[token] = own }
        try await reply(sender, results)
    } check: { session in
        // Until a request comes to a process that has served another.
        for _ in 0..<500 {
            let response = try await session.post("a body")
            try response.requireStatus(200)
            if response.text != "none" {
                return try require(response.text, equals: "finished finished finished nothing", "what was to be had")
            }
        }
        throw ConformanceFailure(description: "no process served two requests")
    },

    ConformanceCase(async: "W47", "A task that outlives its request is refused", at: "outlives") {
        request, reader, sender in
        let journal = try await request.journal
        let context = request.context
        let body = reader.sequence()
        Task.detached {
            try? await waitForAnotherThread()
            // The response is complete only when the handler has returned.
            while await context.variable("REQUEST_METHOD") != nil { try? await Task.sleep(for: .milliseconds(1)) }
            do { _ = try await body.collect(upTo: 100) } catch { journal.note(code(of: error)) }
            context.logger.debug("still here")
            journal.note("end")
        }
        try await reply(sender, "done")
    } check: { session in
        try await session.post("body").requireText("done")
        try require(try await session.journal(with: "end"), equals: ["finished", "end"], "the journal")
    },
]
