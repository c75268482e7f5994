import SwiftGI
import SwiftGICore

/// The Hello sample, which also runs a task on a request's executor that it makes and drops: what it
/// costs more than Hello is what an executor costs by itself.
let application: Application = { _, startResponse in
    let executor = RequestExecutor()
    _ = executor.drive { Task.immediate(executorPreference: executor) {} }
    executor.drain()
    executor.orphan()
    try startResponse(.ok, [.contentType: "text/plain"], nil)
    return .string("Hello, world!\n")
}

@c public func swiftgi_application() -> ApplicationTable { export(application) }
