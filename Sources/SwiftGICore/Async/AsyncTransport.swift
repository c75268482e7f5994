package import HTTPTypes

/// What a request waits for, and what has come.
package struct WaitEvents: OptionSet, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// A job was queued.
    package static var woken: WaitEvents { WaitEvents(rawValue: 1) }
    /// There may be something to read.
    package static var readable: WaitEvents { WaitEvents(rawValue: 2) }
    /// All that was written is on its way.
    package static var writable: WaitEvents { WaitEvents(rawValue: 4) }
    /// What was waited for did not come within the server's time limit for a connection.
    package static var stalled: WaitEvents { WaitEvents(rawValue: 8) }
    /// The server wants to end: requests may finish, within its grace period.
    package static var stopping: WaitEvents { WaitEvents(rawValue: 16) }
    /// The client went away.
    package static var gone: WaitEvents { WaitEvents(rawValue: 32) }
    /// The time for the request is over.
    package static var expired: WaitEvents { WaitEvents(rawValue: 64) }
    /// The server's grace period is over.
    package static var stopped: WaitEvents { WaitEvents(rawValue: 128) }

    /// Behind these the request is over.
    package static var terminal: WaitEvents { WaitEvents(rawValue: 32 | 64 | 128) }
    /// What comes unasked.
    package static var unasked: WaitEvents { WaitEvents(rawValue: 1 | 8 | 16 | 32 | 64 | 128) }
}

/// How a wait ended.
package enum Waited {
    /// On the calling thread, with these events.
    case attached(WaitEvents)
    /// The server will call ``AsyncExchange/resume(_:)``, on any thread.
    case suspended
}

/// What a gateway provides for requests whose handlers are asynchronous.
///
/// As ``Transport``, on the thread that drives the request and only until the request is over.
package protocol AsyncTransport: Transport {
    /// Sends an informational response; nothing for a client that does not know them.
    func sendInformational(_ status: HTTPResponse.Status, _ fields: HTTPFields) throws(GatewayError)

    /// The fields that followed the body of the request, once its end was read.
    func forEachTrailer(_ body: (Span<UInt8>, Span<UInt8>) -> Void)

    func makeWaker() -> any Waker

    /// Waits until the waker is used or one of the events comes, the terminal ones always included.
    func wait(for events: WaitEvents, _ exchange: AsyncExchange) -> Waited

    /// What of the events that need no waker has come: the client's end, the deadline, the server's
    /// stop. Does not wait.
    func poll() -> WaitEvents
}

/// Wakes a thread that waits in the process itself.
package final class SignalWaker: Waker {
    private let signal = Signal()

    package init() {}

    package func wake() { signal.post() }

    /// - Returns: Whether it was used in time.
    package func wait(milliseconds: UInt32) -> Bool { signal.wait(milliseconds: milliseconds) }
}
