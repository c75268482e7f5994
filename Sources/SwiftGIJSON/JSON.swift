public import FoundationEssentials
public import HTTPTypes
public import SwiftGICore

// A library of its own: it brings Foundation's essentials, which an application without JSON does without.

extension Environ {
    /// The request's body, decoded from JSON. Reads the input.
    ///
    /// - Parameters:
    ///   - type: What the body is.
    ///   - limit: How many bytes it may have.
    ///   - decoder: How it is decoded.
    /// - Throws: ``GatewayError`` with ``GatewayError/Code/malformedBody`` (400) if the body is not that
    ///   in JSON, with ``GatewayError/Code/bodyTooLarge`` (413), or what reading the input throws.
    public func json<Value: Decodable>(
        _ type: Value.Type, upTo limit: Int = 1 << 20, decoder: JSONDecoder = JSONDecoder()
    ) throws -> Value {
        try decode(type, try input.collect(upTo: limit), decoder)
    }
}

extension Request {
    /// The request's body, decoded from JSON. Reads the body.
    ///
    /// - Throws: As for an environ.
    public func json<Value: Decodable>(
        _ type: Value.Type, upTo limit: Int = 1 << 20, decoder: JSONDecoder = JSONDecoder()
    ) async throws -> Value {
        try decode(type, try await body.collect(upTo: limit), decoder)
    }
}

extension RequestReader {
    /// The request's body, decoded from JSON.
    ///
    /// - Throws: As for an environ.
    public consuming func json<Value: Decodable>(
        _ type: Value.Type, upTo limit: Int = 1 << 20, decoder: JSONDecoder = JSONDecoder()
    ) async throws -> Value {
        try decode(type, try await collect(upTo: limit), decoder)
    }
}

extension Body {
    /// A body of a value in JSON. Its type is ``HTTPFields/json``.
    ///
    /// - Throws: `EncodingError` if the value can't be encoded.
    public static func json(_ value: some Encodable, encoder: JSONEncoder = JSONEncoder()) throws -> Body {
        .bytes(Array(try encoder.encode(value)))
    }
}

extension Response {
    /// A response of a value in JSON.
    ///
    /// - Throws: `EncodingError` if the value can't be encoded.
    public static func json(
        _ value: some Encodable, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:],
        encoder: JSONEncoder = JSONEncoder()
    ) throws -> Response {
        var headers = headers
        if headers[.contentType] == nil { headers[.contentType] = "application/json" }
        return Response(status: status, headers: headers, body: .bytes(Array(try encoder.encode(value))))
    }
}

extension HTTPFields {
    /// The fields of a body in JSON.
    public static var json: HTTPFields { [.contentType: "application/json"] }
}

private func decode<Value: Decodable>(_ type: Value.Type, _ bytes: [UInt8], _ decoder: JSONDecoder) throws -> Value {
    do {
        return try decoder.decode(type, from: Data(bytes))
    } catch {
        throw GatewayError(.malformedBody, "not the JSON that is expected: \(error)")
    }
}
