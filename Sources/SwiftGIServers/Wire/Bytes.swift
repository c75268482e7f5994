extension Span where Element == UInt8 {
    /// Whether these are the bytes of an ASCII text.
    package func isEqual(to text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        // A static string's bytes are there for ever, as many as it says.
        let expected = unsafe UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        return unsafe withUnsafeBufferPointer { unsafe $0.elementsEqual(expected) }
    }

    /// Whether both have the same bytes.
    package func isEqual(to other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        return unsafe withUnsafeBufferPointer { own in
            unsafe other.withUnsafeBufferPointer { unsafe own.elementsEqual($0) }
        }
    }

    package func hasPrefix(_ text: StaticString) -> Bool {
        count >= text.utf8CodeUnitCount && extracting(first: text.utf8CodeUnitCount).isEqual(to: text)
    }

    package func hasPrefix(_ other: Span<UInt8>) -> Bool {
        count >= other.count && extracting(first: other.count).isEqual(to: other)
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

    /// Appends a number in decimal.
    package mutating func append(decimal number: Int64) {
        append(contentsOf: String(number).utf8)
    }
}
