/// Memory that a supervisor shares with this process: when the process dies, it tells which requests were
/// served.
@safe package struct RequestBoard: @unchecked Sendable {
    // Sendable and safe: the memory is there as long as the process, and each thread writes to a place of its own.

    private let memory: UnsafeMutableRawPointer
    private let places: Int
    private let size: Int

    /// - Parameters:
    ///   - memory: Zeros, for as long as the process lives.
    ///   - places: How many names it has room for.
    ///   - size: The bytes of each.
    @unsafe package init(memory: UnsafeMutableRawPointer, places: Int, size: Int) {
        unsafe self.memory = memory
        self.places = places
        self.size = size
    }

    /// A thread's place, if there is one for each of so many.
    func place(_ number: Int) -> Place? {
        guard number < places else { return nil }
        return unsafe Place(bytes: UnsafeMutableRawBufferPointer(start: memory + number * size, count: size))
    }

    /// Where a thread writes the name of the request that it serves.
    @safe struct Place {
        fileprivate let bytes: UnsafeMutableRawBufferPointer

        func write(_ name: Span<UInt8>) {
            let count = unsafe min(name.count, bytes.count - 1)
            unsafe name.extracting(first: count).withUnsafeBytes { unsafe bytes.copyMemory(from: $0) }
            unsafe bytes[count] = 0
        }

        func clear() { unsafe bytes[0] = 0 }
    }
}
