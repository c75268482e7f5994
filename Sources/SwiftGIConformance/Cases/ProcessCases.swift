import Glibc
import HTTPTypes
import SwiftGICore
import Synchronization

private let presence = Mutex((now: 0, most: 0))

/// The input that a run's last request on a thread has left behind.
private let kept = Mutex<[String: Kept]>([:])

private struct Kept: @unchecked Sendable {
    // Sendable: it is used only on the thread that it comes from.
    let input: Input
}

/// Processes, threads and the server's configuration: W41, W42 and W47.
let processCases: [ConformanceCase] = [
    ConformanceCase("W41", "An application that is told it runs alone runs alone", at: "alone") {
        environ, startResponse in
        presence.withLock { state in
            state.now += 1
            state.most = max(state.most, state.now)
        }
        usleep(20_000)
        let most = presence.withLock { state in
            state.now -= 1
            return state.most
        }
        return try report(startResponse, ["multithread": "\(environ.multithread)", "most": "\(most)"])
    } check: { session in
        let reports = try await withThrowingTaskGroup(returning: [[String: String]].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let response = try await session.get()
                    try response.requireStatus(200)
                    return response.report
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        for report in reports where report["multithread"] == "false" {
            try require(report["most"], equals: "1", "the number of calls at a time")
        }
    },

    ConformanceCase("W42", "Variables of the server's configuration are in the environ", at: "variable") {
        environ, startResponse in
        try report(
            startResponse,
            [
                "set": environ[Journal.directory].map { "\(!$0.isEmpty)" },
                "snapshot": "\(environ.snapshot()[Journal.directory] == environ[Journal.directory])",
            ])
    } check: { session in
        try await session.get().requireReport(["set": "true", "snapshot": "true"])
    },

    ConformanceCase("W47", "What is kept of a request fails cleanly afterwards", at: "kept") {
        environ, startResponse in
        let place = "\(environ[Journal.variable] ?? "") \(pthread_self())"
        var results = "none"
        if let input = kept.withLock({ $0.removeValue(forKey: place) })?.input {
            results = [
                code { _ = try input.read() }, code { _ = try input.readLine() }, code { _ = try input.next() },
                code { _ = try input.collect(upTo: 1) },
            ].joined(separator: " ")
        }
        // Two lines, of which one is read: what is buffered is gone with the request too.
        _ = try environ.input.readLine()
        let own = Kept(input: environ.input)
        kept.withLock { $0[place] = own }
        return try reply(startResponse, results)
    } check: { session in
        // Until a request comes to a thread that has served another.
        for _ in 0..<500 {
            let response = try await session.post("one\ntwo\n")
            try response.requireStatus(200)
            if response.text != "none" {
                return try require(response.text, equals: "finished finished finished finished", "what reads threw")
            }
        }
        throw ConformanceFailure(description: "no thread served two requests")
    },

    ConformanceCase("W47", "Nothing works behind the end of the response but the log", at: "finish") {
        environ, startResponse in
        let journal = try Journal(environ)
        let input = environ.input
        environ.onFinish { journal.note("finish 1") }
        environ.onFinish {
            journal.note("finish 2 \(code { _ = try input.collect(upTo: 100) })")
        }
        try startResponse(.ok, textType, nil)
        return Body.string("done").onClose { journal.note("closed") }
    } check: { session in
        try await session.get().requireText("done")
        let expected = ["closed", "finish 2 none", "finish 1"]
        try require(try await session.journal(with: "finish 1"), equals: expected, "the journal")
    },
]
