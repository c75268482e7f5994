// What the compiler's ownership checks refuse: each line that is wrong says so, and the rest is right.
import SwiftGI

private let ok = HTTPResponse(status: .ok)

struct Right: RequestHandler {
    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        var sender = responseSender
        try await sender.sendInformational(HTTPResponse(status: .init(code: 103)))
        var writer = try await sender.send(ok)
        while let piece = try await reader.next() { try await writer.write(piece) }
        let trailers = try await reader.trailers
        try await writer.finish(trailers: trailers)
    }
}

/// Reads in one task and writes in another.
struct RightInTwoTasks: RequestHandler {
    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        let body = reader.sequence()
        async let count = body.collect(upTo: 100).count
        let writer = try await responseSender.send(ok)
        try await writer.finish(Array("\(try await count)".utf8))
    }
}

let rightMiddleware: HandlerMiddleware = { handler in Wrapped(handler: handler) }

struct Wrapped: RequestHandler {
    let handler: any RequestHandler

    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws {
        let inner = responseSender.transforming { response in
            response.headerFields[.server] = "none"
            return nil
        }
        try await handler.handle(
            request: request, requestContext: requestContext, reader: reader, responseSender: inner)
    }
}

let rightApplication: Application = { environ, startResponse in
    try startResponse(.ok, [:], nil)
    return .string(environ.method)
}

// The wrong ones.

// expected-error@+1 {{'sender' consumed more than once}}
func answersTwice(_ sender: consuming ResponseSender) async throws {
    try await sender.sendAndFinish(ok)  // expected-note {{consumed here}}
    try await sender.sendAndFinish(ok)  // expected-note {{consumed again here}}
}

// expected-error@+1 {{'sender' consumed more than once}}
func sendsTwice(_ sender: consuming ResponseSender) async throws {
    let writer = try await sender.send(ok)  // expected-note {{consumed here}}
    try await writer.finish()
    _ = try await sender.send(ok)  // expected-note {{consumed again here}}
}

// expected-error@+1 {{'sender' used after consume}}
func informsAfterTheHead(_ sender: consuming ResponseSender) async throws {
    let writer = try await sender.send(ok)  // expected-note {{consumed here}}
    try await sender.sendInformational(ok)  // expected-note {{used here}}
    try await writer.finish()
}

// expected-error@+1 {{'sender' consumed in a loop}}
func answersInALoop(_ sender: consuming ResponseSender) async throws {
    for _ in 0..<2 {
        try await sender.sendAndFinish(ok)  // expected-note {{consumed here}}
    }
}

// expected-error@+1 {{'sender' consumed more than once}}
func usesTheSenderOfMiddleware(_ sender: consuming ResponseSender) async throws {
    let inner = sender.transforming { _ in nil }  // expected-note {{consumed here}}
    try await inner.sendAndFinish(ok)
    try await sender.sendAndFinish(ok)  // expected-note {{consumed again here}}
}

func writesAfterTheEnd(_ sender: consuming ResponseSender) async throws {
    var writer = try await sender.send(ok)  // expected-error {{'writer' used after consume}}
    try await writer.finish()  // expected-note {{consumed here}}
    try await writer.write("late")  // expected-note {{used here}}
}

func finishesTwice(_ sender: consuming ResponseSender) async throws {
    let writer = try await sender.send(ok)  // expected-error {{'writer' consumed more than once}}
    try await writer.finish()  // expected-note {{consumed here}}
    try await writer.finish()  // expected-note {{consumed again here}}
}

func copiesAWriter(_ sender: consuming ResponseSender) async throws {
    var writer = try await sender.send(ok)  // expected-error {{'writer' used after consume}}
    var copy = writer  // expected-note {{consumed here}}
    try await copy.write("one")
    try await writer.write("two")  // expected-note {{used here}}
    try await copy.finish()
}

func copiesAReader(_ reader: consuming RequestReader) async throws {  // expected-error {{'reader' used after consume}}
    var copy = reader  // expected-note {{consumed here}}
    _ = try await copy.next()
    _ = try await reader.next()  // expected-note {{used here}}
}

// expected-error@+1 {{'reader' used after consume}}
func readsAfterCollecting(_ reader: consuming RequestReader) async throws {
    _ = try await reader.collect(upTo: 1)  // expected-note {{consumed here}}
    _ = try await reader.next()  // expected-note {{used here}}
}

// expected-error@+1 {{'sender' is borrowed and cannot be consumed}}
func borrowsASender(_ sender: borrowing ResponseSender) async throws {
    try await sender.sendAndFinish(ok)  // expected-note {{consumed here}}
}
