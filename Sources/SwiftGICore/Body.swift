/// The body of a response.
///
/// A body is made by the application and consumed by the server. Its close action, if it has one,
/// runs exactly once: after the last byte, after an error, after the client went away, or when
/// middleware drops the body. Its closures are called on the thread that serves the request. Those
/// of pull and push bodies are not called where a response has no content (HEAD, 204, 304).
public struct Body: ~Copyable {
    package enum Content {
        case empty
        case bytes([UInt8])
        case string(String)
        case chunks([[UInt8]])
        case pull(() throws -> [UInt8]?)
        case push((inout BodyWriter) throws -> Void)
        case file(BodyFile)
    }

    package let content: Content
    private var close: (() -> Void)?

    package init(_ content: Content) {
        self.content = content
    }

    deinit {
        close?()
    }

    /// A body of no bytes.
    public static var empty: Body { Body(.empty) }

    /// A body of these bytes. The server sets `Content-Length`.
    public static func bytes(_ bytes: [UInt8]) -> Body { Body(.bytes(bytes)) }

    /// A body of this text in UTF-8. The server sets `Content-Length`.
    public static func string(_ string: String) -> Body { Body(.string(string)) }

    /// A body of these pieces, one after the other. The server sets `Content-Length` and may send
    /// them together.
    public static func chunks(_ chunks: [[UInt8]]) -> Body { Body(.chunks(chunks)) }

    /// A body that the server asks for, piece by piece: each is sent before the next is asked
    /// for. Empty pieces are passed over; `nil` is the end.
    ///
    /// - Parameter next: Makes the next piece. It is called on the thread that serves the request.
    ///   If it throws, the response is aborted, or is a 500 if nothing was sent yet.
    public static func pull(_ next: @escaping () throws -> [UInt8]?) -> Body { Body(.pull(next)) }

    /// A body that the application writes while it is sent.
    ///
    /// - Parameter write: Called once, on the thread that serves the request, with the writer.
    ///   The body ends when it returns. If it throws, the response is aborted, or is a 500 if
    ///   nothing was sent yet.
    public static func push(_ write: @escaping (inout BodyWriter) throws -> Void) -> Body {
        Body(.push(write))
    }

    /// A body out of an open file, sent without a copy where the server can. PEP 3333 calls this
    /// `wsgi.file_wrapper`.
    ///
    /// What is not a regular file (a pipe, a socket) is read to its end.
    ///
    /// - Parameters:
    ///   - descriptor: The open file.
    ///   - offset: Where to begin; `nil` for the descriptor's current position.
    ///   - length: How many bytes; `nil` for all up to the end. Fewer are sent if the file is
    ///     shorter.
    ///   - closing: Whether the descriptor is closed with the body.
    public static func file(
        descriptor: Int32, offset: Int64? = nil, length: Int64? = nil, closing: Bool = true
    ) -> Body {
        Body(.file(BodyFile(descriptor: descriptor, offset: offset, length: length, closing: closing)))
    }

    /// A body of a file's content.
    ///
    /// - Parameter path: The file, as the process sees it.
    /// - Throws: ``GatewayError`` with code ``GatewayError/Code/output`` if it can't be opened. An
    ///   application that answers 404 for it catches the error.
    public static func file(path: String) throws -> Body {
        Body(.file(try BodyFile(path: path)))
    }

    /// The same body with an action that runs when it is closed, after those added before.
    ///
    /// - Parameter action: Called once, where the body is sent or dropped.
    /// - Returns: The body, which takes the place of this one.
    public consuming func onClose(_ action: @escaping () -> Void) -> Body {
        if let earlier = close {
            close = {
                earlier()
                action()
            }
        } else {
            close = action
        }
        return self
    }

    /// How many bytes the body has, if that is known without running it.
    public var knownLength: Int? {
        switch content {
        case .empty: 0
        case .bytes(let bytes): bytes.count
        case .string(let string): string.utf8.count
        case .chunks(let chunks): chunks.reduce(0) { $0 + $1.count }
        case .file, .pull, .push: nil
        }
    }
}

@available(*, unavailable)
extension Body: Sendable {}

extension Body {
    /// This body behind a filter, which gets its bytes and gives those that are sent. A file is read, and
    /// its length is unknown then.
    ///
    /// - Parameter filter: One that serves this response only.
    public consuming func filtered(by filter: any BodyFilter) -> Body { self.filtered(by: [filter]) }

    /// This body behind filters.
    package consuming func filtered(by filters: [any BodyFilter]) -> Body {
        if filters.isEmpty { return self }
        let last: ([UInt8]) throws -> [UInt8] = { bytes in
            try filters.reduce(bytes) { try $1.transformLast($0) }
        }
        // What is there as a whole goes on as a whole, with its length.
        func whole(_ bytes: [UInt8]) -> Body.Content {
            do { return .bytes(try last(bytes)) } catch { return .pull { throw error } }
        }
        func pieces(_ next: @escaping () throws -> [UInt8]?) -> Body.Content {
            var isAtEnd = false
            return .pull {
                if isAtEnd { return nil }
                if let piece = try next() { return try filters.reduce(piece) { try $1.transform($0) } }
                isAtEnd = true
                return try last([])
            }
        }
        let filtered: Body.Content =
            switch content {
            case .empty: whole([])
            case .bytes(let bytes): whole(bytes)
            case .string(let string): whole(Array(string.utf8))
            case .chunks(let chunks): whole(Array(chunks.joined()))
            case .pull(let next): pieces(next)
            case .push(let write):
                .push { writer in
                    var inner = BodyWriter(writer, through: filters)
                    try write(&inner)
                    try writer.write(last([]))
                }
            case .file(let file): pieces(file.makeReader())
            }
        let inner = Kept(self)
        return Body(filtered).onClose { inner.drop() }
    }
}

extension Body {
    /// This body, with everything of the application's that it runs inside of `around`, its end included.
    package consuming func run(inside around: @escaping (() throws -> Void) throws -> Void) -> Body {
        let surrounded: Body.Content
        switch content {
        case .pull(let next):
            surrounded = .pull {
                var piece: [UInt8]?
                try around { piece = try next() }
                return piece
            }
        case .push(let write): surrounded = .push { writer in try around { try write(&writer) } }
        case .empty, .bytes, .string, .chunks, .file:
            if close == nil { return self }
            surrounded = content
        }
        let inner = Kept(self)
        // What closes a body does not throw.
        return Body(surrounded).onClose { try? around { inner.drop() } }
    }
}

/// Holds a body until its time has come.
private final class Kept {
    private var body: Body?

    init(_ body: consuming Body) { self.body = consume body }

    func drop() { body = nil }
}
