/// Takes the stream from a web server apart into what its records say.
///
/// It keeps no more than a record's header and the content of those kinds of records that are
/// only understood as a whole; the bytes of streams stay where they are. It does not know which
/// requests there are: that is for whoever has them.
package struct FastCGIDecoder {
    /// Ranges are of the bytes that were given.
    package enum Event: Equatable {
        case begin(id: UInt16, role: UInt16, keepsConnection: Bool)
        case abort(id: UInt16)
        case params(id: UInt16, Range<Int>)
        case paramsEnd(id: UInt16)
        case stdin(id: UInt16, Range<Int>)
        case stdinEnd(id: UInt16)
        case data(id: UInt16, Range<Int>)
        case dataEnd(id: UInt16)
        /// The names that the web server asks for, as pairs with empty values.
        case getValues([UInt8])
        case unknown(type: UInt8)
        /// A record of mod_swiftgi's; from anybody else it is of a type that is not known.
        case `extension`(FastCGI.ExtensionType, id: UInt16, [UInt8])
    }

    private enum State { case header, content, padding }

    /// Whether what was given so far ends between records.
    package var isBetweenRecords: Bool { state == .header && headerCount == 0 }

    /// The request whose body the next bytes belong to, and how many of them; `nil` if they are
    /// something else.
    package var bodyAhead: (id: UInt16, count: Int)? {
        guard state == .content, type == FastCGI.RecordType.stdin.rawValue else { return nil }
        return (id, remaining)
    }

    private var state = State.header
    private var header: UInt64 = 0
    private var headerCount = 0
    private var type: UInt8 = 0
    private var id: UInt16 = 0
    private var remaining = 0
    private var padding = 0
    /// The content of a record that is understood as a whole.
    private var collected: [UInt8] = []

    package init() {}

    /// The next event, or `nil` when all bytes from `position` on were taken.
    ///
    /// - Parameter position: Where to begin; moves behind what was taken.
    /// - Throws: ``WireError``; the decoder is not to be used any more.
    package mutating func next(_ bytes: Span<UInt8>, _ position: inout Int) throws(WireError) -> Event? {
        while true {
            switch state {
            case .header:
                while headerCount < FastCGI.headerSize {
                    guard position < bytes.count else { return nil }
                    header = header << 8 | UInt64(bytes[position])
                    headerCount += 1
                    position += 1
                }
                headerCount = 0
                try begin()
                if let event = try eventAtStart() { return event }
            case .content:
                if remaining == 0 {
                    state = .padding
                    if let event = try eventAtEnd() { return event }
                    continue
                }
                guard position < bytes.count else { return nil }
                let count = min(remaining, bytes.count - position)
                let range = position..<position + count
                position += count
                remaining -= count
                if let event = event(of: range, bytes) { return event }
            case .padding:
                let count = min(padding, bytes.count - position)
                position += count
                padding -= count
                if padding > 0 { return nil }
                state = .header
            }
        }
    }

    /// Says that bytes of a body were taken past the decoder; at most those of ``bodyAhead``.
    package mutating func skipBody(_ count: Int) { remaining -= max(0, min(count, remaining)) }

    private mutating func begin() throws(WireError) {
        let version = UInt8(truncatingIfNeeded: header >> 56)
        type = UInt8(truncatingIfNeeded: header >> 48)
        id = UInt16(truncatingIfNeeded: header >> 32)
        remaining = Int(UInt16(truncatingIfNeeded: header >> 16))
        padding = Int(UInt8(truncatingIfNeeded: header >> 8))
        guard version == FastCGI.version else { throw WireError("a record of FastCGI version \(version)") }
        state = .content
    }

    /// What is known with the header of a record.
    private mutating func eventAtStart() throws(WireError) -> Event? {
        switch FastCGI.RecordType(rawValue: type) {
        case .beginRequest:
            guard id != 0, remaining == 8 else {
                throw WireError("FCGI_BEGIN_REQUEST of \(remaining) bytes for request \(id)")
            }
            collected.removeAll(keepingCapacity: true)
        case .getValues:
            guard id == 0 else { throw WireError("FCGI_GET_VALUES for request \(id)") }
            collected.removeAll(keepingCapacity: true)
        case .abortRequest, .params, .stdin, .data:
            guard id != 0 else { throw WireError("a record of type \(type) for no request") }
            // A record without content is the end of its stream.
            guard remaining == 0 else { break }
            state = .padding
            switch FastCGI.RecordType(rawValue: type) {
            case .params: return .paramsEnd(id: id)
            case .stdin: return .stdinEnd(id: id)
            case .data: return .dataEnd(id: id)
            default: return .abort(id: id)
            }
        case .endRequest, .stdout, .stderr, .getValuesResult, .unknownType:
            throw WireError("a record of type \(type), which only applications send")
        case nil:
            if extensionType != nil { collected.removeAll(keepingCapacity: true) }
        }
        return nil
    }

    /// Of a record that only mod_swiftgi sends.
    private var extensionType: FastCGI.ExtensionType? {
        guard id != 0, let type = FastCGI.ExtensionType(rawValue: type) else { return nil }
        return switch type {
        case .trailers, .inputFailed, .stopping, .cancelled: type
        case .file, .inputWanted: nil
        }
    }

    private mutating func event(of range: Range<Int>, _ bytes: Span<UInt8>) -> Event? {
        switch FastCGI.RecordType(rawValue: type) {
        case .params: return .params(id: id, range)
        case .stdin: return .stdin(id: id, range)
        case .data: return .data(id: id, range)
        case .beginRequest, .getValues: collected.append(copying: bytes.extracting(range))
        case nil where extensionType != nil: collected.append(copying: bytes.extracting(range))
        default: break
        }
        return nil
    }

    /// What is known with the content of a record.
    private mutating func eventAtEnd() throws(WireError) -> Event? {
        switch FastCGI.RecordType(rawValue: type) {
        case .beginRequest:
            guard collected.count == 8 else { return nil }
            let role = UInt16(collected[0]) << 8 | UInt16(collected[1])
            return .begin(id: id, role: role, keepsConnection: collected[2] & 1 != 0)
        case .getValues: return .getValues(collected)
        case .abortRequest: return .abort(id: id)
        case nil:
            guard let extensionType else { return .unknown(type: type) }
            return .extension(extensionType, id: id, collected)
        default: return nil
        }
    }
}
