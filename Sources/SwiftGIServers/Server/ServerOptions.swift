/// How a server of this process serves.
package struct ServerOptions: Sendable {
    package enum ProtocolName: Sendable { case fastCGI, scgi }

    package var protocolName = ProtocolName.fastCGI
    /// What serves requests at a time, each at most one that does not wait.
    package var threads = 8
    /// Connections at a time; more wait in the listening socket's queue.
    package var maxConnections = 4096
    /// Requests at a time, on all connections.
    package var maxConcurrentRequests = 16384
    /// After how many requests the server ends; 0 for never.
    package var maxRequests: UInt64 = 0
    /// Milliseconds without a request, after one or more, until the server ends; 0 for any number.
    package var inactivityTimeout = 0
    /// The size that the variables of a request may have.
    package var maxHeaderSize = 1_048_576
    /// The size that the body of a request may have; `nil` for any.
    package var maxBodySize: Int64?
    /// Milliseconds that a peer may take to send or to accept something that a request waits for.
    package var ioTimeout = 60_000
    /// Milliseconds that a peer may take to send the variables of a request it has begun.
    package var headerTimeout = 20_000
    /// Milliseconds that an asynchronous handler may take; 0 for any.
    package var requestTimeout = 0
    /// Milliseconds that requests may go on when the server is to end.
    package var grace = 30_000
    package var rules = VariableRules()
    /// The addresses that may connect (`FCGI_WEB_SERVER_ADDRS`); empty for any.
    package var webServers: [String] = []
    /// The user that may connect to a Unix socket, beside root; `nil` for any.
    package var peer: UInt32?

    /// Where the names of the requests go that are served; `nil` for nowhere.
    package var board: RequestBoard?

    package init() {}
}
