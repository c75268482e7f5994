import SwiftGI

/// GET shows a form, POST what was sent with it.
let form: Application = { environ, startResponse in
    let html: HTTPFields = [.contentType: "text/html; charset=utf-8"]
    switch environ.method {
    case "GET", "HEAD":
        try startResponse(.ok, html, nil)
        return .string(page(fields))
    case "POST":
        guard isForm(environ.contentType) else {
            try startResponse(.unsupportedMediaType, html, nil)
            return .string(page("<p>This is no form.</p>"))
        }
        // With more than that collect throws; nobody catches it here, and the client gets 413.
        let body = try environ.input.collect(upTo: 65536)
        let rows = parse(body).map { "<dt>\(escaped($0))</dt><dd>\(escaped($1))</dd>" }
        try startResponse(.ok, html, nil)
        return .string(page("<dl>\(rows.joined(separator: "\n"))</dl>\n<p><a href=\"\">Once more</a></p>"))
    default:
        try startResponse(.methodNotAllowed, [.allow: "GET, HEAD, POST"], nil)
        return .empty
    }
}

@c public func swiftgi_application() -> ApplicationTable { export(form) }

private let fields = """
    <form method="post" accept-charset="utf-8">
    <p><label>Name <input name="name" autofocus></label></p>
    <p><label>Message <textarea name="message"></textarea></label></p>
    <p><button>Send</button></p>
    </form>
    """

private func page(_ content: String) -> String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head><meta charset="utf-8"><title>Form</title></head>
    <body>
    <h1>Form</h1>
    \(content)
    </body>
    </html>

    """
}

/// Whether a `Content-Type` is that of HTML forms, whatever its parameters.
private func isForm(_ contentType: String?) -> Bool {
    let type = contentType?.split(separator: ";").first?.split(separator: " ").first
    return type?.lowercased() == "application/x-www-form-urlencoded"
}

/// Names and values of `application/x-www-form-urlencoded`, in their order.
private func parse(_ body: [UInt8]) -> [(name: String, value: String)] {
    body.split(separator: UInt8(ascii: "&")).map { pair in
        let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
        return (decoded(parts[0]), parts.count > 1 ? decoded(parts[1]) : "")
    }
}

/// Undoes the percent encoding. What is not encoded properly stays as it is.
private func decoded(_ bytes: ArraySlice<UInt8>) -> String {
    var result: [UInt8] = []
    var rest = bytes
    while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "%"), let high = digit(rest.first), let low = digit(rest.dropFirst().first) {
            result.append(high << 4 | low)
            rest = rest.dropFirst(2)
        } else {
            result.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
        }
    }
    return String(decoding: result, as: UTF8.self)
}

/// The value of a hexadecimal digit.
private func digit(_ byte: UInt8?) -> UInt8? {
    byte.flatMap { Character(UnicodeScalar($0)).hexDigitValue }.map { UInt8($0) }
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
