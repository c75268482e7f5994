import Glibc
import SwiftGI
import Synchronization

/// Concurrency inside a request and around it.
let taskRoutes: [String: Route] = [
    "/child-tasks": { _, _, sender in
        async let first = slow(1)
        async let second = slow(2)
        let sum = try await first + second
        try await sender.sendAndFinish(plain, Array("\(sum)\n".utf8))
    },
    "/task-group": { call, _, sender in
        let count = call.number("count", 10)
        let sum = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 1...count { group.addTask { try await slow(number) } }
            return try await group.reduce(0, +)
        }
        try await sender.sendAndFinish(plain, Array("\(sum)\n".utf8))
    },
    // One actor for all requests.
    "/actor": { _, _, sender in
        let mine = await counter.next()
        try await Task.sleep(for: .milliseconds(1))
        let later = await counter.next()
        try await sender.sendAndFinish(plain, Array((later > mine ? "counted\n" : "confused\n").utf8))
    },
    "/main-actor": { _, _, sender in
        let text = await onMainActor()
        try await sender.sendAndFinish(plain, Array(text.utf8))
    },
    // Waits for something that other threads do, so often that each order of leaving and coming back
    // is met.
    "/hops": { call, _, sender in
        var count = 0
        for hop in 0..<call.number("count", 1) { count += await Task.detached { pause(hop % 50) }.value }
        try await sender.sendAndFinish(plain, Array("\(count)\n".utf8))
    },
    // A task that is there when the request is over; it tells what it gets then.
    "/outlived": { call, reader, sender in
        let body = reader.sequence()
        Task.detached {
            try? await call.passGate()
            let method = await call.context.variable("REQUEST_METHOD") ?? "none"
            let reading = await outcome { for try await _ in body {} }
            let environ = await outcome { _ = try await call.context.environ }
            let stop = await outcome { try await call.context.waitUntilServerStops() }
            call.journal("afterwards: method \(method), reading \(reading), environ \(environ), stop \(stop)")
        }
        try await sender.sendAndFinish(plain, Array("answered\n".utf8))
    },
    // As above, with the writer, whose response is incomplete therefore.
    "/outlived-writer": { call, _, sender in
        let box = WriterBox(try await sender.send(plain))
        try await box.write("begin\n")
        Task.detached {
            try? await call.passGate()
            let writing = await outcome { try await box.finish() }
            call.journal("afterwards: writing \(writing)")
        }
    },
    // A writer and a reader in two tasks at once.
    "/two-tasks": { call, reader, sender in
        let body = reader.sequence()
        let box = WriterBox(try await sender.send(plain))
        let pieces = Mutex(0)
        async let reading: Void = {
            for try await piece in body { pieces.withLock { $0 += piece.count } }
        }()
        try await box.write("begin\n")
        try await reading
        try await box.write("\(pieces.withLock { $0 })\n")
        try await box.finish()
    },
]

/// Takes some microseconds without giving up the thread. Returns 1.
private func pause(_ microseconds: Int) -> Int {
    let end = ContinuousClock.now + .microseconds(microseconds)
    while ContinuousClock.now < end {}
    return 1
}

private func slow(_ number: Int) async throws -> Int {
    try await Task.sleep(for: .milliseconds(1))
    return number
}

private actor Counter {
    private var count = 0

    func next() -> Int {
        count += 1
        return count
    }
}

private let counter = Counter()

@MainActor private var visits = 0

@MainActor private func onMainActor() async -> String {
    visits += 1
    await Task.yield()
    return "main\n"
}

/// What an attempt came to, in one word.
func outcome(_ attempt: () async throws -> Void) async -> String {
    do {
        try await attempt()
        return "done"
    } catch let error as GatewayError {
        return "\(error.code)"
    } catch {
        return "\(error)"
    }
}

/// A writer that more than one task can reach; they take turns.
final class WriterBox: @unchecked Sendable {
    private var writer: ResponseWriter?
    private let failure: (any Error)?

    init(_ writer: consuming ResponseWriter) {
        self.writer = consume writer
        failure = nil
    }

    /// Of a response whose head could not be sent.
    init(failing error: any Error) {
        writer = nil
        failure = error
    }

    func write(_ text: String) async throws {
        if let failure { throw failure }
        guard var writer = writer.take() else { return }
        do {
            try await writer.write(text)
            self.writer = consume writer
        } catch {
            self.writer = consume writer
            throw error
        }
    }

    func finish() async throws {
        if let failure { throw failure }
        guard let writer = writer.take() else { return }
        try await writer.finish()
    }
}
