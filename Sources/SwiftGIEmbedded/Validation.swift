import Glibc
import SwiftGICore
import SwiftGIValidator

extension RunningApplication {
    /// The same under the validator, if the process's environment asks for it: `SWIFTGI_VALIDATE=1`.
    var validatedIfWanted: RunningApplication {
        guard unsafe getenv("SWIFTGI_VALIDATE").map({ unsafe strcmp($0, "1") == 0 }) ?? false else { return self }
        switch entry {
        case .application(let application):
            return RunningApplication(.application(Validator().wrap(application)), stop: stop)
        case .handler(let handler):
            return RunningApplication(.handler(Validator().wrap(handler)), stop: stop)
        }
    }
}
