import Glibc
import SwiftGI

/// A page and the live stream of events that it shows. While they wait, streams hold no thread: open
/// the page as often as you like.
///
/// A browser that has lost its connection asks for what follows the last event that it got.
let events: AsyncApplication = { request in
    switch await request.context.variable("PATH_INFO") ?? "" {
    case "/stream":
        return .events(Ticks(last: request.head.lastEventID.flatMap { Int($0) } ?? 0))
    case "", "/":
        return Response(headers: [.contentType: "text/html; charset=utf-8"], body: .string(page))
    default:
        return Response(status: .notFound, headers: [.contentType: "text/plain"], body: .string("Nothing is here.\n"))
    }
}

@c public func swiftgi_application() -> ApplicationTable { export(events) }

/// An event each second, with its number for an id.
private struct Ticks: AsyncSequence, AsyncIteratorProtocol, Sendable {
    var last: Int

    func makeAsyncIterator() -> Ticks { self }

    mutating func next() async throws -> ServerSentEvent? {
        try await Task.sleep(for: .seconds(1))
        last = last < 1_000_000 ? last + 1 : 1
        return ServerSentEvent("tick \(last) from process \(getpid())", event: "tick", id: "\(last)")
    }
}

private let page = """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>SwiftGI: Events</title>
    <style>
    :root { color-scheme: light dark; --accent: light-dark(#c2410c, #fb923c) }
    body { font: 1rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 4rem auto; padding: 0 1.5rem }
    h1 { letter-spacing: -.02em; border-bottom: 3px solid var(--accent); padding-bottom: .3em }
    ol { font-family: ui-monospace, monospace; list-style: none; padding: 0 }
    li:first-child { color: var(--accent) }
    </style>
    </head>
    <body>
    <h1>Events</h1>
    <p id="state">Connecting …</p>
    <ol id="events"></ol>
    <script>
    const state = document.getElementById("state"), list = document.getElementById("events");
    const source = new EventSource(location.pathname.replace(/\\/$/, "") + "/stream");
    source.onopen = () => state.textContent = "Connected";
    source.onerror = () => state.textContent = "Connecting anew …";
    source.addEventListener("tick", event => {
        const item = document.createElement("li");
        item.textContent = event.data;
        list.prepend(item);
        while (list.children.length > 10) list.lastChild.remove();
    });
    </script>
    </body>
    </html>

    """
