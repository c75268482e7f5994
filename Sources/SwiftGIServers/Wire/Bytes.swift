import Glibc

extension Span where Element == UInt8 {
    /// Whether these are the bytes of an ASCII text.
    package func isEqual(to text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        // A static string's bytes are there for ever, as many as it says, and as many are here.
        return unsafe withUnsafeBytes { own in
            guard let start = own.baseAddress else { return true }
            return unsafe memcmp(start, text.utf8Start, own.count) == 0
        }
    }

    /// Whether both have the same bytes.
    package func isEqual(to other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        // Both have as many.
        return unsafe withUnsafeBytes { own in
            unsafe other.withUnsafeBytes { other in
                guard let start = own.baseAddress, let otherStart = other.baseAddress else { return true }
                return unsafe memcmp(start, otherStart, own.count) == 0
            }
        }
    }

    package func hasPrefix(_ text: StaticString) -> Bool {
        count >= text.utf8CodeUnitCount && extracting(first: text.utf8CodeUnitCount).isEqual(to: text)
    }

    package func hasPrefix(_ other: Span<UInt8>) -> Bool {
        count >= other.count && extracting(first: other.count).isEqual(to: other)
    }

    /// Calls `body` with the name and the value of each field, "name: value" and a line's end; what is none
    /// is passed over.
    package func forEachFieldLine(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        var start = 0
        for index in indices where self[index] == 0x0A {
            var end = index
            if end > start, self[end - 1] == 0x0D { end -= 1 }
            let line = extracting(start..<end)
            start = index + 1
            guard let colon = line.indices.first(where: { line[$0] == 0x3A }), colon > 0 else { continue }
            var from = colon + 1
            while from < line.count, line[from] == 0x20 { from += 1 }
            body(line.extracting(first: colon), line.extracting(droppingFirst: from))
        }
    }

    /// A decimal number without a sign, or `nil` if this is none that fits.
    package var decimal: Int64? {
        if isEmpty { return nil }
        var number: Int64 = 0
        for index in indices {
            let byte = self[index]
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            let (product, tooLarge) = number.multipliedReportingOverflow(by: 10)
            let (sum, overflow) = product.addingReportingOverflow(Int64(byte - 0x30))
            if tooLarge || overflow { return nil }
            number = sum
        }
        return number
    }
}

extension [UInt8] {
    package mutating func append(_ text: StaticString) {
        // A static string's bytes are there for ever, as many as it says.
        unsafe append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}
