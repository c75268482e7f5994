extension Environ {
    /// The name of a typed entry.
    ///
    /// Middleware declares its own, named `owner.entry`:
    ///
    /// ```swift
    /// extension Environ.Key<User> {
    ///     static var user: Self { Self("example.user") }
    /// }
    /// environ[.user] = user
    /// ```
    public struct Key<Value: Sendable>: Sendable, Hashable {
        /// The entry's name.
        public let name: String

        /// A key for entries of this name and type.
        public init(_ name: String) { self.name = name }
    }

    /// The version of the specification that the gateway implements.
    public struct Version: Sendable, Hashable, CustomStringConvertible {
        /// The major number: an application of another may not work.
        public let major: Int
        /// The minor number: additions.
        public let minor: Int

        package init(major: Int, minor: Int) {
            self.major = major
            self.minor = minor
        }

        /// `major.minor`.
        public var description: String { "\(major).\(minor)" }
    }
}

extension Environ.Key<Environ.Version> {
    /// `swiftgi.version`.
    public static var version: Self { Self("swiftgi.version") }
}

extension Environ.Key<String> {
    /// `swiftgi.url_scheme`: `http` or `https`.
    public static var urlScheme: Self { Self("swiftgi.url_scheme") }
    /// `swiftgi.server`: how the application is run, `embedded`, `daemon`, `fastcgi`, `scgi` or `cgi`.
    public static var server: Self { Self("swiftgi.server") }
    /// `swiftgi.request_id`: the id that the server's log lines carry.
    public static var requestID: Self { Self("swiftgi.request_id") }
}

extension Environ.Key<Bool> {
    /// `swiftgi.multithread`.
    public static var multithread: Self { Self("swiftgi.multithread") }
    /// `swiftgi.multiprocess`.
    public static var multiprocess: Self { Self("swiftgi.multiprocess") }
    /// `swiftgi.run_once`.
    public static var runOnce: Self { Self("swiftgi.run_once") }
}
