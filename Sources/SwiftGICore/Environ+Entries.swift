public import HTTPTypes

/// The gateway's own entries.
extension Environ {
    /// `swiftgi.version`: the version of the specification.
    public var version: Version { self[.version] ?? Exchange.version }

    /// `swiftgi.url_scheme`: `http` or `https`.
    public var urlScheme: String { self[.urlScheme] ?? "http" }

    /// `swiftgi.input`: the body of the request. It may be read in the application and while the
    /// response's body is made.
    public var input: Input { Input(exchange) }

    /// `swiftgi.errors`: a stream to the server's error log.
    public var errors: Errors { Errors(exchange) }

    /// `swiftgi.multithread`: whether the application may be called on several threads at a time.
    public var multithread: Bool { self[.multithread] ?? true }

    /// `swiftgi.multiprocess`: whether other processes may run the same application.
    public var multiprocess: Bool { self[.multiprocess] ?? true }

    /// `swiftgi.run_once`: whether this process serves one request only.
    public var runOnce: Bool { self[.runOnce] ?? false }

    /// `swiftgi.server`: `embedded`, `daemon`, `fastcgi`, `scgi` or `cgi`.
    public var server: String { self[.server] ?? "" }

    /// `swiftgi.request_id`: the id that the server's log lines for this request carry.
    public var requestID: String { self[.requestID] ?? "" }

    /// Whether the client is known to be gone. Asks the system each time.
    public var isClientGone: Bool { exchange.isClientGone }
}

/// The variables of RFC 3875 that every request has, and the most used of the others.
extension Environ {
    /// `REQUEST_METHOD`, never empty.
    public var method: String {
        get { self["REQUEST_METHOD"] ?? "" }
        set { self["REQUEST_METHOD"] = newValue }
    }

    /// `SCRIPT_NAME`: the part of the path that led to the application. Empty for the root; never
    /// ends in a slash.
    public var scriptName: String {
        get { self["SCRIPT_NAME"] ?? "" }
        set { self["SCRIPT_NAME"] = newValue }
    }

    /// `PATH_INFO`: the rest of the path, decoded. Empty or begins with a slash.
    public var pathInfo: String {
        get { self["PATH_INFO"] ?? "" }
        set { self["PATH_INFO"] = newValue }
    }

    /// `QUERY_STRING`: what follows the first `?`, as it came; empty if there is none.
    public var queryString: String {
        get { self["QUERY_STRING"] ?? "" }
        set { self["QUERY_STRING"] = newValue }
    }

    /// `REQUEST_URI`: the request's target as it came.
    public var requestURI: String { self["REQUEST_URI"] ?? "" }

    /// `CONTENT_TYPE`, or `nil` if the client sent none.
    public var contentType: String? { self["CONTENT_TYPE"] }

    /// `CONTENT_LENGTH` in bytes, or `nil` if the client sent none or a chunked body.
    public var contentLength: Int64? { self["CONTENT_LENGTH"].flatMap { Int64($0) }.flatMap { $0 < 0 ? nil : $0 } }

    /// `SERVER_NAME`, never empty.
    public var serverName: String { self["SERVER_NAME"] ?? "" }

    /// `SERVER_PORT`, or 0 if it is no number.
    public var serverPort: Int { self["SERVER_PORT"].flatMap { Int($0) } ?? 0 }

    /// `SERVER_PROTOCOL`, such as `HTTP/1.1`.
    public var serverProtocol: String { self["SERVER_PROTOCOL"] ?? "" }

    /// `REMOTE_ADDR`: the client's address.
    public var remoteAddress: String { self["REMOTE_ADDR"] ?? "" }

    /// `REMOTE_USER`, or `nil` if the server did not authenticate anyone.
    public var remoteUser: String? { self["REMOTE_USER"] }

    /// The request's header fields as they came, in their order, repetitions apart if the server
    /// keeps them apart (httpd joins their values with commas).
    ///
    /// Fields whose names are not HTTP's are left out, and so is `Authorization` if the server
    /// withholds it. Fields whose names have `_` are here, though they have no variable. Changes
    /// of `HTTP_` variables do not show.
    public var headers: HTTPFields {
        exchange.fields
    }
}

extension [UInt8] {
    /// The bytes of a span.
    package init(copying bytes: Span<UInt8>) {
        // The span's bytes are initialized and are not kept.
        self = unsafe bytes.withUnsafeBufferPointer { unsafe [UInt8]($0) }
    }
}
