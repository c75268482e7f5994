import Glibc
import HTTPTypes
import Testing

@testable import SwiftGICore

/// What is kept for further requests.
@Suite(.timeLimit(.minutes(1)))
struct HandlerTaskTests {
    @TaskLocal private static var local = "none"

    private let tasks = Notes()
    private let pool = TaskPool()

    /// A handler that notes which task it runs in.
    private func handling(_ body: @escaping Handling.Body) -> Handling {
        Handling { [tasks] request, context, reader, sender in
            tasks.note(withUnsafeCurrentTask { "\($0?.hashValue ?? 0)" })
            try await body(request, context, reader, sender)
        }
    }

    /// Serves a request on the calling thread, which waits for it.
    @discardableResult
    private func serve(isKept: Bool = true, _ body: @escaping Handling.Body) -> Outcome {
        let transport = WaitingTransport()
        transport.adopt()
        return AsyncExchange(transport, handling(body), pool: isKept ? pool : nil).serve()
    }

    @Test("Requests one after the other share a task, on whichever thread")
    func kept() async {
        for _ in 0..<2 {
            await onOwnThread {
                for _ in 0..<3 {
                    let outcome = serve { _, _, _, sender in try await sender.sendAndFinish(.ok) }
                    #expect(outcome == .completed)
                }
            }
        }
        #expect(tasks.all.count == 6)
        #expect(Set(tasks.all).count == 1)
    }

    @Test("So they do if the handler waits, or throws")
    func keptAfterWaiting() async {
        await onOwnThread {
            serve { _, _, _, sender in
                try await Task.sleep(for: .milliseconds(1))
                await withTaskGroup { group in
                    for _ in 0..<3 { group.addTask { await Task.yield() } }
                }
                try await sender.sendAndFinish(.ok)
            }
            let outcome = serve { _, _, _, _ in throw CancellationError() }
            #expect(outcome == .failed)
            serve { _, _, _, sender in try await sender.sendAndFinish(.ok) }
        }
        #expect(tasks.all.count == 3)
        #expect(Set(tasks.all).count == 1)
    }

    @Test("A request whose exchange is not to keep its task has one of its own, with the caller's context")
    func ownTask() async {
        let seen = Notes()
        await onOwnThread {
            Self.$local.withValue("caller's") {
                for isKept in [true, false, true] {
                    serve(isKept: isKept) { _, _, _, sender in
                        seen.note(Self.local)
                        try await sender.sendAndFinish(.ok)
                    }
                }
            }
        }
        #expect(seen.all == ["none", "caller's", "none"])
        #expect(tasks.all[0] == tasks.all[2])
    }

    @Test("A request inside another has a task of its own")
    func nested() async {
        await onOwnThread {
            serve { [self] _, _, _, sender in
                let outcome = serve { _, _, _, sender in try await sender.sendAndFinish(.ok) }
                #expect(outcome == .completed)
                try await sender.sendAndFinish(.ok)
            }
            serve { _, _, _, sender in try await sender.sendAndFinish(.ok) }
        }
        #expect(tasks.all.count == 3)
        #expect(tasks.all[0] != tasks.all[1])
    }

    @Test("No request sees that one before it was cancelled")
    func cancelled() async {
        let states = Notes()
        await onOwnThread {
            for isGone in [false, true, false, false] {
                let transport = WaitingTransport()
                transport.adopt()
                if isGone { transport.post(.gone) }
                let exchange = AsyncExchange(
                    transport,
                    handling { _, _, _, sender in
                        states.note("\(Task.isCancelled)")
                        if isGone { try await Task.sleep(for: .seconds(600)) }
                        try await sender.sendAndFinish(.ok)
                    }, pool: pool)
                #expect(exchange.serve() == (isGone ? .clientGone : .completed))
            }
        }
        #expect(states.all == ["false", "false", "false", "false"])
        #expect(tasks.all[0] == tasks.all[1])
        #expect(tasks.all[2] == tasks.all[3])
    }

    @Test("What a request has left behind gets nothing of the next one in its task")
    func leftBehind() async {
        let kept = Held<RequestContext>()
        let answers = Notes()
        let goOn = Signal()
        let answered = Signal()
        await onOwnThread {
            serve { _, context, _, sender in
                kept.value = context
                try await sender.sendAndFinish(.ok)
            }
            serve { _, context, _, sender in
                let path = await context.variable("REQUEST_URI")
                Task.detached {
                    answers.note(await kept.value?.variable("REQUEST_URI") ?? "nothing")
                    answered.post()
                }
                // The detached task's call comes to this request's thread; it is let in here.
                while answers.all.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
                answered.wait()
                #expect(path == "/target?query")
                try await sender.sendAndFinish(.ok)
            }
            // Between requests nobody drives: a thread is started for it.
            Task.detached {
                answers.note(await kept.value?.variable("REQUEST_URI") ?? "nothing")
                goOn.post()
            }
            goOn.wait()
            serve { _, _, _, sender in try await sender.sendAndFinish(.ok) }
        }
        #expect(answers.all == ["nothing", "nothing"])
        #expect(tasks.all.count == 3)
    }

    @Test("What is kept ends with its pool")
    func poolEnds() async {
        let kept = Weak()
        await onOwnThread {
            let pool = TaskPool()
            let task = HandlerTask.take(from: pool)
            kept.task = task
            let transport = WaitingTransport()
            transport.adopt()
            _ = AsyncExchange(
                transport, handling { _, _, _, sender in try await sender.sendAndFinish(.ok) }, pool: pool
            ).serve()
            // Never begun, it is not kept.
            task.leave(to: pool)
            kept.task = pool.take()
            if let again = kept.task { #expect(pool.put(again)) }
            #expect(kept.task != nil)
        }
        await eventually { kept.task == nil }
    }

    @Test("A pool keeps as many as there is room for, and gives each to one")
    func room() async {
        await onOwnThread {
            var all = (0..<20).map { _ in HandlerTask.take(from: pool) }
            var kept = 0
            for task in all where pool.put(task) { kept += 1 }
            #expect(kept == 16)
            all.removeAll()
            var seen: [ObjectIdentifier: HandlerTask] = [:]
            while let task = pool.take() { seen[ObjectIdentifier(task)] = task }
            #expect(seen.count == 16)
        }
    }
}

private final class Weak: @unchecked Sendable {
    // Sendable: the test reads when the thread is done with it.
    weak var task: HandlerTask?
}
