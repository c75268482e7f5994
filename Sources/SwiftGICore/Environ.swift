/// The environment of a request: its CGI variables, the server's `swiftgi.*` entries, and what
/// middleware added.
///
/// A view over the server's memory: nothing is built or copied until it is asked for, and it
/// can't be kept beyond the application's call (``snapshot()`` can). Changes are the application's
/// own: the applications it calls see them, the server does not.
///
/// Specification, section "Environ"; RFC 3875, section 4.1; PEP 3333, "environ Variables".
public struct Environ: ~Copyable {
    package let exchange: Exchange
    /// What the application changed; `nil` is what it removed.
    package private(set) var changes: Changes?

    /// Entries by name; `nil` is one that was removed.
    package typealias Changes = [String: (any Sendable)?]

    package init(_ exchange: Exchange, changes: Changes? = nil) {
        self.exchange = exchange
        self.changes = changes
    }

    /// A variable as text, or `nil` if there is none of that name.
    ///
    /// Names are those of RFC 3875 (`REQUEST_METHOD`, `PATH_INFO`, …), `HTTP_` and a field's name
    /// for header fields, whatever the server's configuration sets, and `swiftgi.` for entries of
    /// the gateway. Bytes that are not UTF-8 are repaired; ``withBytes(_:_:)`` gives them as they
    /// came. To set `nil` removes the variable.
    public subscript(key: String) -> String? {
        get {
            if let change = changes?[key] { return Self.text(change, of: key) }
            return exchange.text(key)
        }
        set { change(key, to: newValue) }
    }

    /// A typed entry, or `nil` if there is none of this name and type: the gateway's own, or one
    /// that middleware set. To set `nil` removes the entry.
    ///
    /// The gateway's entries, and entries that are strings, can be read and set as text too.
    public subscript<Value: Sendable>(key: Key<Value>) -> Value? {
        get {
            if let change = changes?[key.name] { return change as? Value }
            return exchange.entry(key.name) as? Value
        }
        set { change(key.name, to: newValue) }
    }

    private mutating func change<Value: Sendable>(_ key: String, to value: Value?) {
        changes = changes ?? [:]
        changes?[key] = .some(value.map { $0 as any Sendable })
    }

    /// The textual form of a changed entry, which values of other owners don't have.
    package static func text(_ value: (any Sendable)?, of key: String) -> String? {
        if let text = value as? String { return text }
        return Exchange.textEntries.contains(key) ? value.map { "\($0)" } : nil
    }

    /// Calls a closure with the exact bytes of a variable, without copying them, or with `nil` if
    /// there is none of that name.
    ///
    /// - Parameters:
    ///   - key: The variable's name.
    ///   - body: May use the bytes during the call only.
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws.
    public func withBytes<Result>(_ key: String, _ body: (Span<UInt8>?) throws -> Result) rethrows -> Result {
        if changes?[key] != nil || key.hasPrefix("swiftgi.") {
            guard let text = self[key] else { return try body(nil) }
            return try body(text.utf8.span)
        }
        var result: Swift.Result<Result, any Error>?
        let found = exchange.withVariable(key.utf8.span) { bytes in
            result = Swift.Result { try body(bytes) }
        }
        guard found, let result else { return try body(nil) }
        return try Self.unwrap(result, rethrowing: body)
    }

    /// Only `body` can have thrown what the result holds, which is what `rethrows` promises.
    private static func unwrap<Value>(
        _ result: Result<Value, any Error>, rethrowing body: (Span<UInt8>?) throws -> Value
    ) rethrows -> Value {
        switch result {
        case .success(let value): return value
        case .failure(let error):
            try { (_: (Span<UInt8>?) throws -> Value) throws -> Void in throw error }(body)
            return try body(nil)
        }
    }

    /// A copy of all variables, for what outlives the request or enumerates them.
    ///
    /// The textual `swiftgi.*` entries are among them.
    public func snapshot() -> [String: String] {
        var all = exchange.snapshot()
        for (key, value) in changes ?? [:] { all[key] = Self.text(value, of: key) }
        return all
    }

    /// Registers an action for the time after the response: it runs when the last byte was handed
    /// to the server, or when the request failed, after the body was closed, in the reverse of the
    /// order of registration, on the thread that served the request. Environ is usable until the
    /// last has run.
    ///
    /// - Parameter action: What to do. The response is not changed by it.
    public func onFinish(_ action: @escaping () -> Void) {
        exchange.onFinish(action)
    }
}

@available(*, unavailable)
extension Environ: Sendable {}

extension String {
    /// The text of these bytes, with U+FFFD for what is not UTF-8.
    package init(repairing bytes: Span<UInt8>) {
        // The span's bytes are initialized and are not kept.
        self = unsafe bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
    }
}
