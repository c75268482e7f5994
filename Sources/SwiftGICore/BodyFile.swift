import Glibc

/// An open file, or a part of it, as the content of a ``Body``. Closes it, if it is to be closed,
/// when nobody refers to it any more.
package final class BodyFile {
    /// What is to be sent of a file.
    package enum Extent: Equatable {
        /// A part of a regular file.
        case range(offset: Int64, length: Int64)
        /// A stream that is read to its end, or to `limit` bytes.
        case stream(limit: Int64?)
    }

    /// How much is read at a time.
    package static let pieceSize: Int64 = 65536

    package let descriptor: Int32
    private let offset: Int64?
    private let length: Int64?
    private var closing: Bool

    package init(descriptor: Int32, offset: Int64?, length: Int64?, closing: Bool) {
        self.descriptor = descriptor
        self.offset = offset
        self.length = length
        self.closing = closing
    }

    package convenience init(path: String) throws(GatewayError) {
        // C would open what comes before a zero byte.
        guard !path.utf8.contains(0) else { throw GatewayError(.output, "the file's path has a zero byte") }
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.error("open", path) }
        self.init(descriptor: descriptor, offset: 0, length: nil, closing: true)
    }

    deinit {
        if closing { close(descriptor) }
    }

    /// Hands the duty to close the descriptor to the caller. `false`: nobody has it.
    package func releaseDescriptor() -> Bool {
        defer { closing = false }
        return closing
    }

    package func extent() throws(GatewayError) -> Extent {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw Self.error("fstat") }
        if let offset, offset < 0 { throw GatewayError(.output, "the file's offset is negative") }
        if let length, length < 0 { throw GatewayError(.output, "the file's length is negative") }
        guard status.st_mode & S_IFMT == S_IFREG else { return .stream(limit: length) }
        var start = offset ?? 0
        if offset == nil {
            start = Int64(lseek(descriptor, 0, SEEK_CUR))
            guard start >= 0 else { throw Self.error("lseek") }
        }
        let available = max(0, Int64(status.st_size) - start)
        return .range(offset: start, length: min(length ?? available, available))
    }

    /// Reads the next bytes of a stream, at most `count`; none at its end.
    package func read(_ count: Int) throws(GatewayError) -> [UInt8] {
        try unsafe Self.filling(count) { [descriptor] in unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
    }

    /// Reads bytes at a position of a regular file; none behind its end.
    package func read(_ count: Int, at offset: Int64) throws(GatewayError) -> [UInt8] {
        try unsafe Self.filling(count) { [descriptor] in
            unsafe pread(descriptor, $0.baseAddress, $0.count, off_t(offset))
        }
    }

    /// A function that reads the file piece by piece, for whoever wants its bytes.
    package func makeReader() -> () throws -> [UInt8]? {
        var extent: Extent?
        return {
            let now = try extent ?? self.extent()
            switch now {
            case .range(let offset, let length):
                let bytes = try self.read(Int(min(length, Self.pieceSize)), at: offset)
                extent = .range(offset: offset + Int64(bytes.count), length: length - Int64(bytes.count))
                return bytes.isEmpty ? nil : bytes
            case .stream(let limit):
                let bytes = try self.read(Int(min(limit ?? Self.pieceSize, Self.pieceSize)))
                extent = .stream(limit: limit.map { $0 - Int64(bytes.count) })
                return bytes.isEmpty ? nil : bytes
            }
        }
    }

    private static func filling(
        _ count: Int, _ read: (UnsafeMutableRawBufferPointer) -> Int
    ) throws(GatewayError) -> [UInt8] {
        var result = 0
        // The buffer has `count` bytes, and `read` tells how many of them it has written.
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            repeat { result = unsafe read(UnsafeMutableRawBufferPointer(buffer)) } while result < 0 && errno == EINTR
            initialized = max(0, result)
        }
        guard result >= 0 else { throw Self.error("read") }
        return bytes
    }

    private static func error(_ call: String, _ path: String = "") -> GatewayError {
        let reason = unsafe String(cString: strerror(errno))
        return GatewayError(.output, path.isEmpty ? "\(call): \(reason)" : "\(call) \(path): \(reason)")
    }
}

@available(*, unavailable)
extension BodyFile: Sendable {}
