import SwiftGICore

/// What the variables of every request have to be: W4 to W8.
func checkVariables(_ variable: (String) -> String?) throws(ValidationError) {
    func require(_ rule: String, _ name: String, _ what: String, _ holds: (String) -> Bool) throws(ValidationError) {
        guard let value = variable(name) else { throw ValidationError(rule, "\(name) is absent") }
        guard holds(value) else { throw ValidationError(rule, "\(name) is \"\(value)\", but has to be \(what)") }
    }
    func forbid(_ rule: String, _ name: String, _ why: String) throws(ValidationError) {
        if let value = variable(name) { throw ValidationError(rule, "\(name) is \"\(value)\", \(why)") }
    }
    func checkIfPresent(
        _ rule: String, _ name: String, _ what: String, _ holds: (String) -> Bool
    ) throws(ValidationError) {
        if variable(name) != nil { try require(rule, name, what, holds) }
    }
    try require("W4", "REQUEST_METHOD", "a method") { !$0.isEmpty && $0.utf8.allSatisfy(\.isTokenByte) }
    try require("W5", "SERVER_NAME", "a name") { !$0.isEmpty }
    try require("W5", "SERVER_PORT", "a decimal number") { $0.isDecimal }
    try require("W6", "SERVER_PROTOCOL", "a protocol and its version") { $0.contains("/") }
    try require("W6", "QUERY_STRING", "a query") { _ in true }
    try require("W6", "REQUEST_SCHEME", "http or https") { $0 == "http" || $0 == "https" }
    try require("W6", "SCRIPT_NAME", "empty, or a path that begins with a slash and does not end in one") {
        $0.isEmpty || ($0.hasPrefix("/") && !$0.hasSuffix("/"))
    }
    try require("W6", "PATH_INFO", "empty, or a path that begins with a slash") { $0.isEmpty || $0.hasPrefix("/") }
    if variable("SCRIPT_NAME") == "", variable("PATH_INFO") == "" {
        throw ValidationError("W6", "SCRIPT_NAME and PATH_INFO are both empty; PATH_INFO of the root is \"/\"")
    }
    try checkIfPresent("W6", "CONTENT_LENGTH", "a decimal number") { $0.isDecimal }
    try forbid("W7", "HTTP_CONTENT_TYPE", "but that field's variable is CONTENT_TYPE")
    try forbid("W7", "HTTP_CONTENT_LENGTH", "but that field's variable is CONTENT_LENGTH")
    try forbid("W7", "HTTP_PROXY", "which HTTP clients take for their proxy (CVE-2016-5387)")
    for name in ["REMOTE_USER", "AUTH_TYPE", "REMOTE_ADDR"] {
        try checkIfPresent("W8", name, "absent if there is none, not empty") { !$0.isEmpty }
    }
}

/// What the gateway's own entries have to be: W10.
func checkEntries(_ environ: borrowing Environ) throws(ValidationError) {
    func require(_ name: String, _ type: String, _ isThere: Bool) throws(ValidationError) {
        if !isThere {
            let found = environ[name].map { "\"\($0)\"" } ?? "absent"
            throw ValidationError("W10", "\(name) is \(found), but has to be a \(type)")
        }
    }
    try require("swiftgi.version", "version", environ[.version] != nil)
    try require("swiftgi.url_scheme", "scheme", ["http", "https"].contains(environ[.urlScheme]))
    try require("swiftgi.multithread", "Bool", environ[.multithread] != nil)
    try require("swiftgi.multiprocess", "Bool", environ[.multiprocess] != nil)
    try require("swiftgi.run_once", "Bool", environ[.runOnce] != nil)
    try require("swiftgi.server", "name", environ[.server]?.isEmpty == false)
}

extension String {
    fileprivate var isDecimal: Bool { !isEmpty && utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } }
}

extension UInt8 {
    /// Whether a method may have this character (RFC 9110, section 5.6.2).
    fileprivate var isTokenByte: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(self)
        }
    }
}
