import CSwiftGISystem
import Glibc
public import SwiftGICore
import Synchronization

/// A file of a form, in memory or, if it is long, on disk: there without a name, so that it is gone with
/// the last value that refers to it, whatever becomes of the process.
public struct FormFile: Sendable {
    /// The field's name.
    public let name: String

    /// The file's name at the client's, as it came: not to be used as a path.
    public let filename: String

    /// The type that the client believes it has.
    public let contentType: String?

    /// How many bytes it has.
    public let count: Int

    let storage: FileStorage

    /// Whether it is on disk.
    public var isOnDisk: Bool { storage.descriptor != nil }

    /// Its content.
    ///
    /// - Throws: ``GatewayError`` with code ``GatewayError/Code/input`` if the disk can't be read.
    public func bytes() throws -> [UInt8] {
        var all: [UInt8] = []
        all.reserveCapacity(count)
        try forEach { all += $0 }
        return all
    }

    /// Calls a closure with its content, piece by piece.
    ///
    /// - Throws: As ``bytes()``, and what `body` throws.
    public func forEach(_ body: ([UInt8]) throws -> Void) throws {
        guard let descriptor = storage.descriptor else {
            if !storage.bytes.isEmpty { try body(storage.bytes) }
            return
        }
        var offset = 0
        while offset < count {
            let piece = try FileStorage.read(descriptor, min(65536, count - offset), at: offset)
            if piece.isEmpty { throw GatewayError(.input, "a file of a form became shorter") }
            offset += piece.count
            try body(piece)
        }
    }

    /// Its content as the body of a response, sent without a copy where the server can.
    ///
    /// - Throws: As ``bytes()``.
    public func makeBody() throws -> Body {
        guard let descriptor = storage.descriptor else { return .bytes(storage.bytes) }
        let own = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        guard own >= 0 else { throw FileStorage.error("dup") }
        return .file(descriptor: own, offset: 0, length: Int64(count))
    }

    /// Writes it into a new file, and nothing into one that exists.
    ///
    /// - Throws: ``GatewayError`` with code ``GatewayError/Code/output`` if that can't be done.
    public func save(to path: String) throws {
        let target = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard target >= 0 else { throw FileStorage.error("open \(path)", .output) }
        defer { close(target) }
        try forEach { try FileStorage.write(target, $0) }
    }
}

/// Where a file's bytes are.
final class FileStorage: Sendable {
    let bytes: [UInt8]
    let descriptor: Int32?

    init(bytes: [UInt8]) {
        self.bytes = bytes
        descriptor = nil
    }

    init(descriptor: Int32) {
        bytes = []
        self.descriptor = descriptor
    }

    deinit {
        if let descriptor { close(descriptor) }
    }

    /// Opens a file without a name.
    static func open(in directory: String) throws -> Int32 {
        let descriptor = unsafe swiftgi_open_unnamed(directory)
        guard descriptor >= 0 else { throw error("a file in \(directory)", .output) }
        return descriptor
    }

    static func write(_ descriptor: Int32, _ bytes: [UInt8]) throws {
        var offset = 0
        while offset < bytes.count {
            // No more than the array has behind `offset` is read.
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress?.advanced(by: offset), $0.count - offset)
            }
            if count >= 0 {
                offset += count
            } else if errno != EINTR {
                throw error("write", .output)
            }
        }
    }

    static func read(_ descriptor: Int32, _ count: Int, at offset: Int) throws -> [UInt8] {
        var result = 0
        // `pread` tells how many of the bytes it has written.
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            repeat {
                result = unsafe pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
            } while result < 0 && errno == EINTR
            initialized = max(0, result)
        }
        guard result >= 0 else { throw error("read") }
        return bytes
    }

    static func error(_ call: String, _ code: GatewayError.Code = .input) -> GatewayError {
        GatewayError(code, unsafe "\(call): \(String(cString: strerror(errno)))")
    }
}
