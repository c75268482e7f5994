import SwiftGICore

/// The error stream: W14.
let errorsCases: [ConformanceCase] = [
    ConformanceCase("W14", "Text is logged by lines", at: "lines", log: ["w14 one", "w14 two", "w14 three"]) {
        environ, startResponse in
        let errors = environ.errors
        errors.write("w14 ")
        errors.write("one\nw14 ")
        errors.write(contentsOf: ["tw", "o\n"])
        errors.flush()
        errors.write("w14 three")
        return try reply(startResponse, "")
    } check: { session in
        try await session.get().requireText("")
    },

    // A server may log a long line in parts.
    ConformanceCase("W14", "Any text will do", at: "unicode", log: ["w14 unicode", "long long"]) {
        environ, startResponse in
        environ.errors.write("w14 unicode äöü ☃ 👩‍🚀 \u{0} \u{7F} \u{1B}[0m \u{FFFD} \u{10FFFF} e\u{301} \r\n")
        environ.errors.write("")
        environ.errors.write("w14 unicode " + String(repeating: "long ", count: 4000))
        return try reply(startResponse, "alive\n")
    } check: { session in
        try await session.get().requireText("alive\n")
    },
]
