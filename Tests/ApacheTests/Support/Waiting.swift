import Foundation
import Glibc

/// What a test waited for did not come.
struct WaitedInVain: Error, CustomStringConvertible {
    let description: String
}

/// How long a test waits for what must come.
///
/// It never waits that long unless something is wrong. SWIFTGI_PATIENCE says otherwise, in seconds.
let patience: Double = ProcessInfo.processInfo.environment["SWIFTGI_PATIENCE"].flatMap { Double($0) } ?? 60

/// Polls until the condition holds.
func wait(_ what: String, for seconds: Double = patience, until condition: () throws -> Bool) throws {
    let deadline = Date.now.addingTimeInterval(seconds)
    while try !condition() {
        if Date.now > deadline { throw WaitedInVain(description: "waited \(Int(seconds)) s in vain: \(what)") }
        usleep(5_000)
    }
}

/// Polls until there is a value.
func wait<Value>(_ what: String, for seconds: Double = patience, value: () throws -> Value?) throws -> Value {
    var found: Value?
    try wait(what, for: seconds) {
        found = try value()
        return found != nil
    }
    return found!
}

/// As `wait`, for what is only looked at: whether the condition came to hold.
func holdsEventually(for seconds: Double = patience, _ condition: () throws -> Bool) rethrows -> Bool {
    let deadline = Date.now.addingTimeInterval(seconds)
    while try !condition() {
        if Date.now > deadline { return false }
        usleep(5_000)
    }
    return true
}

/// As `holdsEventually`, without keeping a thread, for what takes its time while other tests can run.
func comesToHold(for seconds: Double = patience, _ condition: () throws -> Bool) async rethrows -> Bool {
    let deadline = Date.now.addingTimeInterval(seconds)
    while try !condition() {
        if Date.now > deadline { return false }
        try? await Task.sleep(for: .milliseconds(10))
    }
    return true
}
