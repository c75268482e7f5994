import Glibc
import SwiftGICore
import Synchronization
import Testing

/// Counts.
private final class CountingWaker: Waker {
    private let count = Atomic(0)

    func wake() { count.add(1, ordering: .relaxed) }

    var wakes: Int { count.load(ordering: .relaxed) }
}

@Suite(.timeLimit(.minutes(1)))
struct RequestExecutorTests {
    private let executor = RequestExecutor()
    private let notes = Notes()

    /// Queues a job that notes something.
    private func enqueue(_ line: String) {
        Task(executorPreference: executor) { [notes] in notes.note(line) }
    }

    @Test("Jobs run in their order, on the thread that drains, and on no other")
    func order() {
        for number in 0..<10 { enqueue("\(number)") }
        #expect(executor.hasJobs)
        #expect(notes.all == [])
        executor.drain()
        #expect(notes.all == (0..<10).map { "\($0)" })
        #expect(!executor.hasJobs)
    }

    @Test("Jobs that jobs queue run in the same go, behind those before")
    func nested() {
        let again = executor
        Task(executorPreference: executor) { [notes] in
            notes.note("first")
            Task(executorPreference: again) { notes.note("third") }
        }
        enqueue("second")
        executor.drain()
        #expect(notes.all == ["first", "second", "third"])
    }

    @Test("Who drains is current, and nobody else")
    func current() async {
        let executor = executor
        #expect(!executor.isCurrent)
        let reached = Held<Bool>()
        let release = Signal()
        Task(executorPreference: executor) { [notes] in
            notes.note("\(executor.isCurrent)")
            reached.value = true
            release.wait()
        }
        let drained = Held<Bool>()
        await onOwnThreadDetached {
            executor.drain()
            drained.value = !executor.isCurrent
        }
        await eventually { reached.value == true }
        #expect(!executor.isCurrent)
        release.post()
        await eventually { drained.value != nil }
        #expect(drained.value == true)
        #expect(notes.all == ["true"])
    }

    @Test("A request inside another's job is current until its jobs are done, then the other is again")
    func inside() {
        let outer = executor
        let inner = RequestExecutor()
        Task(executorPreference: outer) { [notes] in
            Task(executorPreference: inner) { notes.note("\(inner.isCurrent) \(outer.isCurrent)") }
            inner.drain()
            notes.note("\(inner.isCurrent) \(outer.isCurrent)")
        }
        outer.drain()
        #expect(notes.all == ["true true", "false true"])
    }

    @Test("To drain within a job of its own leaves the executor current")
    func reentrant() {
        let executor = executor
        Task(executorPreference: executor) { [notes] in
            Task(executorPreference: executor) { notes.note("inner") }
            executor.drain()
            notes.note("\(executor.isCurrent)")
        }
        executor.drain()
        #expect(notes.all == ["inner", "true"])
    }

    // MARK: Parking

    @Test("A parked executor wakes its driver once, however many jobs come")
    func once() {
        let waker = CountingWaker()
        #expect(executor.park { waker })
        for _ in 0..<5 { enqueue("job") }
        executor.poke()
        #expect(waker.wakes == 1)
        executor.attach()
        enqueue("job")
        #expect(waker.wakes == 1)
        executor.drain()
        #expect(notes.all.count == 6)
        _ = executor.takePoke()
        #expect(
            executor.park {
                Issue.record("the waker is made once"); return waker
            })
        executor.poke()
        #expect(waker.wakes == 2)
    }

    @Test("An attached executor wakes nobody")
    func attached() {
        let waker = CountingWaker()
        #expect(executor.park { waker })
        executor.attach()
        enqueue("job")
        executor.poke()
        #expect(waker.wakes == 0)
    }

    @Test("With something to do it does not park")
    func busy() {
        let waker = CountingWaker()
        enqueue("job")
        #expect(!executor.park { waker })
        executor.drain()
        executor.poke()
        #expect(!executor.park { waker })
        #expect(executor.takePoke())
        #expect(!executor.takePoke())
        #expect(executor.park { waker })
        #expect(waker.wakes == 0)
    }

    // MARK: Behind the end

    @Test("What an orphan still has to do runs on a thread of its own")
    func orphan() async {
        let executor = executor
        let own = UInt(pthread_self())
        Task(executorPreference: executor) { [notes] in
            notes.note("\(executor.isCurrent) \(UInt(pthread_self()) != own)")
        }
        executor.orphan()
        await eventually { [notes] in notes.all == ["true true"] }
        // Its thread has gone; another comes.
        await eventually { !executor.hasJobs && !executor.isCurrent }
        enqueue("again")
        await eventually { [notes] in notes.all.last == "again" }
    }

    @Test("A parked executor that is orphaned wakes nobody any more")
    func orphanParked() async {
        let waker = CountingWaker()
        #expect(executor.park { waker })
        executor.orphan()
        enqueue("late")
        executor.poke()
        await eventually { [notes] in notes.all == ["late"] }
        #expect(waker.wakes == 0)
    }

    @Test("An orphan's jobs run one at a time, however many threads queue them")
    func orphanStress() async {
        let executor = executor
        executor.orphan()
        let running = Count()
        let most = Count()
        let done = Count()
        await withTaskGroup { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<100 {
                        Task(executorPreference: executor) {
                            most.raise(to: running.add(1))
                            running.add(-1)
                            done.add(1)
                        }
                        await Task.yield()
                    }
                }
            }
        }
        await eventually { done.value == 800 }
        #expect(most.value == 1)
    }

    // MARK: All together

    @Test("No job and no wake is lost while it parks and attaches, and is driven by one thread after another")
    func stress() async {
        let executor = executor
        let waker = SignalWaker()
        let done = Count()
        let running = Count()
        let most = Count()
        let total = 4000
        await onOwnThreadDetached {
            while done.value < total {
                // Each turn on a thread of its own, as if the request were resumed.
                let turn = Signal()
                do {
                    try DetachedThread.start {
                        executor.attach()
                        executor.drain()
                        _ = executor.takePoke()
                        if executor.park({ waker }) { _ = waker.wait(milliseconds: 10_000) }
                        turn.post()
                    }
                } catch {
                    Issue.record(error)
                }
                turn.wait()
            }
        }
        await withTaskGroup { group in
            for _ in 0..<4 {
                group.addTask {
                    for number in 0..<total / 4 {
                        Task(executorPreference: executor) {
                            most.raise(to: running.add(1))
                            running.add(-1)
                            done.add(1)
                        }
                        if number % 7 == 0 { executor.poke() }
                        if number % 16 == 0 { try? await Task.sleep(for: .microseconds(1)) }
                    }
                }
            }
        }
        await eventually { done.value == total }
        #expect(most.value == 1)
    }
}

/// Starts a closure on a thread of its own and does not wait for it.
private func onOwnThreadDetached(_ body: @escaping @Sendable () -> Void) async {
    do { try DetachedThread.start(body) } catch { Issue.record(error) }
}
