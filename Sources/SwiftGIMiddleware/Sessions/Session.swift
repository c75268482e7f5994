#if Sessions

public import SwiftGICore
import Synchronization

extension Environ.Key<Session> {
    /// `swiftgi-middleware.session`: what ``SignedSessions`` keeps for the client.
    public static var session: Self { Self("swiftgi-middleware.session") }
}

/// What an application keeps for a client from request to request: texts by name.
///
/// It travels in a cookie. The client can read it, and can't change it. What is changed behind the head
/// of the response is lost.
public final class Session: Sendable {
    private struct State {
        var values: [String: String]
        var isChanged = false
        var isUsed = false
    }

    private let state: Mutex<State>

    init(_ values: [String: String]) { state = Mutex(State(values: values)) }

    /// A text, or `nil` if there is none of that name. To set `nil` removes it.
    public subscript(name: String) -> String? {
        get {
            state.withLock { state in
                state.isUsed = true
                return state.values[name]
            }
        }
        set {
            state.withLock { state in
                state.isUsed = true
                if state.values[name] == newValue { return }
                state.values[name] = newValue
                state.isChanged = true
            }
        }
    }

    /// The names of its texts.
    public var names: [String] {
        state.withLock { state in
            state.isUsed = true
            return Array(state.values.keys)
        }
    }

    /// Forgets everything: the client's cookie is removed.
    public func removeAll() {
        state.withLock { state in
            state.isUsed = true
            if state.values.isEmpty { return }
            state.values = [:]
            state.isChanged = true
        }
    }

    var isUsed: Bool { state.withLock { $0.isUsed } }
    var isChanged: Bool { state.withLock { $0.isChanged } }
    var values: [String: String] { state.withLock { $0.values } }
}

#endif
