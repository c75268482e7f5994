import HTTPTypes
import SwiftGICore

/// A transport that does what a test tells it and records what it was told.
final class ScriptedTransport: Transport {
    enum Event: Equatable {
        case head(Int, [String], length: Int64?)
        case piece([UInt8], flush: Bool, last: Bool)
        case file(offset: Int64, length: Int64, last: Bool)
        case log(LogLevel, String, isFinished: Bool)
    }

    var server = ServerTraits(mode: "test", multithread: true, multiprocess: false, runOnce: true)
    var variables: [String: [UInt8]] = ["REQUEST_METHOD": Array("GET".utf8)]
    var fields: [(name: [UInt8], value: [UInt8])] = []
    /// What reads give; behind it the end, or `inputError`.
    var pieces: [[UInt8]] = []
    var inputError: GatewayError?
    /// Fails an output: head, piece or file, by its number from 0.
    var failure: (Int) -> GatewayError? = { _ in nil }
    var isClientGone = false

    private(set) var events: [Event] = []
    private(set) var capacities: [Int] = []
    private(set) var callsOfRequest = 0
    private var outputs = 0

    /// The events without those of the log.
    var response: [Event] {
        events.filter { if case .log = $0 { false } else { true } }
    }

    /// What was logged.
    var log: [String] {
        events.compactMap { if case .log(_, let message, _) = $0 { message } else { nil } }
    }

    /// All bytes that were sent.
    var body: [UInt8] {
        events.flatMap { if case .piece(let bytes, _, _) = $0 { bytes } else { [UInt8]() } }
    }

    func withVariable(_ name: Span<UInt8>, _ body: (Span<UInt8>) -> Void) -> Bool {
        callsOfRequest += 1
        guard let value = variables[String(repairing: name)] else { return false }
        body(value.span)
        return true
    }

    func forEachVariable(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        callsOfRequest += 1
        for (name, value) in variables { body(name.utf8.span, value.span) }
    }

    func forEachField(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        callsOfRequest += 1
        for (name, value) in fields { body(name.span, value.span) }
    }

    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int {
        callsOfRequest += 1
        capacities.append(buffer.count)
        guard !pieces.isEmpty else {
            if let inputError { throw inputError }
            return 0
        }
        let count = min(buffer.count, pieces[0].count)
        buffer.copyBytes(from: pieces[0].prefix(count))
        pieces[0].removeFirst(count)
        if pieces[0].isEmpty { pieces.removeFirst() }
        return count
    }

    func sendHead(_ status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?) throws(GatewayError) {
        try output(.head(status.code, fields.map(\.description), length: length))
    }

    func sendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) {
        try output(.piece([UInt8](copying: bytes), flush: flush, last: last))
    }

    func sendFile(_ file: BodyFile, offset: Int64, length: Int64, last: Bool) throws(GatewayError) {
        try output(.file(offset: offset, length: length, last: last))
    }

    private func output(_ event: Event) throws(GatewayError) {
        callsOfRequest += 1
        defer { outputs += 1 }
        if let error = failure(outputs) { throw error }
        events.append(event)
    }

    func log(_ level: LogLevel, _ message: String, isFinished: Bool) {
        events.append(.log(level, message, isFinished: isFinished))
    }
}

struct ApplicationError: Error {}

/// An application that answers 200 with a body of the test's.
func answering(_ fields: HTTPFields = [:], _ body: @escaping @Sendable () -> Body) -> Application {
    { _, startResponse in
        try startResponse(.ok, fields, nil)
        return body()
    }
}

func makeExchange(body pieces: [String] = []) -> (Exchange, ScriptedTransport) {
    let transport = ScriptedTransport()
    transport.pieces = pieces.map { Array($0.utf8) }
    return (Exchange(transport), transport)
}

func text(_ bytes: [UInt8]?) -> String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

extension GatewayError {
    /// The code of what `body` throws.
    static func code(_ body: () throws -> Void) -> Code? {
        do {
            try body()
            return nil
        } catch {
            return (error as? GatewayError)?.code
        }
    }
}
