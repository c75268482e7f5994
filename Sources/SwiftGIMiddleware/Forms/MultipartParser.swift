import SwiftGICore

/// Takes a body of parts apart (RFC 7578, RFC 2046, section 5.1), piece by piece.
///
/// It keeps no more than a part's head, or as many bytes as could be the beginning of a boundary.
struct MultipartParser {
    enum Event {
        /// A part begins.
        case head(PartHead)
        /// Bytes of its content.
        case content(ArraySlice<UInt8>)
        /// It ends.
        case end
    }

    private enum State { case preamble, head, content, afterBoundary, complete }

    /// The longest head of a part.
    private static let headLimit = 16384

    /// A line break, two hyphens and the boundary.
    private let delimiter: [UInt8]
    private var state = State.preamble
    /// What is not done with. It begins with a line break, which the first boundary need not have.
    private var buffer: [UInt8] = [0x0D, 0x0A]

    init(boundary: String) { delimiter = Array("\r\n--\(boundary)".utf8) }

    /// Whether the last boundary was there. What follows it is passed over.
    var isComplete: Bool { state == .complete }

    mutating func feed(_ bytes: [UInt8], _ handle: (Event) throws -> Void) throws {
        if state == .complete { return }
        buffer += bytes
        var position = 0
        while let next = try step(from: position, handle) { position = next }
        buffer.removeFirst(min(consumed, buffer.count))
        consumed = 0
    }

    /// How much of the buffer is done with.
    private var consumed = 0

    /// Does the next thing. `nil`: there is not enough.
    private mutating func step(from start: Int, _ handle: (Event) throws -> Void) throws -> Int? {
        consumed = start
        switch state {
        case .preamble, .content:
            let isContent = state == .content
            guard let found = delimiterIndex(from: start) else {
                // The end of the buffer may be the beginning of a boundary.
                let safe = max(start, buffer.count - delimiter.count + 1)
                if isContent, safe > start { try handle(.content(buffer[start..<safe])) }
                consumed = safe
                return nil
            }
            if isContent {
                if found > start { try handle(.content(buffer[start..<found])) }
                try handle(.end)
            }
            state = .afterBoundary
            return found + delimiter.count
        case .afterBoundary:
            guard buffer.count - start >= 2 else { return nil }
            if buffer[start] == UInt8(ascii: "-"), buffer[start + 1] == UInt8(ascii: "-") {
                state = .complete
                consumed = buffer.count
                return nil
            }
            guard let end = lineEnd(from: start) else {
                if buffer.count - start > 256 { throw GatewayError(.malformedBody, "a form's boundary goes on") }
                return nil
            }
            guard buffer[start..<end].allSatisfy({ $0 == 0x20 || $0 == 0x09 }) else {
                throw GatewayError(.malformedBody, "a form's boundary goes on")
            }
            state = .head
            return end + 2
        case .head:
            var line = start
            var lines: [String] = []
            while let end = lineEnd(from: line) {
                if end == line {
                    try handle(.head(PartHead(lines)))
                    state = .content
                    return end + 2
                }
                lines.append(String(decoding: buffer[line..<end], as: UTF8.self))
                line = end + 2
            }
            if buffer.count - start > Self.headLimit {
                throw GatewayError(.malformedBody, "the head of a form's part is longer than \(Self.headLimit) bytes")
            }
            return nil
        case .complete:
            consumed = buffer.count
            return nil
        }
    }

    private func delimiterIndex(from start: Int) -> Int? {
        var position = start
        while let found = buffer[position...].firstIndex(of: 0x0D) {
            if buffer.count - found < delimiter.count { return nil }
            if buffer[found..<found + delimiter.count].elementsEqual(delimiter) { return found }
            position = found + 1
        }
        return nil
    }

    /// Where the next line break is.
    private func lineEnd(from start: Int) -> Int? {
        var position = start
        while let found = buffer[position...].firstIndex(of: 0x0D) {
            guard found + 1 < buffer.count else { return nil }
            if buffer[found + 1] == 0x0A { return found }
            position = found + 1
        }
        return nil
    }
}

/// What a part of a form is.
struct PartHead: Equatable {
    let name: String
    let filename: String?
    let contentType: String?

    init(_ lines: [String]) throws {
        var disposition: MediaType?
        var type: String?
        for line in lines {
            guard let colon = line.utf8.firstIndex(of: UInt8(ascii: ":")) else {
                throw GatewayError(.malformedBody, "a line of a form's part is no field")
            }
            let value = String(line[line.utf8.index(after: colon)...].drop { $0 == " " || $0 == "\t" })
            switch line[..<colon].lowercased() {
            case "content-disposition": disposition = MediaType(value)
            case "content-type": type = value
            default: break
            }
        }
        guard let disposition, disposition.essence == "form-data", let name = disposition.parameters["name"] else {
            throw GatewayError(.malformedBody, "a part of a form has no name")
        }
        self.name = Self.unescaped(name)
        filename = disposition.parameters["filename"].map(Self.unescaped)
        contentType = type
    }

    /// What browsers do to names (HTML, "multipart/form-data encoding algorithm").
    private static func unescaped(_ name: String) -> String {
        guard name.utf8.contains(UInt8(ascii: "%")) else { return name }
        var result = ""
        var rest = name[...]
        while let character = rest.first {
            if rest.hasPrefix("%22") {
                result += "\""
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("%0D") {
                result += "\r"
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("%0A") {
                result += "\n"
                rest = rest.dropFirst(3)
            } else {
                result.append(character)
                rest = rest.dropFirst()
            }
        }
        return result
    }
}
