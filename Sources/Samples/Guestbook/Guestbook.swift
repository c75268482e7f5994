import Logging
import SwiftGI
import Synchronization

/// An application with state and a life of its own.
///
/// The server makes one in each of its processes, so with several of them there are as many guest
/// books; what is to be shared or kept belongs into a database.
struct Guestbook: GatewayApplication {
    private let entries = Entries()
    // As every logger, it writes to the server's error log.
    private let logger = Logger(label: "guestbook")

    init(_ startup: Startup) async throws {
        logger.info("open", metadata: ["server": "\(startup.software)"])
    }

    var application: Application {
        { [entries, logger] environ, startResponse in
            switch environ.method {
            case "GET", "HEAD":
                try startResponse(.ok, [.contentType: "text/html; charset=utf-8"], nil)
                return .string(page(entries.all))
            case "POST":
                // text/plain, as the form below sends it: `entry=`, the text and a line break.
                let body = String(decoding: try environ.input.collect(upTo: 1000), as: UTF8.self)
                let text = body.drop { $0 != "=" }.dropFirst()
                entries.add(text.split(whereSeparator: \.isNewline).joined(separator: " "))
                logger.info("new entry", metadata: ["from": "\(environ.remoteAddress)"])
                // The browser shows the book with GET, so that to reload it does not send the entry again.
                try startResponse(.seeOther, [.location: percentEncoded(environ.scriptName) + "/"], nil)
                return .empty
            default:
                try startResponse(.methodNotAllowed, [.allow: "GET, HEAD, POST"], nil)
                return .empty
            }
        }
    }

    /// Every minute forgets what is older than an hour, until the server stops.
    func run() async throws {
        while true {
            try await Task.sleep(for: .seconds(60))
            let count = entries.removeAll(before: .now - .seconds(3600))
            if count > 0 { logger.info("forgotten", metadata: ["entries": "\(count)"]) }
        }
    }

    func shutdown() async throws {
        logger.info("closed", metadata: ["entries": "\(entries.all.count)"])
    }
}

@c public func swiftgi_application() -> ApplicationTable { export(Guestbook.self) }

/// What was written, the newest first. Requests come on many threads.
private final class Entries: Sendable {
    private let storage = Mutex<[(time: ContinuousClock.Instant, text: String)]>([])

    var all: [String] { storage.withLock { $0.map(\.text) } }

    func add(_ text: String) {
        storage.withLock { entries in
            entries.insert((.now, text), at: 0)
            if entries.count > 100 { entries.removeLast() }
        }
    }

    func removeAll(before time: ContinuousClock.Instant) -> Int {
        storage.withLock { entries in
            let count = entries.count
            entries.removeAll { $0.time < time }
            return count - entries.count
        }
    }
}

private func page(_ entries: [String]) -> String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head><meta charset="utf-8"><title>Guest book</title></head>
    <body>
    <h1>Guest book</h1>
    <form method="post" enctype="text/plain" accept-charset="utf-8">
    <p><input name="entry" maxlength="200" required autofocus> <button>Write</button></p>
    </form>
    <ul>
    \(entries.map { "<li>\(escaped($0))</li>" }.joined(separator: "\n"))
    </ul>
    </body>
    </html>

    """
}

/// Text as the content of an element.
private func escaped(_ text: String) -> String {
    var result = ""
    for character in text.unicodeScalars {
        switch character {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        default: result.unicodeScalars.append(character)
        }
    }
    return result
}

/// A path as it is written in a URL.
private func percentEncoded(_ path: String) -> String {
    path.utf8.map { byte in
        switch UnicodeScalar(byte) {
        case "a"..."z", "A"..."Z", "0"..."9", "-", ".", "_", "~", "/": String(UnicodeScalar(byte))
        default: (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
        }
    }.joined()
}
