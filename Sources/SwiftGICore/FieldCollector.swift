package import HTTPTypes

/// Makes the header fields of a request from what a gateway has of them.
package struct FieldCollector: ~Copyable {
    private let takesHost: Bool

    /// What was collected.
    private var fields = HTTPFields()

    /// The value of `Host`, if that is taken.
    private var host: String?

    private var memory: FieldMemory
    /// How far the fields are those of the memory, as long as all of them are.
    private var match: FieldMemory.Match?
    private var isRemembering = false

    /// - Parameters:
    ///   - takesHost: Whether `Host` is no field but the request's authority.
    ///   - memory: What ``finish()`` gave for another request with the same `takesHost`.
    package init(takesHost: Bool, memory: consuming FieldMemory = FieldMemory(limit: 0)) {
        self.takesHost = takesHost
        if memory.isEmpty {
            isRemembering = memory.limit > 0
            fields.reserveCapacity(16)
        } else {
            match = FieldMemory.Match()
        }
        self.memory = memory
    }

    /// Adds a field, but for one whose name is not HTTP's.
    package mutating func append(_ name: Span<UInt8>, _ value: Span<UInt8>) {
        if match != nil {
            if memory.hasNext(name, value, &match) { return }
            leaveMemory()
        }
        if takesHost && name.isHost {
            // The memory has room for one.
            if host != nil { stopRemembering() }
            host = String(repairing: value)
            remember(.host, name, value)
            return
        }
        // HTTPFields traps on more.
        guard fields.count < UInt16.max - 1, let fieldName = HTTPField.Name(interning: name) else {
            return remember(.dropped, name, value)
        }
        if isRemembering && fieldName.isSecret { stopRemembering() }
        // What is text already costs a fraction of what has to be looked at byte by byte.
        if value.isASCII {
            fields.append(HTTPField(name: fieldName, value: String(repairing: value)))
        } else {
            fields.append(HTTPField(name: fieldName, value: [UInt8](copying: value)))
        }
        remember(.field, name, value)
    }

    /// Whether all that was collected is what the memory has, and nothing is missing.
    package var isRepetition: Bool { match?.position == memory.size }

    /// Whether the memory will have all that was collected.
    package var isWhole: Bool { isRemembering || isRepetition }

    /// What to give to the next collector, if this one has collected nothing but what the memory has.
    package consuming func takeMemory() -> FieldMemory { memory }

    /// The fields and the value of `Host`, and what to give to the next collector.
    package consuming func finish() -> (fields: HTTPFields, host: String?, memory: FieldMemory) {
        if match != nil { leaveMemory() }
        stopRemembering()
        return (fields, host, memory)
    }

    /// From here on the fields are made.
    private mutating func leaveMemory() {
        guard let match = match.take() else { return }
        memory.cut(to: match)
        fields = memory.fields
        host = memory.host
        isRemembering = true
    }

    private mutating func remember(_ kind: FieldMemory.Kind, _ name: Span<UInt8>, _ value: Span<UInt8>) {
        guard isRemembering, !memory.append(kind, name, value) else { return }
        // The field is one that the memory has no room for.
        isRemembering = false
        memory.keep(kind == .field ? HTTPFields(fields.dropLast()) : fields, kind == .host ? nil : host)
    }

    private mutating func stopRemembering() {
        if isRemembering { memory.keep(fields, host) }
        isRemembering = false
    }
}

/// The fields that a request began with, for the next one: most requests of a thread have the same
/// first fields, and to compare their bytes costs a tenth of what it takes to make strings of them and
/// to have them checked.
///
/// Credentials are not kept, nor what is behind them.
package struct FieldMemory: Sendable {
    /// How many bytes it takes in at most, for all fields.
    package let limit: Int

    /// For each field its kind, the length of its name and of its value, and both.
    private var bytes: [UInt8] = []
    fileprivate private(set) var fields = HTTPFields()
    fileprivate private(set) var host: String?

    /// What was made of a field.
    fileprivate enum Kind: UInt8 { case field, host, dropped }

    /// How much of the memory a request has had so far.
    fileprivate struct Match {
        var position = 0
        var fieldCount = 0
        var hasHost = false
    }

    package init(limit: Int) { self.limit = limit }

    fileprivate var isEmpty: Bool { bytes.isEmpty }

    fileprivate var size: Int { bytes.count }

    /// Whether this is the field behind those that matched.
    fileprivate func hasNext(_ name: Span<UInt8>, _ value: Span<UInt8>, _ match: inout Match?) -> Bool {
        guard let position = match?.position, bytes.count - position >= 4 + name.count + value.count,
            bytes[position + 1] == UInt8(truncatingIfNeeded: name.count),
            bytes[position + 2] == UInt8(truncatingIfNeeded: value.count),
            bytes[position + 3] == UInt8(truncatingIfNeeded: value.count >> 8)
        else { return false }
        let nameEnd = position + 4 + name.count
        let end = nameEnd + value.count
        guard bytes.span.extracting(position + 4..<nameEnd).isEqual(to: name),
            bytes.span.extracting(nameEnd..<end).isEqual(to: value)
        else { return false }
        match?.position = end
        switch bytes[position] {
        case Kind.field.rawValue: match?.fieldCount += 1
        case Kind.host.rawValue: match?.hasHost = true
        default: break
        }
        return true
    }

    /// Forgets what is behind those that matched.
    fileprivate mutating func cut(to match: Match) {
        if match.position == bytes.count { return }
        bytes.removeSubrange(match.position...)
        fields = HTTPFields(fields.prefix(match.fieldCount))
        if !match.hasHost { host = nil }
    }

    /// - Returns: `false` if there is no room.
    fileprivate mutating func append(_ kind: Kind, _ name: Span<UInt8>, _ value: Span<UInt8>) -> Bool {
        guard name.count <= UInt8.max, value.count <= UInt16.max,
            bytes.count + 4 + name.count + value.count <= limit
        else { return false }
        bytes.append(kind.rawValue)
        bytes.append(UInt8(truncatingIfNeeded: name.count))
        bytes.append(UInt8(truncatingIfNeeded: value.count))
        bytes.append(UInt8(truncatingIfNeeded: value.count >> 8))
        for index in name.indices { bytes.append(name[index]) }
        for index in value.indices { bytes.append(value[index]) }
        return true
    }

    /// Keeps what was made of the bytes.
    fileprivate mutating func keep(_ fields: HTTPFields, _ host: String?) {
        self.fields = fields
        self.host = host
    }
}

extension HTTPField.Name {
    /// Whether the value is nobody else's business.
    fileprivate var isSecret: Bool {
        switch canonicalName.utf8.count {
        case 6: self == .cookie
        case 13: self == .authorization
        case 19: self == .proxyAuthorization
        default: false
        }
    }
}

extension Span where Element == UInt8 {
    fileprivate var isASCII: Bool {
        var all: UInt8 = 0
        for index in indices { all |= self[index] }
        return all < 0x80
    }
}
