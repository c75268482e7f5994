import HTTPTypes
public import SwiftGICore

extension Environ {
    /// The form that a browser sent, `application/x-www-form-urlencoded` or `multipart/form-data`. Reads
    /// the input; it is to be called once.
    ///
    /// - Parameter limits: How much is taken.
    /// - Throws: ``HTTPStatusError`` with status 415 if the body is no form; ``GatewayError`` with
    ///   ``GatewayError/Code/bodyTooLarge`` (413) if it is more than that,
    ///   ``GatewayError/Code/malformedBody`` (400) if it is broken, or what reading the input throws.
    public func form(limits: FormLimits = FormLimits()) throws -> Form {
        var decoder = try FormDecoder(contentType, limits)
        try input.forEach { try decoder.feed($0) }
        return try decoder.finish()
    }
}

extension Request {
    /// The form that a browser sent. Reads the body; it is to be called once.
    ///
    /// - Throws: As ``SwiftGICore/Environ/form(limits:)``.
    public func form(limits: FormLimits = FormLimits()) async throws -> Form {
        try await body.form(contentType: head.headerFields[.contentType], limits: limits)
    }
}

extension RequestBody {
    /// The form that a browser sent.
    ///
    /// What goes to the disk is written on the request's thread.
    ///
    /// - Parameters:
    ///   - contentType: The field of the request.
    ///   - limits: How much is taken.
    /// - Throws: As ``SwiftGICore/Environ/form(limits:)``.
    public func form(contentType: String?, limits: FormLimits = FormLimits()) async throws -> Form {
        var decoder = try FormDecoder(contentType, limits)
        for try await piece in self { try decoder.feed(piece) }
        return try decoder.finish()
    }
}

/// Makes a form of the pieces of a body.
struct FormDecoder {
    private enum Kind {
        case urlEncoded([UInt8])
        case multipart(MultipartParser)
    }

    private let limits: FormLimits
    private var kind: Kind
    private var parts: PartCollector
    private var count = 0

    init(_ contentType: String?, _ limits: FormLimits) throws {
        self.limits = limits
        parts = PartCollector(limits: limits)
        let type = MediaType(contentType ?? "")
        switch type?.essence {
        case "application/x-www-form-urlencoded":
            kind = .urlEncoded([])
        case "multipart/form-data":
            guard let boundary = type?.parameters["boundary"], (1...70).contains(boundary.utf8.count) else {
                throw GatewayError(.malformedBody, "multipart/form-data without a boundary")
            }
            kind = .multipart(MultipartParser(boundary: boundary))
        default:
            throw HTTPStatusError(.unsupportedMediaType, "A form is expected.")
        }
    }

    mutating func feed(_ bytes: [UInt8]) throws {
        count += bytes.count
        if count > limits.body { throw GatewayError(.bodyTooLarge, "a form of more than \(limits.body) bytes") }
        switch kind {
        case .urlEncoded(let before):
            kind = .urlEncoded([])
            kind = .urlEncoded(before.isEmpty ? bytes : before + bytes)
        case .multipart(var parser):
            // One owner at a time: the parser's buffer is not copied.
            kind = .urlEncoded([])
            try parser.feed(bytes) { try parts.take($0) }
            kind = .multipart(parser)
        }
    }

    mutating func finish() throws -> Form {
        switch kind {
        case .urlEncoded(let bytes):
            for pair in bytes.split(separator: UInt8(ascii: "&")) {
                let halves = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
                try parts.add(urlDecoded(halves[0]), urlDecoded(halves.count > 1 ? halves[1] : []))
            }
        case .multipart(let parser):
            guard parser.isComplete else { throw GatewayError(.malformedBody, "the form's last boundary is missing") }
        }
        return parts.form
    }
}

/// Text in the encoding of forms (URL standard, section 5.1).
func urlDecoded(_ bytes: some Collection<UInt8>) -> String {
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var rest = bytes[...]
    while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "+") {
            result.append(0x20)
        } else if byte == UInt8(ascii: "%"), let high = rest.first.flatMap(hexValue),
            let low = rest.dropFirst().first.flatMap(hexValue)
        {
            result.append(high << 4 | low)
            rest = rest.dropFirst(2)
        } else {
            result.append(byte)
        }
    }
    return String(decoding: result, as: UTF8.self)
}

private func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}
