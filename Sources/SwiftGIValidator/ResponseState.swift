import HTTPTypes
import SwiftGICore
import Synchronization

/// A response of the gateway contract on its way.
final class ResponseState {
    private let method: String
    private var isCalled = false
    private var promise: Promise?
    /// What `startResponse` threw, until it was called again.
    private var refusal: (any Error)?
    /// Whether the body is a file that is no regular one.
    private var isStream = false

    init(method: String) { self.method = method }

    func start(
        _ status: HTTPResponse.Status, _ fields: HTTPFields, isReplacement: Bool, _ call: () throws -> Void
    ) throws {
        if isCalled, !isReplacement {
            throw refuse(ValidationError("A1", "startResponse is called a second time without an error"))
        }
        isCalled = true
        do {
            let promise = try Promise(status, fields, method: method)
            try call()
            self.promise = promise
            refusal = nil
        } catch {
            throw refuse(error)
        }
    }

    private func refuse(_ error: any Error) -> any Error {
        refusal = error
        return error
    }

    /// The application has returned.
    func checkReturn(of body: borrowing Body) throws {
        if let refusal { throw ValidationError("A2", "the application swallowed what startResponse threw: \(refusal)") }
        guard let promise else { throw ValidationError("A1", "the application returned without calling startResponse") }
        if let length = body.knownLength, let violation = promise.violation(knownLength: Int64(length)) {
            throw violation
        }
        if case .file(let file) = body.content { try check(file, promise) }
    }

    /// What is behind `Content-Length` of a file is not meant.
    private func check(_ file: BodyFile, _ promise: Promise) throws {
        // What is no regular file is counted as it is sent.
        guard case .range(_, let length) = try file.extent() else { return isStream = true }
        if promise.isSent, let contentLength = promise.contentLength, contentLength > length {
            throw ValidationError("A4", "Content-Length is \(contentLength), the file has \(length) bytes")
        }
        if length > 0, !promise.permitsBody {
            throw ValidationError("W46", "a file of \(length) bytes with status \(promise.status.code)")
        }
        if length > 0, let violation = promise.violationOfContent { throw violation }
    }

    /// The body, counted where that takes running it.
    func counted(_ body: consuming Body) -> Body {
        guard let promise else { return body }
        switch body.content {
        case .pull, .push: return body.filtered(by: Counter(promise))
        case .file: return isStream ? body.filtered(by: Counter(promise)) : body
        case .empty, .bytes, .string, .chunks: return body
        }
    }
}

/// A response of a handler on its way.
final class HandlerResponseState: Sendable {
    private let method: String
    private let counter = Mutex<(any BodyFilter)?>(nil)

    init(method: HTTPRequest.Method) { self.method = method.rawValue }

    /// Looks at the head; what is wrong comes out with the body, before anything is sent.
    func start(_ response: inout HTTPResponse) -> (any BodyFilter)? {
        let filter: any BodyFilter
        do {
            filter = Counter(try Promise(response.status, response.headerFields, method: method))
        } catch {
            filter = Refusal(violation: error)
        }
        counter.withLock { $0 = filter }
        return filter
    }

    /// What was found, whatever the handler made of it.
    var violation: ValidationError? {
        switch counter.withLock({ $0 }) {
        case let counter as Counter: counter.violation
        case let refusal as Refusal: refusal.violation
        default: nil
        }
    }

    /// The handler has returned.
    func checkReturn() throws(ValidationError) {
        if let violation { throw violation }
        let filter = counter.withLock { $0 }
        if filter == nil { throw ValidationError("A1", "the handler returned without having sent a response") }
        // What has no content, such as an answer to HEAD, need not be run.
        if let counter = filter as? Counter, !counter.isFinished, counter.promise.isSent {
            throw ValidationError("W28", "the handler returned without having finished its response")
        }
    }

    /// Lets nothing pass.
    private struct Refusal: BodyFilter {
        let violation: ValidationError

        func transform(_ bytes: [UInt8]) throws -> [UInt8] { throw violation }
        func finish() throws -> [UInt8] { throw violation }
    }
}
