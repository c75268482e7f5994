import CSwiftGI
import CSwiftGILauncher
import Glibc

/// Makes an executable that serves an application by CGI, FastCGI or SCGI, with the arguments of
/// `swiftgi-run`:
///
/// ```swift
/// import SwiftGI
/// serve(export(hello))
/// ```
///
/// It is the first thing that the executable does: with `--processes` the process forks here, which
/// it can't when it has begun with anything else. See <doc:Gateways>.
///
/// - Parameter application: What ``export(_:name:fileID:)-(()->Application,_,_)`` and its like make.
public func serve(_ application: ApplicationTable) -> Never {
    // The arguments stay where they are while the process lives, and the launcher does not change them.
    exit(unsafe swiftgi_launch(CommandLine.argc, CommandLine.unsafeArgv, application))
}
