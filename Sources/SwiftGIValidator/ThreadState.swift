import Glibc

/// What of a thread and of the process's environment the next request finds as this one left it: A6.
///
/// That request may be another client's, and this client's next one may be served elsewhere: what is
/// kept here is either lost or somebody else's.
struct ThreadState {
    private let thread = UInt(pthread_self())
    private let signals: [Bool]
    private let locale = unsafe UInt(bitPattern: uselocale(nil))
    private let rounding = fegetround()
    private let variables = Self.variables()

    /// The calling thread as it is.
    init() {
        var mask = sigset_t()
        // Only asks.
        _ = unsafe pthread_sigmask(SIG_BLOCK, nil, &mask)
        signals = (1..<32).map { unsafe sigismember(&mask, $0) == 1 }
    }

    /// What is different now. A handler may have come to another thread, of which nothing was known.
    var change: String? {
        let now = ThreadState()
        if let what = now.changedVariable(since: self) {
            return "\(what): the next request may come to another process"
        }
        guard now.thread == thread else { return nil }
        let what: String
        if now.signals != signals {
            what = "signal mask"
        } else if now.locale != locale {
            what = "locale"
        } else if now.rounding != rounding {
            what = "rounding of numbers"
        } else {
            return nil
        }
        return "the \(what) of the thread was changed: the next request on it may be another client's"
    }

    /// Each variable as the place of its text: to set one gives it another.
    private static func variables() -> [UInt] {
        // The variable itself is no concern of Swift's concurrency: whoever changes it does so beside every
        // reader's back.
        guard let symbol = unsafe dlsym(nil, "environ") else { return [] }
        var entry = unsafe symbol.load(as: UnsafePointer<UnsafePointer<CChar>?>?.self)
        var all: [UInt] = []
        while let list = unsafe entry, let text = unsafe list.pointee {
            all.append(UInt(bitPattern: text))
            unsafe entry = list + 1
        }
        return all
    }

    /// What happened to which variable.
    private func changedVariable(since earlier: ThreadState) -> String? {
        if variables == earlier.variables { return nil }
        let known = Set(earlier.variables)
        guard let new = variables.first(where: { !known.contains($0) }) else {
            return "an environment variable was removed"
        }
        guard let text = unsafe UnsafePointer<CChar>(bitPattern: new) else { return nil }
        return unsafe "the environment variable \(String(cString: text).prefix { $0 != "=" }) was changed"
    }
}
