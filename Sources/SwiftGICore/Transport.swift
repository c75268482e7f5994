package import HTTPTypes

/// What a gateway provides of a request and its response; each requirement is a duty.
///
/// An ``Exchange`` calls it, on the thread that serves the request and only until the request is
/// over.
package protocol Transport {
    /// What is the same for all requests of the process.
    var server: ServerTraits { get }

    /// Calls `body` with a variable's bytes. `false`: there is none of that name.
    func withVariable(_ name: Span<UInt8>, _ body: (Span<UInt8>) -> Void) -> Bool

    /// Calls `body` with each variable's name and value.
    func forEachVariable(_ body: (Span<UInt8>, Span<UInt8>) -> Void)

    /// Calls `body` with each header field of the request as it came.
    func forEachField(_ body: (Span<UInt8>, Span<UInt8>) -> Void)

    /// Gives each header field of the request as it came to a collector.
    func collectFields(_ collector: inout FieldCollector)

    /// Sets all that the request begins with.
    func update(_ line: inout RequestLine)

    /// Reads at least one byte of the request body into `buffer`, which has room for one or more;
    /// 0 is its end.
    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int

    /// Stores the head for the first piece to take along.
    ///
    /// - Parameter length: The length of the body, if it is known. It replaces `Content-Length`
    ///   in `fields`.
    func sendHead(
        _ status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?
    ) throws(GatewayError)

    /// Sends a piece of the body; the last may be empty. A response to HEAD keeps its pieces to
    /// itself.
    func sendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError)

    /// Sends a part of a file.
    func sendFile(_ file: BodyFile, offset: Int64, length: Int64, last: Bool) throws(GatewayError)

    /// Whether the client is known to be gone.
    var isClientGone: Bool { get }

    /// As ``receive(into:)``, without waiting: `nil` if nothing is there yet.
    func tryReceive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int?

    /// As ``sendPiece(_:flush:last:)``, without waiting: the bytes are taken.
    ///
    /// - Returns: Whether some of what was written has still to leave: then the next is to be sent
    ///   only after ``WaitEvents/writable``.
    func trySendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) -> Bool

    /// Stores the fields that follow the body, before its last piece; nothing where the protocol
    /// has no place for them.
    func sendTrailers(_ fields: HTTPFields) throws(GatewayError)

    /// A message to the error log, naming the request; or, if `isFinished`, without it, and then from
    /// any thread and at any time.
    func log(_ level: LogLevel, _ message: String, isFinished: Bool)
}

extension Transport {
    package func collectFields(_ collector: inout FieldCollector) {
        forEachField { collector.append($0, $1) }
    }

    /// From the variables, for a gateway that has nothing better.
    package func update(_ line: inout RequestLine) { line.update(from: self) }

    /// A variable's text, or `nil` if there is none of that name.
    package func text(of name: String) -> String? {
        var text: String?
        _ = withVariable(name.utf8.span) { text = String(repairing: $0) }
        return text
    }

    /// Waits, for a gateway without asynchronous handlers.
    package func tryReceive(into buffer: UnsafeMutableRawBufferPointer) throws(GatewayError) -> Int? {
        try unsafe receive(into: buffer)
    }

    /// Waits, for a gateway without asynchronous handlers.
    package func trySendPiece(_ bytes: Span<UInt8>, flush: Bool, last: Bool) throws(GatewayError) -> Bool {
        try sendPiece(bytes, flush: flush, last: last)
        return false
    }

    /// Sends none.
    package func sendTrailers(_ fields: HTTPFields) throws(GatewayError) {}

    package func sendFile(
        _ file: BodyFile, offset: Int64, length: Int64, last: Bool
    ) throws(GatewayError) {
        try sendContent(of: file, offset: offset, length: length, last: last)
    }

    /// Reads the file and sends what it read, for a gateway that has nothing better.
    package func sendContent(
        of file: BodyFile, offset: Int64, length: Int64, last: Bool
    ) throws(GatewayError) {
        var position = offset
        var remaining = length
        while remaining > 0 {
            let bytes = try file.read(Int(min(remaining, BodyFile.pieceSize)), at: position)
            if bytes.isEmpty { throw GatewayError(.output, "the file became shorter") }
            position += Int64(bytes.count)
            remaining -= Int64(bytes.count)
            try sendPiece(bytes.span, flush: false, last: last && remaining == 0)
        }
        if length == 0 && last { try sendPiece(Span<UInt8>(), flush: false, last: true) }
    }
}

/// What a gateway says of its process.
package struct ServerTraits: Sendable {
    package let mode: String
    package let multithread: Bool
    package let multiprocess: Bool
    package let runOnce: Bool

    package init(
        mode: String = "", multithread: Bool = false, multiprocess: Bool = false, runOnce: Bool = false
    ) {
        self.mode = mode
        self.multithread = multithread
        self.multiprocess = multiprocess
        self.runOnce = runOnce
    }
}
