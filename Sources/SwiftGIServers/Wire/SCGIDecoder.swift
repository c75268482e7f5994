/// Takes an SCGI request apart: a netstring of names and values, then the body.
///
/// https://python.ca/scgi/protocol.txt
package struct SCGIDecoder {
    /// Ranges are of the bytes that were given.
    package enum Event: Equatable {
        /// Bytes of the header: names and values, each with a zero byte behind it.
        case header(Range<Int>)
        case headerEnd
        case body(Range<Int>)
    }

    private enum State { case length, header, comma, body }

    private var state = State.length
    private var digits = 0
    private var remaining = 0
    private let limit: Int

    /// Whether nothing has come yet.
    package var isAtStart: Bool { state == .length && digits == 0 }

    /// - Parameter limit: The size that a header may have.
    package init(limit: Int) { self.limit = limit }

    /// The next event, or `nil` when all bytes from `position` on were taken.
    ///
    /// - Throws: ``WireError``; the decoder is not to be used any more.
    package mutating func next(_ bytes: Span<UInt8>, _ position: inout Int) throws(WireError) -> Event? {
        while position < bytes.count {
            switch state {
            case .length:
                let byte = bytes[position]
                position += 1
                if byte == 0x3A, digits > 0 {
                    state = remaining > 0 ? .header : .comma
                    continue
                }
                guard byte >= 0x30, byte <= 0x39 else { throw WireError("a header without its length") }
                // "0:" is a netstring, "01:" is none.
                if digits > 0, remaining == 0 { throw WireError("a header's length that begins with 0") }
                digits += 1
                remaining = remaining * 10 + Int(byte - 0x30)
                if remaining > limit { throw WireError("a header of more than \(limit) bytes") }
            case .header:
                let count = min(remaining, bytes.count - position)
                let range = position..<position + count
                position += count
                remaining -= count
                if remaining == 0 { state = .comma }
                return .header(range)
            case .comma:
                guard bytes[position] == 0x2C else { throw WireError("a header that does not end in a comma") }
                position += 1
                state = .body
                return .headerEnd
            case .body:
                let range = position..<bytes.count
                position = bytes.count
                return .body(range)
            }
        }
        return nil
    }

    /// Appends the places of all names and values of a header.
    ///
    /// - Parameter limit: How many there may be.
    /// - Throws: ``WireError`` if it is not one: `CONTENT_LENGTH` has to be the first, and `SCGI` with
    ///   the value `1` among them.
    package static func locate(
        _ bytes: Span<UInt8>, limit: Int, into places: inout [VariablePlace]
    ) throws(WireError) {
        var start = 0
        var name: Range<Int>?
        var isSCGI = false
        for position in bytes.indices where bytes[position] == 0 {
            let text = start..<position
            start = position + 1
            guard let current = name else {
                if text.isEmpty { throw WireError("a variable without a name") }
                name = text
                continue
            }
            name = nil
            guard places.count < limit else { throw WireError("more than \(limit) variables") }
            if places.isEmpty, !bytes.extracting(current).isEqual(to: "CONTENT_LENGTH") {
                throw WireError("a header that does not begin with CONTENT_LENGTH")
            }
            if bytes.extracting(current).isEqual(to: "SCGI") { isSCGI = bytes.extracting(text).isEqual(to: "1") }
            places.append(
                VariablePlace(
                    nameStart: UInt32(clamping: current.lowerBound), nameCount: UInt32(clamping: current.count),
                    valueStart: UInt32(clamping: text.lowerBound), valueCount: UInt32(clamping: text.count)))
        }
        guard name == nil, start == bytes.count else { throw WireError("a header that ends within a variable") }
        guard !places.isEmpty else { throw WireError("a header without CONTENT_LENGTH") }
        guard isSCGI else { throw WireError("a header without SCGI=1") }
    }
}
