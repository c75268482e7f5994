import HTTPTypes
import SwiftGICore

/// How an application is called: W1 to W3.
let callCases: [ConformanceCase] = [
    ConformanceCase("W1", "A closure of two parameters is an application", at: "closure") { environ, startResponse in
        try reply(startResponse, "called\n")
    } check: { session in
        try await session.get().requireText("called\n")
    },

    ConformanceCase("W1", "What a call returns belongs to its request alone", at: "value") { environ, startResponse in
        try reply(startResponse, environ.queryString)
    } check: { session in
        try await session.get("?one").requireText("one")
        try await session.get("?two").requireText("two")
    },

    ConformanceCase("W2", "An application is called any number of times", at: "again") { environ, startResponse in
        try reply(startResponse, environ.queryString)
    } check: { session in
        for number in 1...50 { try await session.get("?\(number)").requireText("\(number)") }
    },

    ConformanceCase("W2", "Calls at the same time don't mix", at: "together") { environ, startResponse in
        let query = environ.queryString
        let body = try environ.input.collect(upTo: 1 << 20)
        try startResponse(.ok, textType, nil)
        return .push { writer in
            for _ in 0..<10 { try writer.write(query) }
            try writer.write(body)
        }
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

    ConformanceCase("W3", "The environ can be changed, for inner applications", at: "change") {
        environ, startResponse in
        let before = environ["swiftgi.test.mark"]
        let inner: Application = { environ, startResponse in
            try report(
                startResponse,
                [
                    "mark": environ["swiftgi.test.mark"], "method": environ.method, "query": environ["QUERY_STRING"],
                    "snapshot": environ.snapshot()["swiftgi.test.mark"],
                    "removed": environ.snapshot()["QUERY_STRING"] ?? "yes",
                ])
        }
        guard before == nil else { return try reply(startResponse, "before=\(before ?? "")\n") }
        environ["swiftgi.test.mark"] = "inner"
        environ["REQUEST_METHOD"] = "CHANGED"
        environ["QUERY_STRING"] = nil
        return try inner(&environ, startResponse)
    } check: { session in
        // Twice: what the first request changed the second does not see.
        for _ in 1...2 {
            let response = try await session.get("?query")
            try response.requireReport([
                "mark": "inner", "method": "CHANGED", "snapshot": "inner", "removed": "yes",
            ])
            try require(response.report["query"], equals: nil, "the removed variable")
        }
    },

    ConformanceCase("W3", "Middleware mounts an application deeper", at: "mount") { environ, startResponse in
        let own = "/w3/mount"
        environ.scriptName += own
        environ.pathInfo = String(environ.pathInfo.dropFirst(own.count))
        let inner: Application = { environ, startResponse in
            try report(startResponse, ["script": environ.scriptName, "path": environ.pathInfo])
        }
        return try inner(&environ, startResponse)
    } check: { session in
        try await session.get("/rest").requireReport([
            "script": session.client.scriptName + "/w3/mount", "path": "/rest",
        ])
    },
]
