import HTTPTypes
import SwiftGICore

/// What the head of a response promises about its body.
struct Promise {
    let status: HTTPResponse.Status
    let contentLength: Int64?
    let hasContentType: Bool
    /// Whether bytes are sent at all.
    let isSent: Bool
    let permitsBody: Bool

    /// Checks a head.
    init(_ status: HTTPResponse.Status, _ fields: HTTPFields, method: String) throws(ValidationError) {
        let head: ResponseHead
        do throws(GatewayError) {
            head = try ResponseHead(status, fields)
        } catch {
            throw Self.violation(error, status)
        }
        self.status = status
        contentLength = head.contentLength
        hasContentType = fields[.contentType] != nil
        permitsBody = head.permitsBody
        isSent = permitsBody && method != "HEAD"
        let types = fields[values: .contentType]
        if types.count > 1 { throw ValidationError("A5", "there are \(types.count) fields Content-Type: \(types)") }
        if let type = types.first, !type.contains("/") {
            throw ValidationError("A5", "Content-Type is \"\(type)\", which is no media type")
        }
        if !permitsBody {
            for name in [HTTPField.Name.contentType, .contentLength] where fields[name] != nil {
                throw ValidationError(
                    "W46", "\(name): \(fields[name] ?? "") with status \(status.code), which has no content to describe"
                )
            }
        }
    }

    private static func violation(_ error: GatewayError, _ status: HTTPResponse.Status) -> ValidationError {
        if error.code == .invalidStatus { return ValidationError("W24", "status \(error.detail)") }
        if error.detail.hasSuffix("hop-by-hop") || error.detail.hasPrefix("Status") {
            return ValidationError("A3", "field \(error.detail): that is the server's")
        }
        return ValidationError("W25", "field \(error.detail)")
    }

    /// What is wrong with a body of this length, if it is known.
    func violation(knownLength: Int64) -> ValidationError? {
        if !permitsBody, knownLength > 0 {
            return ValidationError("W46", "a body of \(knownLength) bytes with status \(status.code)")
        }
        if knownLength > 0, let violation = violationOfContent { return violation }
        if isSent, let contentLength, contentLength != knownLength {
            return ValidationError("A4", "Content-Length is \(contentLength), the body has \(knownLength) bytes")
        }
        return nil
    }

    /// What is wrong with there being content at all.
    var violationOfContent: ValidationError? {
        hasContentType
            ? nil : ValidationError("A5", "content with status \(status.code) and no Content-Type")
    }
}

/// Counts a body whose length nobody knew.
final class Counter: BodyFilter, @unchecked Sendable {
    // Sendable: whoever sends a body does so one piece after the other.
    let promise: Promise
    private(set) var violation: ValidationError?
    private(set) var isFinished = false
    private var count: Int64 = 0

    init(_ promise: Promise) { self.promise = promise }

    func transform(_ bytes: [UInt8]) throws -> [UInt8] {
        count += Int64(bytes.count)
        if violation == nil, !bytes.isEmpty {
            violation = promise.permitsBody ? promise.violationOfContent : promise.violation(knownLength: count)
        }
        if violation == nil, promise.isSent, let contentLength = promise.contentLength, count > contentLength {
            violation = ValidationError("A4", "Content-Length is \(contentLength), the body has more")
        }
        if let violation { throw violation }
        return bytes
    }

    func finish() throws -> [UInt8] {
        isFinished = true
        if violation == nil, promise.isSent { violation = promise.violation(knownLength: count) }
        if let violation { throw violation }
        return []
    }
}
