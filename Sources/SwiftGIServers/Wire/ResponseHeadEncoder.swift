package import HTTPTypes
import SwiftGICore

extension [UInt8] {
    /// The head of a response as CGI has it, and the empty line behind it (RFC 3875, section 6).
    ///
    /// Names and values were checked by whoever made the head.
    ///
    /// - Parameters:
    ///   - length: The length of the body, if it is known. It replaces `Content-Length`.
    ///   - room: How many zero bytes are before it.
    ///   - spare: For how many bytes there is room behind it.
    package init(
        head status: HTTPResponse.Status, _ fields: HTTPFields, length: Int64?, room: Int = 0, spare: Int = 0
    ) {
        let reason = status.reasonPhrase
        // The longest numbers have twenty characters.
        var capacity = room + 80 + reason.utf8.count + spare
        for field in fields { capacity += field.lineLength }
        self.init(capacity: capacity) { head in
            head.append(repeating: 0, count: room)
            head.append("Status: ")
            head.append(decimal: Int64(status.code))
            if !reason.isEmpty {
                head.append(0x20)
                head.append(copying: reason.utf8.span)
            }
            head.append("\r\n")
            for field in fields where !field.isContentLength { head.append(field) }
            if let length {
                head.append("Content-Length: ")
                head.append(decimal: length)
                head.append("\r\n")
            }
            head.append("\r\n")
        }
    }

    /// Appends a field as a line.
    package mutating func append(_ field: HTTPField) {
        append(addingCapacity: field.lineLength) { $0.append(field) }
    }
}

extension HTTPField {
    /// How many bytes its line has.
    fileprivate var lineLength: Int {
        let valueLength = unsafe withUnsafeBytesOfValue { $0.count }
        return name.rawName.utf8.count + 4 + valueLength
    }
}

/// Whoever makes the span sees to it that there is room.
extension OutputSpan where Element == UInt8 {
    fileprivate mutating func append(copying bytes: Span<UInt8>) {
        unsafe bytes.withUnsafeBytes { unsafe append($0) }
    }

    fileprivate mutating func append(_ text: StaticString) {
        // A static string's bytes are there for ever, as many as it says.
        unsafe append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress, bytes.count > 0 else { return }
        precondition(bytes.count <= freeCapacity, "whoever makes the span sees to it that there is room")
        unsafe withUnsafeMutableBufferPointer { buffer, count in
            guard let target = buffer.baseAddress else { return }
            // There is room for as many behind what is initialised.
            unsafe UnsafeMutableRawPointer(target + count).copyMemory(from: start, byteCount: bytes.count)
            count += bytes.count
        }
    }

    /// A number that is not negative.
    fileprivate mutating func append(decimal number: Int64) {
        var divisor: Int64 = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            append(UInt8(truncatingIfNeeded: 0x30 + number / divisor % 10))
            divisor /= 10
        }
    }

    fileprivate mutating func append(_ field: HTTPField) {
        append(copying: field.name.rawName.utf8.span)
        append(": ")
        // The bytes are copied while the field lends them.
        unsafe field.withUnsafeBytesOfValue { unsafe append(UnsafeRawBufferPointer($0)) }
        append("\r\n")
    }
}
