public import HTTPTypes
public import SwiftGICore

/// A request to a ``MemoryGateway``.
///
/// ```swift
/// var request = MemoryRequest(method: .post, path: "/notes?draft=1", body: "Milk")
/// request.headers[.contentType] = "text/plain"
/// ```
public struct MemoryRequest: Sendable {
    /// The method.
    public var method: HTTPRequest.Method

    /// The request's target below ``scriptName``: an encoded path, and a query behind `?`.
    public var path: String

    /// The header fields.
    ///
    /// Without `Content-Length` and `Transfer-Encoding` a body that is not empty has the length
    /// that it has; with `Transfer-Encoding` it is of unknown length.
    public var headers: HTTPFields

    /// The body, in the pieces in which the application gets to read it.
    public var pieces: [[UInt8]]

    /// What the application's reads meet behind the last piece instead of the end of the body,
    /// such as ``GatewayError/Code/bodyTooLarge``.
    public var bodyError: GatewayError.Code?

    /// After how many bytes of the response's body the client closes the connection; `nil` if it
    /// stays.
    public var leavesAfter: Int?

    /// The fields behind the body.
    public var trailers: HTTPFields = [:]

    /// `SCRIPT_NAME`: the path that the application is mounted at; empty for the root.
    public var scriptName = ""

    /// `http` or `https`.
    public var scheme = "http"

    /// `REMOTE_ADDR`.
    public var remoteAddress = "127.0.0.1"

    /// Variables that the server's configuration would set, `REMOTE_USER` among them.
    ///
    /// They replace others of their names.
    public var variables: [String: String] = [:]

    /// A request with a body of bytes.
    public init(
        method: HTTPRequest.Method = .get, path: String = "/", headers: HTTPFields = [:], body: [UInt8] = []
    ) {
        self.method = method
        self.path = path
        self.headers = headers
        pieces = body.isEmpty ? [] : [body]
    }

    /// A request with a body of text.
    public init(
        method: HTTPRequest.Method = .post, path: String = "/", headers: HTTPFields = [:], body: String
    ) {
        self.init(method: method, path: path, headers: headers, body: [UInt8](body.utf8))
    }
}
