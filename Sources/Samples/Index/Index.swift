import SwiftGI

/// The first page: the other samples, and the configuration that serves one of them.
let index: Application = { environ, startResponse in
    let html: HTTPFields = [.contentType: "text/html; charset=utf-8"]
    guard ["", "/"].contains(environ.pathInfo) else {
        try startResponse(.notFound, html, nil)
        return .string(page("Nothing is here", #"<p>The samples are listed <a href="/">on the first page</a>.</p>"#))
    }
    try startResponse(.ok, html, nil)
    let library = environ["SCRIPT_FILENAME"] ?? "/srv/samples/libIndex.so"
    return .string(page("It works", listing(library: library, hasTodos: environ["SAMPLE_TODOS"] != nil)))
}

@c public func swiftgi_application() -> ApplicationTable { export(index) }

private let samples = [
    ("hello", "The shortest complete application."),
    ("variables?name=value", "All variables of the request, as text."),
    ("echo", "Sends back what it gets, piece by piece."),
    ("stream", "A response that takes its time: one line a step."),
    ("download", "A file, with ranges and conditional requests."),
    ("form", "A form, and what was sent with it."),
    ("middleware", "Applications wrapped in others: timing, error pages, mounting."),
    ("guestbook", "State, work beside the requests, start, shutdown and log."),
    ("events", "A live stream of events in a page; it holds no thread while it waits."),
]

/// Not everybody has built it: it brings Hummingbird and a database.
private let todos = ("todos", "A to-do list: an unchanged application of Hummingbird, over SQLite.")

private func listing(library: String, hasTodos: Bool) -> String {
    let directory = library.split(separator: "/").dropLast().map { "/\($0)" }.joined()
    let links = (hasTodos ? samples + [todos] : samples).map { "<dt><a href=\"/\($0)\">/\($0)</a></dt><dd>\($1)</dd>" }
    return """
        <p>This page comes from a Swift application inside Apache httpd. So do these:</p>
        <dl>
        \(links.joined(separator: "\n"))
        </dl>
        <p>With the module loaded, four lines of configuration serve an application:</p>
        <pre>SwiftGIScriptAlias /hello \(escaped(directory))/libHello.so
        &lt;Directory \(escaped(directory))&gt;
            Require all granted
        &lt;/Directory&gt;</pre>
        <p>Each sample is one file below <code>Sources/Samples</code>.</p>
        """
}

private func page(_ title: String, _ content: String) -> String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>SwiftGI: \(title)</title>
    <style>
    :root { color-scheme: light dark; --line: #8884; --accent: light-dark(#c2410c, #fb923c) }
    body { font: 1rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 4rem auto; padding: 0 1.5rem }
    h1 { font-size: 2rem; letter-spacing: -.02em; border-bottom: 3px solid var(--accent); padding-bottom: .3em }
    a { color: var(--accent) }
    dl { display: grid; grid-template-columns: max-content 1fr; gap: .4rem 2rem }
    dt, code, pre { font-family: ui-monospace, monospace; font-size: .9rem }
    dd { margin: 0 }
    pre { padding: 1rem; border: 1px solid var(--line); border-radius: .5rem; overflow-x: auto }
    </style>
    </head>
    <body>
    <h1>\(title)</h1>
    \(content)
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
