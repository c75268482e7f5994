import Glibc

package struct ClientError: Error {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// A blocking connection to a Unix socket, as a web server has it.
package final class ClientSocket: @unchecked Sendable {
    // Sendable: one thread at a time uses it.

    package private(set) var descriptor: Int32
    private var buffer: [UInt8] = []
    private var descriptors: [Int32] = []
    private var start = 0

    /// Whether the connection was broken off.
    package private(set) var wasReset = false

    /// - Parameter path: A Unix socket's, or the port of a TCP socket of this machine.
    package init(path: String) throws {
        let result: Int32
        if let port = UInt16(path) {
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            result = withAddress(port: port) { connect(descriptor, $0, $1) }
        } else {
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            result = withAddress(path: path) { connect(descriptor, $0, $1) }
        }
        guard result == 0 else { throw ClientError("connect: \(errno)") }
        // A test that waits for ever says nothing.
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// - Parameter descriptor: Of a connection, which becomes this one's.
    package init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close() }

    package func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
        for descriptor in descriptors { Glibc.close(descriptor) }
        descriptors = []
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

    /// The descriptor that came first of those that were not taken, or `nil`. The caller closes it.
    package func takeDescriptor() -> Int32? { descriptors.isEmpty ? nil : descriptors.removeFirst() }

    /// Whether the system takes something within so many milliseconds.
    package func canSend(within milliseconds: Int32) -> Bool { isReady(for: POLLOUT, within: milliseconds) }

    /// Whether something has come, or comes within so many milliseconds.
    package func canReceive(within milliseconds: Int32) -> Bool { isReady(for: POLLIN, within: milliseconds) }

    private func isReady(for event: Int32, within milliseconds: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(event), revents: 0)
        return poll(&entry, 1, milliseconds) == 1
    }

    /// Sends what the system takes at once.
    ///
    /// - Returns: How many bytes.
    package func sendNow(_ bytes: [UInt8]) -> Int {
        max(0, Glibc.send(descriptor, bytes, bytes.count, Int32(truncatingIfNeeded: MSG_NOSIGNAL | MSG_DONTWAIT)))
    }

    package func endSending() { shutdown(descriptor, Int32(truncatingIfNeeded: SHUT_WR)) }

    /// The next bytes; none at the end. A reset is an end, too.
    package func receive(upTo count: Int = 65536) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        while true {
            let received = receiveMessage(&bytes)
            if received >= 0 { return Array(bytes[..<received]) }
            if errno == EINTR { continue }
            if errno == ECONNRESET || errno == EPIPE {
                wasReset = true
                return []
            }
            throw ClientError("recv: \(errno)")
        }
    }

    /// As `recv`, and keeps a descriptor that comes along.
    private func receiveMessage(_ bytes: inout [UInt8]) -> Int {
        // A header of 16 bytes, and the descriptor behind it.
        var control = [UInt64](repeating: 0, count: 8)
        let count = bytes.withUnsafeMutableBytes { buffer in
            control.withUnsafeMutableBytes { control in
                var piece = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
                return withUnsafeMutablePointer(to: &piece) { piece in
                    var message = msghdr()
                    message.msg_iov = piece
                    message.msg_iovlen = 1
                    message.msg_control = control.baseAddress
                    message.msg_controllen = control.count
                    let received = recvmsg(descriptor, &message, Int32(truncatingIfNeeded: MSG_CMSG_CLOEXEC))
                    if received >= 0, message.msg_controllen >= 20 {
                        descriptors.append(control.load(fromByteOffset: 16, as: Int32.self))
                    }
                    return received
                }
            }
        }
        return count
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

private func withAddress<Value>(
    path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Value
) rethrows -> Value {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return try withUnsafePointer(to: &address) { pointer in
        try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            try body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
}

private func withAddress<Value>(
    port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Value
) rethrows -> Value {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return try withUnsafePointer(to: &address) { pointer in
        try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            try body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
}

/// A listening socket of its own, for Unix or TCP.
package final class ListeningSocket: Sendable {
    package let descriptor: Int32
    /// What a ``ClientSocket`` connects to.
    package let path: String

    package init(isTCP: Bool = false) throws {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(isTCP ? AF_INET : AF_UNIX, kind, 0)
        self.descriptor = descriptor
        var isBound: Bool
        if isTCP {
            isBound = withAddress(port: 0) { bind(descriptor, $0, $1) } == 0
            var address = sockaddr_in()
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    isBound = isBound && getsockname(descriptor, $0, &size) == 0
                }
            }
            path = "\(UInt16(bigEndian: address.sin_port))"
        } else {
            path = "/tmp/swiftgi-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
            isBound = withAddress(path: path) { bind(descriptor, $0, $1) } == 0
        }
        guard isBound, listen(descriptor, 512) == 0 else { throw ClientError("listen: \(errno)") }
    }

    deinit {
        close(descriptor)
        if path.hasPrefix("/") { unlink(path) }
    }
}
