// What the compiler's data race checks refuse: each line that is wrong says so, and the rest is right.
import SwiftGI

private let ok = HTTPResponse(status: .ok)

func right(_ reader: consuming sending RequestReader, _ sender: consuming sending ResponseSender) async throws {
    var reader = reader
    async let piece = reader.next()
    var writer = try await sender.send(ok)
    try await writer.write("begun")
    try await writer.finish(try await piece ?? [])
}

func rightWithASequence(_ reader: consuming sending RequestReader) async throws {
    let body = reader.sequence()
    try await withThrowingTaskGroup { group in
        for _ in 0..<2 { group.addTask { for try await _ in body {} } }
        try await group.waitForAll()
    }
}

func readsInTwoTasks(_ reader: consuming sending RequestReader) async throws {
    var reader = reader
    // expected-error@+2 {{sending 'reader' risks causing data races}}
    // expected-note@+1 {{sending 'reader' into async let}}
    async let first = reader.next()
    async let second = reader.next()  // expected-note {{access can happen concurrently}}
    _ = try await (first, second)
}

func readsInAGroup(_ reader: consuming sending RequestReader) async throws {
    var reader = reader
    try await withThrowingTaskGroup { group in
        // expected-error@+2 {{passing closure as a 'sending' parameter risks}}
        // expected-note@+1 {{closure captures reference to mutable var 'reader'}}
        group.addTask { _ = try await reader.next() }
        // expected-error@+2 {{passing closure as a 'sending' parameter risks}}
        // expected-note@+1 {{closure captures reference to mutable var 'reader'}}
        group.addTask { _ = try await reader.next() }
        try await group.waitForAll()
    }
}

func readsInAnotherTaskToo(_ reader: consuming sending RequestReader) async throws {
    var reader = reader
    // expected-error@+2 {{risks causing data races}}
    // expected-note@+1 {{'sending' argument}}
    Task { _ = try await reader.next() }
    _ = try await reader.next()  // expected-note {{access can happen concurrently}}
}

func writesInTwoTasks(_ sender: consuming sending ResponseSender) async throws {
    var writer = try await sender.send(ok)
    // expected-error@+2 {{sending 'writer' risks causing data races}}
    // expected-note@+1 {{sending 'writer' into async let}}
    async let first: Void = writer.write("one")
    async let second: Void = writer.write("two")  // expected-note {{access can happen concurrently}}
    _ = try await (first, second)
}

func answersInAnotherTask(_ sender: consuming sending ResponseSender) async throws {
    Task {
        // expected-error@+1 {{noncopyable 'sender' cannot be consumed when captured by an escaping closure}}
        try await sender.sendAndFinish(ok)
    }
}

func readsTheInputElsewhere(_ input: Input) {
    Task.detached {  // expected-error {{risks causing data races}} expected-note@+1 {{'input'}}
        _ = try input.read()
    }
}

func keepsStartResponse(_ startResponse: StartResponse) -> () -> Void {  // expected-note {{implicitly non-escaping}}
    // expected-error@+2 {{escaping closure captures non-escaping parameter 'startResponse'}}
    // expected-note@+1 {{captured here}}
    return { try? startResponse(.ok, [:], nil) }
}
