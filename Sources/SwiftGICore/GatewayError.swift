/// An error that the gateway itself throws.
///
/// An application may let it pass: the server knows what to answer. A status that a code names is
/// answered as long as no byte of the response was sent; later the response is aborted.
public struct GatewayError: Error, Sendable, CustomStringConvertible {
    /// What went wrong. New codes may be added.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        package enum Kind: String, Hashable, Sendable {
            case clientGone, bodyTooLarge, malformedBody, timedOut, startResponseCalledTwice
            case startResponseNotCalled, invalidStatus, invalidField, contentLengthExceeded
            case contentLengthNotReached, finished, lineTooLong, input, output
            case responseNotFinished, deadlineExceeded, serverStopped
        }

        package let kind: Kind

        package init(_ kind: Kind) { self.kind = kind }

        /// The client closed the connection, or is to get nothing more of this response's body. Logged
        /// at debug level only.
        public static let clientGone = Self(.clientGone)
        /// The request body is larger than the server, or the caller of
        /// ``Input/collect(upTo:)``, permits. The client gets 413.
        public static let bodyTooLarge = Self(.bodyTooLarge)
        /// The request body breaks its framing or ends early. The client gets 400.
        public static let malformedBody = Self(.malformedBody)
        /// The client sent nothing for longer than the server waits. The client gets 408.
        public static let timedOut = Self(.timedOut)
        /// `startResponse` was called a second time without an error. The client gets 500.
        public static let startResponseCalledTwice = Self(.startResponseCalledTwice)
        /// The application returned a body without having called `startResponse`. The client
        /// gets 500.
        public static let startResponseNotCalled = Self(.startResponseNotCalled)
        /// The status is outside 200 to 599, or its reason has control characters. The client
        /// gets 500.
        public static let invalidStatus = Self(.invalidStatus)
        /// A field is hop-by-hop or `Status`, its value has control characters, or it is a
        /// `Content-Length` that is no number or differs from another. The client gets 500.
        public static let invalidField = Self(.invalidField)
        /// The body is longer than the `Content-Length` that was given to `startResponse`. The
        /// client gets that many bytes, a complete response.
        public static let contentLengthExceeded = Self(.contentLengthExceeded)
        /// The body is shorter than the `Content-Length` that was given to `startResponse`. The
        /// response is aborted.
        public static let contentLengthNotReached = Self(.contentLengthNotReached)
        /// The request is over: what is called belongs to one that was answered.
        public static let finished = Self(.finished)
        /// A line of the request body is longer than ``Input/readLine(upTo:)`` permits. The
        /// client gets 413.
        public static let lineTooLong = Self(.lineTooLong)
        /// The server could not read the request body. The client gets 500.
        public static let input = Self(.input)
        /// The server could not write the response, or a file could not be opened or read. The
        /// client gets 500 or, if the head was sent, an aborted response.
        public static let output = Self(.output)

        /// A ``RequestHandler`` returned without having finished its response. The client gets 500
        /// or, if the head was sent, an aborted response.
        public static let responseNotFinished = Self(.responseNotFinished)
        /// The time that the server's configuration gives a request is over. The client gets 504
        /// or, if the head was sent, an aborted response.
        public static let deadlineExceeded = Self(.deadlineExceeded)
        /// The server ends and has waited for the request as long as it may. The client gets 503
        /// or, if the head was sent, an aborted response.
        public static let serverStopped = Self(.serverStopped)

        /// The code's name.
        public var description: String { kind.rawValue }
    }

    /// What went wrong.
    public let code: Code

    /// More about it, for the log; empty if there is nothing to add.
    public let detail: String

    package init(_ code: Code, _ detail: String = "") {
        self.code = code
        self.detail = detail
    }

    /// Code and detail.
    public var description: String { detail.isEmpty ? code.description : "\(code): \(detail)" }
}
