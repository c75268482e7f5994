import Glibc

package struct ClientError: Error {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// A blocking connection to a Unix socket, as a web server has it.
package final class ClientSocket {
    package private(set) var descriptor: Int32
    private var buffer: [UInt8] = []
    private var start = 0

    package init(path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw ClientError("connect: \(errno)") }
        // A test that waits for ever says nothing.
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close() }

    package func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }

    package func send(_ bytes: [UInt8]) throws {
        var offset = 0
        while offset < bytes.count {
            let count = bytes[offset...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(truncatingIfNeeded: MSG_NOSIGNAL))
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw ClientError("send: \(errno)") }
            offset += count
        }
    }

    package func endSending() { shutdown(descriptor, Int32(truncatingIfNeeded: SHUT_WR)) }

    /// The next bytes; none at the end. A reset is an end, too.
    package func receive(upTo count: Int = 65536) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        while true {
            let received = recv(descriptor, &bytes, count, 0)
            if received >= 0 { return Array(bytes[..<received]) }
            if errno == EINTR { continue }
            if errno == ECONNRESET || errno == EPIPE { return [] }
            throw ClientError("recv: \(errno)")
        }
    }

    /// Exactly so many bytes, or `nil` at the end.
    package func receive(exactly count: Int) throws -> [UInt8]? {
        while buffer.count - start < count {
            let more = try receive()
            if more.isEmpty { return nil }
            buffer.removeFirst(start)
            start = 0
            buffer += more
        }
        defer { start += count }
        return Array(buffer[start..<start + count])
    }
}

/// A listening Unix socket at a path of its own.
package final class ListeningSocket: Sendable {
    package let descriptor: Int32
    package let path: String

    package init() throws {
        path = "/tmp/swiftgi-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0, listen(descriptor, 512) == 0 else { throw ClientError("listen: \(errno)") }
    }

    deinit {
        close(descriptor)
        unlink(path)
    }
}
