public import HTTPTypes

/// An error that knows the status with which the client is to be answered.
///
/// ``ErrorPages`` answers it. Without that it is an error like any other, and the client gets 500.
public struct HTTPStatusError: Error, Sendable, CustomStringConvertible {
    /// 400 to 599.
    public let status: HTTPResponse.Status

    /// What the client is told, as text; the reason of the status if it is empty.
    public let message: String

    /// Fields of the answer, such as `WWW-Authenticate`.
    public let headers: HTTPFields

    /// An error with a status.
    public init(_ status: HTTPResponse.Status, _ message: String = "", headers: HTTPFields = [:]) {
        self.status = status
        self.message = message
        self.headers = headers
    }

    /// Status and message.
    public var description: String { "\(status.code) \(message.isEmpty ? status.reasonPhrase : message)" }
}
