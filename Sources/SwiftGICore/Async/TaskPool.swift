import CSwiftGISystem
import Glibc
import Synchronization

/// Tasks that handlers have left, for the next requests.
///
/// Each processor has places of its own, since what ran on it last is still in its cache. A thread's own
/// would be no better than new: servers have their threads take turns.
@safe package final class TaskPool: Sendable {
    /// The process's.
    package static let shared = TaskPool()

    private let processors: [Processor]

    package init() {
        let count = max(1, sysconf(Int32(_SC_NPROCESSORS_CONF)))
        processors = (0..<min(count, 1024)).map { _ in Processor() }
    }

    func take() -> HandlerTask? {
        let own = current
        if let task = processors[own].take() { return task }
        for index in processors.indices where index != own {
            if let task = processors[index].take() { return task }
        }
        return nil
    }

    /// - Returns: `false` if there is no room.
    func put(_ task: HandlerTask) -> Bool { processors[current].put(task) }

    private var current: Int {
        let processor = Int(swiftgi_processor())
        return processor < 0 ? 0 : processor % processors.count
    }

    /// The places of a processor. Few are used; with all of them no two processors' are in one line of
    /// the cache.
    @safe private final class Processor: Sendable {
        // Safe: what a place has is taken out by one.
        private let places: [16 of Atomic<Unmanaged<HandlerTask>?>] = unsafe .init { _ in unsafe Atomic(nil) }

        deinit { while let task = take() { task.dismiss() } }

        func take() -> HandlerTask? {
            for index in unsafe places.indices {
                if unsafe places[index].load(ordering: .relaxed) == nil { continue }
                // Put there with a reference of its own.
                if let task = unsafe places[index].exchange(nil, ordering: .acquiring) {
                    return unsafe task.takeRetainedValue()
                }
            }
            return nil
        }

        func put(_ task: HandlerTask) -> Bool {
            let kept = unsafe Unmanaged.passRetained(task)
            for index in unsafe places.indices {
                if unsafe places[index].load(ordering: .relaxed) != nil { continue }
                if unsafe places[index].compareExchange(expected: nil, desired: kept, ordering: .releasing).exchanged {
                    return true
                }
            }
            unsafe kept.release()
            return false
        }
    }
}
