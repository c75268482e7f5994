public import HTTPTypes
public import Logging

/// What the client of a ``MemoryGateway`` got, and what the server logged meanwhile.
public struct MemoryResponse: Sendable {
    /// A line of the server's error log.
    public struct LogLine: Sendable, Equatable {
        /// Its severity.
        public let level: Logger.Level
        /// Its text.
        public let message: String
    }

    /// The status; its code is 0 if the connection was closed before there was one.
    public let status: HTTPResponse.Status

    /// The header fields, `Content-Length` among them if the length was known.
    ///
    /// What only servers add (`Date`, `Server`) is not there.
    public let headers: HTTPFields

    /// The informational responses before it.
    public let informational: [HTTPResponse]

    /// The body in the pieces in which it was sent.
    public let pieces: [[UInt8]]

    /// The fields behind the body.
    public let trailers: HTTPFields

    /// Whether the connection was closed before the end of the response.
    public let isAborted: Bool

    /// What was logged, by the gateway and through `environ.errors`.
    public let log: [LogLine]

    /// When each of the pieces was sent.
    package let times: [ContinuousClock.Instant]

    /// Whether the application read of the request's body.
    package let isBodyRead: Bool

    /// The body.
    public var body: [UInt8] { pieces.reduce(into: []) { $0 += $1 } }

    /// The body as text, with U+FFFD for what is not UTF-8.
    public var text: String { String(decoding: body, as: UTF8.self) }
}
