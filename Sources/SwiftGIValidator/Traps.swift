import Glibc
import Synchronization

/// Says which requests a process was serving when it trapped: A10.
///
/// The line goes to standard error, from the handler of the signal, where nearly nothing is permitted:
/// so everything that it needs is made before. Who handled the signal before does so afterwards, and the
/// process ends as it would have.
enum Traps {
    private static let signals = [SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGBUS, SIGSEGV]
    private static let places = 64
    private static let size = 160

    /// What was said of the signals before, texts of the requests, and who has which.
    nonisolated(unsafe) private static let before = UnsafeMutablePointer<sigaction>.allocate(capacity: 64)
    nonisolated(unsafe) private static let texts: UnsafeMutablePointer<UInt8> = {
        let texts = UnsafeMutablePointer<UInt8>.allocate(capacity: places * size)
        unsafe texts.initialize(repeating: 0, count: places * size)
        return unsafe texts
    }()
    private static let taken = Places()

    private final class Places: Sendable {
        let bits = Atomic<UInt64>(0)

        func take() -> Int? {
            var current = bits.load(ordering: .relaxed)
            while true {
                let free = (~current).trailingZeroBitCount
                if free >= 64 { return nil }
                let (done, now) = bits.compareExchange(
                    expected: current, desired: current | 1 << UInt64(free), ordering: .acquiringAndReleasing)
                if done { return free }
                current = now
            }
        }

        func release(_ index: Int) {
            bits.bitwiseAnd(~(1 << UInt64(index)), ordering: .releasing)
        }
    }

    private static let isInstalled: Bool = {
        // Made here, since a handler must not make them.
        _ = unsafe texts
        _ = taken.bits.load(ordering: .relaxed)
        for signal in signals {
            var action = sigaction()
            unsafe action.__sigaction_handler.sa_handler = { Traps.handle($0) }
            action.sa_flags = SA_ONSTACK
            unsafe before[Int(signal)] = sigaction()
            _ = unsafe sigaction(signal, &action, &before[Int(signal)])
        }
        return true
    }()

    /// Remembers a request until what is returned leaves; `nil` if there are too many already.
    static func enter(_ method: String, _ path: String) -> Int? {
        _ = isInstalled
        guard let index = taken.take() else { return nil }
        let text = "\(method) \(path)".utf8.map { $0 >= 0x20 && $0 < 0x7F ? $0 : UInt8(ascii: "?") }.prefix(size - 1)
        let place = unsafe texts + index * size
        for (offset, byte) in text.enumerated() { unsafe place[offset] = byte }
        unsafe place[text.count] = 0
        return index
    }

    /// The request is over, and another may take its place.
    static func leave(_ place: Int?) {
        if let place { taken.release(place) }
    }

    private static func handle(_ signal: Int32) {
        put("breaks rule A10: the process traps (")
        put(name(signal))
        put("), and with it every request that it serves:")
        let bits = taken.bits.load(ordering: .acquiring)
        for index in 0..<places where bits & 1 << UInt64(index) != 0 {
            let text = unsafe texts + index * size
            put(" ")
            _ = unsafe write(2, text, strlen(UnsafeRawPointer(text).assumingMemoryBound(to: CChar.self)))
        }
        put("\n")
        _ = unsafe sigaction(signal, &before[Int(signal)], nil)
        // Where the signal was no instruction's, nothing brings it again.
        raise(signal)
    }

    private static func put(_ text: StaticString) {
        _ = unsafe write(2, text.utf8Start, text.utf8CodeUnitCount)
    }

    private static func name(_ signal: Int32) -> StaticString {
        switch signal {
        case SIGILL: "SIGILL"
        case SIGTRAP: "SIGTRAP"
        case SIGABRT: "SIGABRT"
        case SIGFPE: "SIGFPE"
        case SIGBUS: "SIGBUS"
        default: "SIGSEGV"
        }
    }
}
