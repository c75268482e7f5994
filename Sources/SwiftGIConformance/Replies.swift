import HTTPTypes
import SwiftGICore

// What the applications of the suite answer with.

let textType: HTTPFields = [.contentType: "text/plain; charset=utf-8"]

func reply(_ startResponse: StartResponse, _ text: String) throws -> Body {
    try startResponse(.ok, textType, nil)
    return .string(text)
}

/// Lines `name=value`; a value that is absent has none.
func report(_ startResponse: StartResponse, _ values: KeyValuePairs<String, String?>) throws -> Body {
    try reply(startResponse, values.map { name, value in value.map { "\(name)=\($0)\n" } ?? "" }.joined())
}

/// A body of the kind that a request's query names; `swallow` goes on after errors.
func makeBody(_ kind: String, _ pieces: [[UInt8]]) -> Body {
    switch kind {
    case "bytes": return .bytes(pieces.reduce(into: []) { $0 += $1 })
    case "chunks": return .chunks(pieces)
    case "pull":
        var rest = pieces[...]
        return .pull { rest.popFirst() }
    case "swallow":
        return .push { writer in
            for piece in pieces { try? writer.write(piece) }
        }
    default:
        return .push { writer in
            for piece in pieces { try writer.write(piece) }
        }
    }
}

/// The code of the gateway's error that `body` throws; `none` if it throws none.
func code(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "none"
    } catch let error as GatewayError {
        return error.code.description
    } catch {
        return "\(error)"
    }
}

/// What an application throws for a reason of its own.
struct ApplicationError: Error {
    let reason: String

    init(_ reason: String = "on purpose") { self.reason = reason }
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

func lineText(_ line: [UInt8]?) -> String { line.map { text($0) } ?? "nil" }
