import Glibc
import HTTPTypes

extension HTTPField.Name {
    /// Names that most requests have: to make them anew costs two strings and a check each time.
    ///
    /// By length, so that at most a handful are compared.
    private static let known: [[(spelling: [UInt8], name: HTTPField.Name)]] = {
        let names: [HTTPField.Name] = [
            .accept, .acceptEncoding, .acceptLanguage, .authorization, .cacheControl, .connection, .contentEncoding,
            .contentLength, .contentType, .cookie, .expect, .ifMatch, .ifModifiedSince, .ifNoneMatch, .ifRange,
            .origin, .range, .referer, .te, .transferEncoding, .upgrade, .userAgent, .via,
        ]
        let more = [
            "Accept-Charset", "DNT", "Forwarded", "Host", "Keep-Alive", "Pragma", "Priority", "Sec-CH-UA",
            "Sec-CH-UA-Mobile", "Sec-CH-UA-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site",
            "Sec-Fetch-User", "Upgrade-Insecure-Requests", "X-Forwarded-For", "X-Forwarded-Host",
            "X-Forwarded-Proto", "X-Real-IP", "X-Request-ID", "X-Requested-With", "traceparent", "tracestate",
        ].compactMap { HTTPField.Name($0) }
        var table: [[(spelling: [UInt8], name: HTTPField.Name)]] = []
        for name in names + more {
            let spelling = Array(name.rawName.utf8)
            while table.count <= spelling.count { table.append([]) }
            table[spelling.count].append((spelling, name))
        }
        return table
    }()

    /// A name as it came, or `nil` if it is not one of HTTP's. One that is known and spelt as usual
    /// is not made anew.
    init?(interning bytes: Span<UInt8>) {
        if bytes.count < Self.known.count {
            for candidate in Self.known[bytes.count] where candidate.spelling.span.isEqual(to: bytes) {
                self = candidate.name
                return
            }
        }
        self.init(String(repairing: bytes))
    }
}

extension Span where Element == UInt8 {
    /// Whether both have the same bytes.
    func isEqual(to other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        // Both have so many bytes.
        return unsafe withUnsafeBytes { own in
            unsafe other.withUnsafeBytes { others in
                guard let own = own.baseAddress, let others = others.baseAddress else { return true }
                return unsafe memcmp(own, others, count) == 0
            }
        }
    }

    /// Whether these are the letters of `Host`, in either case.
    var isHost: Bool {
        guard count == 4 else { return false }
        return self[0] | 0x20 == UInt8(ascii: "h") && self[1] | 0x20 == UInt8(ascii: "o")
            && self[2] | 0x20 == UInt8(ascii: "s") && self[3] | 0x20 == UInt8(ascii: "t")
    }
}
