import Foundation
import Glibc
import Testing

/// How many servers run at a time: enough to use the processors, few enough that nothing starves.
private let capacity = Capacity(max(2, min(4, ProcessInfo.processInfo.activeProcessorCount)))

/// Runs what blocks its thread, as these tests do when they poll and read: the threads of the
/// concurrency pool, as few as there are processors, are left to those that need them.
private final class BlockingExecutor: TaskExecutor {
    private let queue = DispatchQueue(label: "blocking", attributes: .concurrent)

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

private let blocking = BlockingExecutor()

/// Runs a test against a server of its own, and checks what must hold after every test.
///
/// - httpd stops when it is told to, and nothing it started is left.
/// - No process kept a descriptor.
/// - The error logs have nothing at warning or worse but what the test expects, and all of that.
///
/// - Parameters:
///   - expecting: Log ids or texts. Each line at warning or worse, and each that httpd did not
///     write, must contain one of them; each of them must be in some line.
///   - permitting: Texts of lines that may be there besides.
///   - rawLines: Whether there may be lines that httpd did not write: a backtrace.
///   - alone: Whether no other server may run beside it.
func withServer(
    _ configuration: Configuration, expecting: [String] = [], permitting: [String] = [], rawLines: Bool = false,
    alone: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation, _ test: (Server) async throws -> Void
) async throws {
    try await withCapacity(all: alone) {
        try await run(
            configuration, expecting: expecting, permitting: permitting, rawLines: rawLines,
            sourceLocation: sourceLocation, test)
    }
}

/// All threads of httpd are in use for a moment (event, worker, prefork): a busy machine's affair. What holds
/// them for longer the tests see.
let ofBusyMachines = ["AH00484", "AH00286", "AH00161"]

private func run(
    _ configuration: Configuration, expecting: [String], permitting: [String], rawLines: Bool,
    sourceLocation: SourceLocation,
    _ test: (Server) async throws -> Void
) async throws {
    let server = try Server(configuration)
    let permitting = permitting + ofBusyMachines
    func complain(_ what: String) { Issue.record("\(what)", sourceLocation: sourceLocation) }
    func complain(_ error: any Error) {
        complain("\(error)\nThe error log:\n\(server.errorLogs.map { readText($0.path) }.joined(separator: "\n"))")
    }
    do {
        try server.start()
    } catch {
        complain(error)
        _ = await server.stop(graceful: false)
        server.removeFiles()
        return
    }
    do {
        try await test(server)
    } catch {
        complain(error)
    }
    for leak in server.descriptorLeaks() { complain(leak) }
    for wrong in await server.stop() { complain(wrong) }
    let verdict = ErrorLog.verdict(server.errorLogs.flatMap(\.rawLines), expecting: expecting)
    for line in verdict.unexpected
    where (!rawLines || LogLine(line[...]) != nil) && !permitting.contains(where: line.contains) {
        complain("unexpected in the error log: \(line)")
    }
    for text in verdict.missing { complain("missing in the error log: \(text)") }
    server.removeFiles()
}

/// Runs a test with a server that is configured but not started.
func withStoppedServer(_ configuration: Configuration, _ test: (Server) throws -> Void) async throws {
    try await withCapacity(all: false) { try await runStopped(configuration, test) }
}

private func runStopped(_ configuration: Configuration, _ test: (Server) throws -> Void) async throws {
    let server = try Server(configuration)
    defer { server.removeFiles() }
    try test(server)
    let left = ProcessTable.processes(naming: server.root).filter { ProcessTable.isAlive($0) }
    for pid in left {
        Issue.record("process \(pid) is left: \(ProcessTable.commandLine(of: pid))")
        kill(pid, SIGKILL)
    }
}

/// Whether the task has a server already. A second one of the same test does not wait for a place: whoever
/// wants to be alone, and came before it, would wait for the test's first, and both for ever.
@TaskLocal private var isServing = false

private func withCapacity(all: Bool, _ body: () async throws -> Void) async throws {
    if isServing { return try await body() }
    await capacity.acquire(all: all)
    defer { Task { await capacity.release(all: all) } }
    try await $isServing.withValue(true) { try await withTaskExecutorPreference(blocking) { try await body() } }
}

/// Whether a test waits for its server's place.
func isCapacityAwaited() async -> Bool { await capacity.isAwaited }

/// Lets so many pass at a time, or one that wants to be alone; in the order of arrival.
private actor Capacity {
    private let size: Int
    private var taken = 0
    private var waiting: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []

    init(_ size: Int) { self.size = size }

    var isAwaited: Bool { !waiting.isEmpty }

    func acquire(all: Bool) async {
        let count = all ? size : 1
        if waiting.isEmpty, taken + count <= size {
            taken += count
            return
        }
        await withCheckedContinuation { waiting.append((count, $0)) }
    }

    func release(all: Bool) {
        taken -= all ? size : 1
        while let next = waiting.first, taken + next.count <= size {
            taken += next.count
            waiting.removeFirst()
            next.continuation.resume()
        }
    }
}
