/// The vocabulary of FastCGI 1.0 (FastCGI specification, section 8).
package enum FastCGI {
    package static let version: UInt8 = 1

    /// The size of a record's header.
    package static let headerSize = 8

    /// The most that is put into a record: the largest content that needs no padding to stay aligned.
    package static let largestContent = 65528

    package enum RecordType: UInt8, Sendable {
        case beginRequest = 1
        case abortRequest, endRequest, params, stdin, stdout, stderr, data, getValues, getValuesResult, unknownType
    }

    /// Records that mod_swiftgi and its daemons have beside FastCGI's; see the page "Daemon protocol".
    package enum ExtensionType: UInt8, Sendable {
        /// To the module: a part of a file as a piece of the body.
        case file = 64
        /// Either way: the fields behind a body.
        case trailers
        /// From the module: the body of the request could not be read on.
        case inputFailed
        /// To the module: the application wants the body of the request.
        case inputWanted
        /// From the module: the server wants to end.
        case stopping
        /// From the module: the request is cancelled, for the reason that is its one byte.
        case cancelled
    }

    package enum Role: UInt16, Sendable {
        case responder = 1
        case authorizer, filter

        /// The name that libfcgi puts into `FCGI_ROLE`.
        package var name: StaticString {
            switch self {
            case .responder: "RESPONDER"
            case .authorizer: "AUTHORIZER"
            case .filter: "FILTER"
            }
        }
    }

    package enum ProtocolStatus: UInt8, Sendable {
        case requestComplete = 0
        case cannotMultiplex, overloaded, unknownRole
    }
}

/// Records as they are sent.
extension [UInt8] {
    /// Appends the header of a record.
    ///
    /// - Parameter count: The size of the content, at most 65535.
    package mutating func appendHeader(_ type: FastCGI.RecordType, id: UInt16, count: Int, padding: UInt8 = 0) {
        appendHeader(type.rawValue, id: id, count: count, padding: padding)
    }

    package mutating func appendHeader(_ type: FastCGI.ExtensionType, id: UInt16, count: Int) {
        appendHeader(type.rawValue, id: id, count: count, padding: 0)
    }

    private mutating func appendHeader(_ type: UInt8, id: UInt16, count: Int, padding: UInt8) {
        let count = UInt16(clamping: count)
        append(FastCGI.version)
        append(type)
        append(UInt8(truncatingIfNeeded: id >> 8))
        append(UInt8(truncatingIfNeeded: id))
        append(UInt8(truncatingIfNeeded: count >> 8))
        append(UInt8(truncatingIfNeeded: count))
        append(padding)
        append(0)
    }

    /// Appends bytes of a stream, in as many records as it takes; nothing if there are none.
    package mutating func appendStream(_ type: FastCGI.RecordType, id: UInt16, _ content: Span<UInt8>) {
        var rest = content
        while !rest.isEmpty {
            let part = rest.extracting(first: FastCGI.largestContent)
            appendHeader(type, id: id, count: part.count)
            append(copying: part)
            rest = rest.extracting(droppingFirst: part.count)
        }
    }

    /// Appends the end of a stream.
    package mutating func appendStreamEnd(_ type: FastCGI.RecordType, id: UInt16) {
        appendHeader(type, id: id, count: 0)
    }

    /// Appends the end of a request.
    package mutating func appendEndRequest(
        id: UInt16, applicationStatus: UInt32, _ status: FastCGI.ProtocolStatus
    ) {
        appendHeader(.endRequest, id: id, count: 8)
        for shift in [24, 16, 8, 0] { append(UInt8(truncatingIfNeeded: applicationStatus >> UInt32(shift))) }
        append(status.rawValue)
        append(contentsOf: [0, 0, 0])
    }

    /// Appends the record that a descriptor goes with.
    package mutating func appendFile(id: UInt16, offset: Int64, length: Int64) {
        appendHeader(.file, id: id, count: 16)
        for number in [offset, length] {
            for shift in stride(from: 56, through: 0, by: -8) { append(UInt8(truncatingIfNeeded: number >> shift)) }
        }
    }

    /// Appends the answer to a management record of a type that is not known.
    package mutating func appendUnknownType(_ type: UInt8) {
        appendHeader(.unknownType, id: 0, count: 8)
        append(type)
        append(contentsOf: [0, 0, 0, 0, 0, 0, 0])
    }

    /// Appends a name-value pair: lengths up to 127 take one byte, others four.
    package mutating func appendPair(_ name: Span<UInt8>, _ value: Span<UInt8>) {
        appendPairLength(name.count)
        appendPairLength(value.count)
        append(copying: name)
        append(copying: value)
    }

    private mutating func appendPairLength(_ count: Int) {
        let count = UInt32(clamping: count)
        if count < 128 { return append(UInt8(truncatingIfNeeded: count)) }
        append(UInt8(truncatingIfNeeded: count >> 24) | 0x80)
        for shift in [16, 8, 0] { append(UInt8(truncatingIfNeeded: count >> UInt32(shift))) }
    }

    package mutating func append(copying bytes: Span<UInt8>) {
        // The span's bytes are initialized and are not kept.
        unsafe bytes.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
    }
}
