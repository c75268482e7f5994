/// A value with parameters, as those of `Content-Type` and `Content-Disposition` are (RFC 9110,
/// section 5.6.6).
struct MediaType {
    /// What is before the first `;`, in lower case.
    let essence: String
    /// By their names in lower case; the first of each counts.
    private(set) var parameters: [String: String] = [:]

    init?(_ text: String) {
        var rest = text.utf8[...]
        let essence = Self.token(&rest) { $0 != UInt8(ascii: ";") }
        guard !essence.isEmpty else { return nil }
        self.essence = essence.lowercased()
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: ";") else { return nil }
            let name = Self.token(&rest) { $0 != UInt8(ascii: "=") && $0 != UInt8(ascii: ";") }.lowercased()
            guard rest.first == UInt8(ascii: "=") else {
                if name.isEmpty { continue }
                return nil
            }
            rest = rest.dropFirst()
            let value: String
            if rest.first == UInt8(ascii: "\"") {
                rest = rest.dropFirst()
                guard let quoted = Self.quoted(&rest) else { return nil }
                value = quoted
                _ = Self.token(&rest) { $0 != UInt8(ascii: ";") }
            } else {
                value = Self.token(&rest) { $0 != UInt8(ascii: ";") }
            }
            if !name.isEmpty, parameters[name] == nil { parameters[name] = value }
        }
    }

    /// What comes as long as a condition holds, without the blanks around it.
    private static func token(_ rest: inout Substring.UTF8View, while holds: (UInt8) -> Bool) -> String {
        let part = rest.prefix(while: holds)
        rest = rest[part.endIndex...]
        let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
        let trimmed = part.drop(while: isBlank)
        guard let last = trimmed.lastIndex(where: { !isBlank($0) }) else { return "" }
        return String(Substring(trimmed[...last]))
    }

    /// What comes before the next quotation mark. A backslash is only an escape before one: browsers
    /// send those of file names as they are.
    private static func quoted(_ rest: inout Substring.UTF8View) -> String? {
        var result: [UInt8] = []
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\"") { return String(decoding: result, as: UTF8.self) }
            if byte == UInt8(ascii: "\\"), rest.first == UInt8(ascii: "\"") {
                result.append(UInt8(ascii: "\""))
                rest = rest.dropFirst()
            } else {
                result.append(byte)
            }
        }
        return nil
    }
}
