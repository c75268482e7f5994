#if Sessions

import Crypto
import Glibc

/// Makes a cookie's value of a session, and checks and reads one:
/// `end.content.signature`, the last two in base64url.
struct SessionCodec: Sendable {
    let name: String
    private let keys: [SymmetricKey]

    init(name: String, keys: [[UInt8]]) {
        self.name = name
        self.keys = keys.map { SymmetricKey(data: $0) }
    }

    func encode(_ values: [String: String], end: Int64) -> String {
        let content = values.sorted { $0.key < $1.key }.map {
            "\(percentEncoded($0.key))=\(percentEncoded($0.value))"
        }
        .joined(separator: "&")
        let signed = "\(end).\(base64(Array(content.utf8)))"
        let signature = HMAC<SHA256>.authenticationCode(for: message(signed), using: keys[0])
        return "\(signed).\(base64(Array(signature)))"
    }

    /// Content and end, or `nil` if it was not made with one of the keys.
    func decode(_ cookie: String) -> (values: [String: String], end: Int64)? {
        let parts = cookie.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let end = Int64(String(Substring(parts[0]))), let content = bytes(parts[1]),
            let signature = bytes(parts[2])
        else { return nil }
        let signed = message(String(Substring(parts[0])) + "." + String(Substring(parts[1])))
        // In a time that does not tell how much of it is right.
        guard
            keys.contains(where: {
                HMAC<SHA256>.isValidAuthenticationCode(signature, authenticating: signed, using: $0)
            })
        else { return nil }
        var values: [String: String] = [:]
        for pair in content.split(separator: UInt8(ascii: "&")) {
            let halves = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            values[urlDecoded(halves[0])] = urlDecoded(halves.count > 1 ? halves[1] : [])
        }
        return (values, end)
    }

    /// A signature counts for a cookie of this name only.
    private func message(_ text: String) -> [UInt8] { Array("\(name)=\(text)".utf8) }
}

/// Seconds since 1970.
func secondsSinceEpoch() -> Int64 { Int64(time(nil)) }

private let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

/// RFC 4648, section 5, without padding.
private func base64(_ bytes: [UInt8]) -> String {
    var result: [UInt8] = []
    var index = 0
    while index < bytes.count {
        let group = (0..<3).reduce(0) { $0 << 8 | (index + $1 < bytes.count ? Int(bytes[index + $1]) : 0) }
        for position in 0...min(3, bytes.count - index) {
            result.append(alphabet[group >> (18 - 6 * position) & 63])
        }
        index += 3
    }
    return String(decoding: result, as: UTF8.self)
}

private func bytes(_ base64: some Collection<UInt8>) -> [UInt8]? {
    var result: [UInt8] = []
    var group = 0
    var bits = 0
    for byte in base64 {
        guard let value = alphabet.firstIndex(of: byte) else { return nil }
        group = (group << 6 | value) & 0xFFFF
        bits += 6
        if bits >= 8 {
            bits -= 8
            result.append(UInt8(truncatingIfNeeded: group >> bits))
        }
    }
    return result
}

private func percentEncoded(_ text: String) -> String {
    var result: [UInt8] = []
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
            result.append(byte)
        default:
            let digits = Array("0123456789ABCDEF".utf8)
            result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: result, as: UTF8.self)
}

#endif
