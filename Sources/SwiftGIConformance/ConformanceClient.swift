/// What sends the suite's requests to a gateway: a socket to a server, or the gateway itself.
package protocol ConformanceClient: Sendable {
    /// The path that the application is mounted at; the suite's targets are below it.
    var scriptName: String { get }

    /// Names of the header fields that the client adds to every request.
    var addedFields: [String] { get }

    /// Sends a request on a connection of its own and takes the response in.
    ///
    /// The sending side of the connection stays open until the response has ended: an application
    /// that reads too far then waits, where the end of the connection would hide it.
    ///
    /// - Throws: If there is no connection or what comes is not HTTP. A response that ends early is
    ///   no error: ``ConformanceResponse/isCut``.
    func send(_ request: ConformanceRequest) async throws -> ConformanceResponse
}

extension ConformanceClient {
    package var scriptName: String { "" }
    package var addedFields: [String] { ["Host", "Connection"] }
}

/// A request as it is to be sent.
package struct ConformanceRequest: Sendable {
    /// How the end of the body is told.
    package enum Framing: Sendable {
        /// No body.
        case none
        /// `Content-Length`, the sum of the pieces.
        case contentLength
        /// Each piece is a chunk.
        case chunked
    }

    package var method = "GET"
    /// Below the client's ``ConformanceClient/scriptName``, sent as it is.
    package var target: String
    package var headers: [(name: String, value: String)] = []
    /// The body; each piece is one write.
    package var pieces: [[UInt8]] = []
    package var framing = Framing.none
    /// Whether to send `Expect: 100-continue` and hold the body back until 100 comes.
    ///
    /// If a final status comes instead, the body is not sent.
    package var expectsContinue = false
    package var version = "HTTP/1.1"
    /// After how many bytes of the response's body the client closes the connection.
    package var leavesAfter: Int?

    package init(target: String) { self.target = target }
}

/// A response as it came.
package struct ConformanceResponse: Sendable {
    /// How much of the body was there at a time.
    package struct Arrival: Sendable {
        package let count: Int
        package let time: ContinuousClock.Instant

        package init(count: Int, time: ContinuousClock.Instant) {
            self.count = count
            self.time = time
        }
    }

    /// 0 if the connection ended before there was a head.
    package let status: Int
    /// Empty where the protocol has none.
    package let reason: String
    package let headers: [(name: String, value: String)]
    /// The content, without its framing.
    package let body: [UInt8]
    /// Whether the connection ended before the message did.
    ///
    /// Where its end is the message's, a reset.
    package let isCut: Bool
    /// Whether a web server before the gateway has answered in place of a response that ended early:
    /// nothing of that had left when it did.
    package let isReplaced: Bool
    /// Whether 100 came before the final status.
    package let isContinued: Bool
    /// One for each read that brought some of the body.
    package let arrivals: [Arrival]

    package init(
        status: Int, reason: String, headers: [(name: String, value: String)], body: [UInt8], isCut: Bool,
        isReplaced: Bool = false, isContinued: Bool = false, arrivals: [Arrival] = []
    ) {
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.isCut = isCut
        self.isReplaced = isReplaced
        self.isContinued = isContinued
        self.arrivals = arrivals
    }
}
