/// Where a request belongs in a distributed trace (W3C Trace Context, Level 1).
public struct TraceContext: Sendable, Hashable {
    /// 32 hexadecimal digits, not all 0: the same for all that one user's action sets off.
    public let traceID: String

    /// 16 hexadecimal digits, not all 0: the caller's part of the trace, or `nil` if the trace begins here.
    public let parentID: String?

    /// 16 hexadecimal digits, not all 0: this request's part.
    public let spanID: String

    /// Whether the caller records the trace; the lowest bit of the flags.
    public let isSampled: Bool

    /// What vendors pass on, as it came.
    public let state: String

    /// A trace that begins here.
    public init() {
        self.init(traceID: Self.random(2), parentID: nil, isSampled: false, state: "")
    }

    private init(traceID: String, parentID: String?, isSampled: Bool, state: String) {
        self.traceID = traceID
        self.parentID = parentID
        spanID = Self.random(1)
        self.isSampled = isSampled
        self.state = state
    }

    /// The trace that a caller's fields name, or `nil` if they name none: such fields are to be ignored.
    ///
    /// - Parameters:
    ///   - traceparent: The field `traceparent`.
    ///   - tracestate: The field `tracestate`.
    public init?(traceparent: String, tracestate: String = "") {
        let bytes = Array(traceparent.utf8)
        guard bytes.count >= 55, bytes[2] == 0x2D, bytes[35] == 0x2D, bytes[52] == 0x2D else { return nil }
        func part(_ range: Range<Int>) -> String? {
            let digits = bytes[range]
            let isHexadecimal = digits.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
            return isHexadecimal ? String(decoding: digits, as: UTF8.self) : nil
        }
        guard let version = part(0..<2), version != "ff", let traceID = part(3..<35), let parentID = part(36..<52),
            let flags = part(53..<55).flatMap({ UInt8($0, radix: 16) }),
            traceID.contains(where: { $0 != "0" }), parentID.contains(where: { $0 != "0" })
        else { return nil }
        // Later versions may go on behind what this one knows.
        guard bytes.count == 55 || (version != "00" && bytes[55] == 0x2D) else { return nil }
        self.init(traceID: traceID, parentID: parentID, isSampled: flags & 1 != 0, state: tracestate)
    }

    /// The field for requests that this one makes.
    public var traceparent: String { "00-\(traceID)-\(spanID)-\(isSampled ? "01" : "00")" }

    private static func random(_ words: Int) -> String {
        (0..<words).map { _ in
            let digits = String(UInt64.random(in: 1...UInt64.max), radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
