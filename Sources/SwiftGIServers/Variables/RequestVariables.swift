import Glibc

/// The variables of a request, as the web server sent them and after
/// ``normalize(_:)`` as SwiftGI has them.
///
/// Names and values stay in the bytes that came; only what is changed is added to them.
package struct RequestVariables {
    package private(set) var bytes: [UInt8] = []
    /// In the order in which they came. A place without a name is none.
    private(set) var places: [VariablePlace] = []

    /// The most variables that a request may have.
    package static let limit = 4096

    /// More than most requests have.
    private static let usual = 64

    package init() {}

    /// The variables of a CGI program's environment, or of a test.
    package init(_ pairs: [(name: [UInt8], value: [UInt8])]) {
        for (name, value) in pairs where !name.isEmpty { add(name.span, value.span) }
    }

    /// Whether none have come.
    package var isEmpty: Bool { bytes.isEmpty }

    /// Forgets everything but the memory.
    package mutating func removeAll() {
        bytes.removeAll(keepingCapacity: bytes.capacity <= 16384)
        places.removeAll(keepingCapacity: places.capacity <= 256)
    }

    /// Appends bytes as they come.
    package mutating func append(_ more: Span<UInt8>) {
        // Room for what normalize() adds, too: mostly all bytes come at once.
        if bytes.isEmpty { bytes.reserveCapacity(more.count + 512) }
        bytes.append(copying: more)
    }

    /// Finds the variables in the name-value pairs that were appended.
    package mutating func locatePairs() throws(WireError) {
        places.removeAll(keepingCapacity: true)
        var located: [VariablePlace] = []
        swap(&located, &places)
        defer { swap(&located, &places) }
        try NameValuePairs.locate(bytes.span, limit: Self.limit, into: &located)
        located.removeAll { $0.nameCount == 0 }
    }

    /// Finds the variables in the SCGI header that was appended.
    package mutating func locateHeader() throws(WireError) {
        places.removeAll(keepingCapacity: true)
        var located: [VariablePlace] = []
        swap(&located, &places)
        defer { swap(&located, &places) }
        located.reserveCapacity(Self.usual)
        try SCGIDecoder.locate(bytes.span, limit: Self.limit, into: &located)
    }

    // MARK: Look-up

    /// Where a variable's value is. Of several of one name the last counts, as web servers that permit
    /// them have it.
    package func find(_ name: Span<UInt8>) -> Range<Int>? {
        let all = bytes.span
        var index = places.count
        while index > 0 {
            index -= 1
            let place = places[index]
            if Int(place.nameCount) == name.count, all.extracting(place.name).isEqual(to: name) { return place.value }
        }
        return nil
    }

    package func find(_ name: StaticString) -> Range<Int>? { index(of: name).map { places[$0].value } }

    /// Which of the places, or of those behind one, is the last of that name.
    private func index(of name: StaticString, behind mark: Int = -1) -> Int? {
        let count = UInt32(clamping: name.utf8CodeUnitCount)
        // All places lie within the bytes, and a static string has as many bytes as it says.
        return unsafe places.withUnsafeBufferPointer { places in
            unsafe bytes.withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress else { return nil }
                var index = places.count
                while index > mark + 1 {
                    index -= 1
                    guard unsafe places[index].nameCount == count else { continue }
                    let own = unsafe start + Int(places[index].nameStart)
                    if unsafe memcmp(own, name.utf8Start, Int(count)) == 0 { return index }
                }
                return nil
            }
        }
    }

    /// Calls `body` with each variable, each name once.
    package func forEach(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        let all = bytes.span
        for (index, place) in places.enumerated() where !isHidden(index) {
            body(all.extracting(place.name), all.extracting(place.value))
        }
    }

    /// Whether there is a later one of the same name.
    func isHidden(_ index: Int) -> Bool {
        let all = bytes.span
        let name = all.extracting(places[index].name)
        var other = index + 1
        while other < places.count {
            let place = places[other]
            if Int(place.nameCount) == name.count, all.extracting(place.name).isEqual(to: name) { return true }
            other += 1
        }
        return false
    }

    /// Calls `body` with each header field, whose name is that of its variable again: `HTTP_` is gone,
    /// words have capitals and hyphens between them.
    package func forEachField(_ body: (Span<UInt8>, Span<UInt8>) -> Void) {
        var name: [UInt8] = []
        forEach { variable, value in
            name.removeAll(keepingCapacity: true)
            if variable.hasPrefix("HTTP_") {
                Self.appendFieldName(of: variable.extracting(droppingFirst: 5), to: &name)
            } else if variable.isEqual(to: "CONTENT_TYPE") || variable.isEqual(to: "CONTENT_LENGTH") {
                Self.appendFieldName(of: variable, to: &name)
            }
            if !name.isEmpty { body(name.span, value) }
        }
    }

    private static func appendFieldName(of variable: Span<UInt8>, to name: inout [UInt8]) {
        var isStart = true
        for index in variable.indices {
            let byte = variable[index]
            let isLetter = byte >= 0x41 && byte <= 0x5A
            name.append(byte == 0x5F ? 0x2D : isLetter && !isStart ? byte + 0x20 : byte)
            isStart = byte == 0x5F
        }
    }

    // MARK: mod_swiftgi's

    /// What mod_swiftgi says beside the request's variables, as places among ``bytes``.
    struct Extensions {
        var requestID: Range<Int>?
        /// The header fields that no variable stands for, a line each.
        var fields: Range<Int>?
    }

    /// Takes out what mod_swiftgi has added for the server; `nil` if the peer is somebody else.
    mutating func takeExtensions() -> Extensions? {
        // They are behind all others.
        guard let mark = index(of: "SWIFTGI_EXTENSIONS"), isEqual(places[mark].value, "1") else { return nil }
        var extensions = Extensions()
        if let fields = index(of: "SWIFTGI_FIELDS", behind: mark) { extensions.fields = places[fields].value }
        places.removeLast(places.count - mark)
        if let id = index(of: "SWIFTGI_REQUEST_ID") { extensions.requestID = places.remove(at: id).value }
        return extensions
    }

    // MARK: Changes

    /// Sets a variable, whose value is copied.
    package mutating func set(_ name: StaticString, _ value: Span<UInt8>) {
        let start = bytes.count
        bytes.append(copying: value)
        set(name, at: start..<bytes.count)
    }

    package mutating func set(_ name: StaticString, _ value: StaticString) {
        let start = bytes.count
        bytes.append(value)
        set(name, at: start..<bytes.count)
    }

    /// Sets a variable to bytes that are here already.
    mutating func set(_ name: StaticString, at range: Range<Int>) {
        // What hides others of its name still does.
        if let index = index(of: name) {
            places[index].valueStart = UInt32(clamping: range.lowerBound)
            places[index].valueCount = UInt32(clamping: range.count)
            return
        }
        let start = bytes.count
        bytes.append(name)
        places.append(
            VariablePlace(
                nameStart: UInt32(clamping: start), nameCount: UInt32(clamping: name.utf8CodeUnitCount),
                valueStart: UInt32(clamping: range.lowerBound), valueCount: UInt32(clamping: range.count)))
    }

    mutating func add(_ name: Span<UInt8>, _ value: Span<UInt8>) {
        let start = bytes.count
        bytes.append(copying: name)
        bytes.append(copying: value)
        place(start, name.count)
    }

    private mutating func place(_ start: Int, _ nameCount: Int) {
        places.append(
            VariablePlace(
                nameStart: UInt32(clamping: start), nameCount: UInt32(clamping: nameCount),
                valueStart: UInt32(clamping: start + nameCount),
                valueCount: UInt32(clamping: bytes.count - start - nameCount)))
    }

    package mutating func remove(_ name: StaticString) {
        while let index = index(of: name) { places.remove(at: index) }
    }

    /// Removes the variables of which the name, or where the value is, is unwanted.
    mutating func removePlaces(_ isUnwanted: (Span<UInt8>, Range<Int>) -> Bool) {
        var kept = 0
        for index in 0..<places.count
        where !isUnwanted(bytes.span.extracting(places[index].name), places[index].value) {
            if kept < index { places[kept] = places[index] }
            kept += 1
        }
        places.removeLast(places.count - kept)
    }

    func isEqual(_ value: Range<Int>, _ text: StaticString) -> Bool { bytes.span.extracting(value).isEqual(to: text) }

    /// The value of a variable that is there and not empty.
    func nonEmpty(_ name: StaticString) -> Range<Int>? {
        find(name).flatMap { $0.isEmpty ? nil : $0 }
    }
}
