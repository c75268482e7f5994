import Glibc
import SwiftGICore
import SwiftGIValidator
import Synchronization

/// Whether the process's environment asks for the validator: `SWIFTGI_VALIDATE=1`.
private var isValidatorWanted: Bool {
    unsafe getenv("SWIFTGI_VALIDATE").map { unsafe strcmp($0, "1") == 0 } ?? false
}

extension RunningApplication {
    /// Makes an application; one under the validator if that is wanted.
    static func make(_ make: () throws -> RunningApplication) throws -> RunningApplication {
        guard isValidatorWanted else { return try make() }
        LivingApplication.observer.withLock {
            $0 = { life, host in Validator().observed(life) { host.log(.error, $0) } }
        }
        let running = try make()
        switch running.entry {
        case .application(let application):
            return RunningApplication(.application(Validator().wrap(application)), stop: running.stop)
        case .handler(let handler):
            return RunningApplication(.handler(Validator().wrap(handler)), stop: running.stop)
        }
    }
}
