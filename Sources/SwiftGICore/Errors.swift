/// The stream for what goes wrong in a request: `swiftgi.errors`, PEP 3333's `wsgi.errors`.
///
/// Text goes to the server's error log at error level, line by line, in the log of the virtual
/// host that the request is for and with the request's id. A line is logged when it is complete;
/// what is left is logged at ``flush()`` or at the end of the request.
///
/// A value of this type is a handle, for the thread that serves the request: copies write to the
/// same stream. After the end of the request text goes to the server's log without the request.
public struct Errors: TextOutputStream {
    private let exchange: Exchange

    package init(_ exchange: Exchange) { self.exchange = exchange }

    /// Writes text. Any text will do; nothing is thrown.
    public func write(_ string: String) {
        exchange.writeError(string)
    }

    /// Writes several texts one after the other.
    public func write(contentsOf strings: some Sequence<String>) {
        for string in strings { write(string) }
    }

    /// Logs an incomplete line.
    public func flush() {
        exchange.flushErrors()
    }
}

@available(*, unavailable)
extension Errors: Sendable {}
