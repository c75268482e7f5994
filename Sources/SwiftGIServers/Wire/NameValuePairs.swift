/// Where a variable's name and value are among the bytes that hold them.
package struct VariablePlace: Equatable, Sendable {
    package var nameStart: UInt32
    package var nameCount: UInt32
    package var valueStart: UInt32
    package var valueCount: UInt32

    package var name: Range<Int> { Int(nameStart)..<Int(nameStart) + Int(nameCount) }
    package var value: Range<Int> { Int(valueStart)..<Int(valueStart) + Int(valueCount) }
}

/// Reads FastCGI's name-value pairs (FastCGI specification, section 3.4).
package enum NameValuePairs {
    /// Appends the places of all pairs.
    ///
    /// - Parameter limit: How many there may be.
    /// - Throws: ``WireError`` if the bytes end within a pair or there are too many.
    package static func locate(
        _ bytes: Span<UInt8>, limit: Int, into places: inout [VariablePlace]
    ) throws(WireError) {
        guard bytes.count <= Int(UInt32.max) else { throw WireError("too many bytes of variables") }
        var position = 0
        while position < bytes.count {
            let room = min(limit - places.count, Self.step)
            guard room > 0 else { throw WireError("more than \(limit) variables") }
            try places.append(addingCapacity: room) { places throws(WireError) in
                while position < bytes.count, !places.isFull { places.append(try next(bytes, &position)) }
            }
        }
    }

    /// For how many pairs room is made at a time: more than most requests have.
    private static let step = 64

    @inline(__always)
    private static func next(_ bytes: Span<UInt8>, _ position: inout Int) throws(WireError) -> VariablePlace {
        guard let nameCount = length(bytes, &position), let valueCount = length(bytes, &position),
            nameCount <= bytes.count - position, valueCount <= bytes.count - position - nameCount
        else { throw WireError("a name-value pair that ends early") }
        let start = position
        position += nameCount + valueCount
        // Nothing of it is longer than all.
        return VariablePlace(
            nameStart: UInt32(truncatingIfNeeded: start), nameCount: UInt32(truncatingIfNeeded: nameCount),
            valueStart: UInt32(truncatingIfNeeded: start + nameCount),
            valueCount: UInt32(truncatingIfNeeded: valueCount))
    }

    @inline(__always)
    private static func length(_ bytes: Span<UInt8>, _ position: inout Int) -> Int? {
        guard position < bytes.count else { return nil }
        let first = bytes[position]
        position += 1
        if first < 0x80 { return Int(first) }
        guard bytes.count - position >= 3 else { return nil }
        defer { position += 3 }
        return Int(first & 0x7F) << 24 | Int(bytes[position]) << 16 | Int(bytes[position + 1]) << 8
            | Int(bytes[position + 2])
    }
}
