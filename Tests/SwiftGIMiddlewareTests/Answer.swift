import HTTPTypes
import SwiftGICore
import SwiftGIMiddleware
import SwiftGITesting
import SwiftGIValidator
import Testing

struct Failure: Error, CustomStringConvertible {
    var description: String { "<it> & failed" }
}

/// Which contract a test runs.
enum Contract: CaseIterable, Sendable, CustomTestStringConvertible {
    case gateway
    case async

    var testDescription: String { "\(self)" }
}

/// A request as an inner application sees it, whichever its contract is.
struct Seen: Sendable {
    let variables: [String: String]
    let trace: TraceContext?
}

/// An answer that both contracts can give.
struct Answer: Sendable {
    var status = HTTPResponse.Status.ok
    var fields: HTTPFields = [.contentType: "text/plain"]
    var text = ""

    init(_ text: String = "", status: HTTPResponse.Status = .ok, fields: HTTPFields = [.contentType: "text/plain"]) {
        self.text = text
        self.status = status
        self.fields = fields
    }
}

/// Runs a request through middleware and an inner application that a closure is, under the validator.
func respond(
    _ contract: Contract, to request: MemoryRequest = MemoryRequest(), through middleware: any CommonMiddleware,
    _ answer: @escaping @Sendable (Seen) throws -> Answer
) -> MemoryResponse {
    switch contract {
    case .gateway:
        let application: Application = { environ, startResponse in
            let answer = try answer(Seen(variables: environ.snapshot(), trace: environ[.trace]))
            try startResponse(answer.status, answer.fields, nil)
            return .string(answer.text)
        }
        return MemoryGateway(wrapped(application, by: Validator(), middleware, Validator())).respond(to: request)
    case .async:
        let handler = ClosureHandler { _, context, _, sender in
            let seen = Seen(variables: try await context.environ.variables, trace: context[.trace])
            let answer = try answer(seen)
            try await sender.sendAndFinish(
                HTTPResponse(status: answer.status, headerFields: answer.fields), Array(answer.text.utf8))
        }
        return MemoryGateway(handler: handler.wrapped(by: Validator(), middleware, Validator())).respond(to: request)
    }
}
