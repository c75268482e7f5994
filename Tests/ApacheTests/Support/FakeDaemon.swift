import Foundation
import Glibc
import Synchronization
import Testing

/// A FastCGI server in this process that does what a test says, right or wrong, behind the module's
/// own directives and supervisor: `Libraries/relay.c` brings it the group's socket.
final class FakeDaemon: Sendable {
    private struct State {
        var listener: Int32 = -1
        var connections: [FakeConnection] = []
        var failures: [String] = []
        var isStopped = false
    }

    private let state = Mutex(State())
    private let relay: Int32
    let relayPath: String

    /// - Parameter serve: Called with each connection, on a thread of its own; the connection is closed
    ///   when it returns. What it throws fails the test, but for the end of the connection.
    init(_ serve: @escaping @Sendable (FakeConnection) throws -> Void) throws {
        relayPath = "\(Paths.temporary)/relay-\(UUID().uuidString.prefix(8))"
        relay = try Self.listen(at: relayPath)
        Thread.detachNewThread { [self] in
            while let listener = receiveListener() {
                if state.withLock({ $0.listener >= 0 }) {
                    close(listener)
                    continue
                }
                state.withLock { $0.listener = listener }
                Thread.detachNewThread { [self] in accept(listener, serve) }
            }
        }
    }

    /// One application at `/c` in the process group `shop`.
    func configuration(
        _ options: String = "", _ lines: String = "", mpm: Configuration.MPM = .event, modules: [String] = [],
        threads: Int = 8
    ) -> Configuration {
        var configuration = Configuration.daemons(
            "env=RELAY=\(relayPath) \(options)", lines, mpm: mpm, modules: modules)
        configuration.lines.replace(Applications.daemon, with: Applications.relay)
        configuration.threads = threads
        // What a child keeps for its next requests is no leak.
        configuration.linksToDaemons = { [self] in connectionCount }
        return configuration
    }

    /// How many connections there were.
    var connectionCount: Int { state.withLock { $0.connections.count } }

    var hasOpenConnections: Bool { state.withLock { $0.connections.contains(where: \.isOpen) } }

    /// What went wrong on the connections' threads.
    var failures: [String] { state.withLock { $0.failures } }

    /// Ends all connections, and takes no more.
    func stop() {
        let (connections, listener) = state.withLock { state in
            state.isStopped = true
            defer { state.listener = -1 }
            return (state.connections, state.listener)
        }
        for connection in connections { connection.shutdown() }
        if listener >= 0 { close(listener) }
        Glibc.shutdown(relay, Int32(SHUT_RDWR))
        close(relay)
    }

    private static func listen(at path: String) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
        guard bound, Glibc.listen(descriptor, 8) == 0 else {
            throw Command.Failure(description: "\(path): \(String(cString: strerror(errno)))")
        }
        chmod(path, 0o777)
        return descriptor
    }

    private func receiveListener() -> Int32? {
        let connection = Glibc.accept(relay, nil, nil)
        guard connection >= 0 else { return nil }
        defer { close(connection) }
        let listener = Descriptors.receive(from: connection)
        // The relay is ready.
        _ = Glibc.send(connection, "x", 1, Int32(MSG_NOSIGNAL))
        return listener
    }

    private func accept(_ listener: Int32, _ serve: @escaping @Sendable (FakeConnection) throws -> Void) {
        while !state.withLock({ $0.isStopped }) {
            // The socket does not wait, as the supervisor has made it.
            var item = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            guard poll(&item, 1, 100) > 0 else { continue }
            let descriptor = Glibc.accept(listener, nil, nil)
            guard descriptor >= 0 else { continue }
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            let connection = state.withLock { state in
                let connection = FakeConnection(descriptor, number: state.connections.count + 1)
                state.connections.append(connection)
                return connection
            }
            Thread.detachNewThread { [self] in
                do {
                    try serve(connection)
                } catch FakeConnection.Failure.ended {
                    // As it should, sooner or later.
                } catch {
                    state.withLock { $0.failures.append("connection \(connection.number): \(error)") }
                }
                connection.close()
            }
        }
    }
}

/// What the module has sent for a request, up to the end of its variables.
struct FakeRequest {
    let id: UInt16
    let role: UInt16
    let flags: UInt8
    let variables: [String: String]

    var path: String { variables["PATH_INFO"] ?? "" }
}

/// A connection of the module's, from the other side.
final class FakeConnection: Sendable {
    enum Failure: Error {
        case ended
        case malformed(String)
    }

    enum RecordType: UInt8 {
        case begin = 1
        case abort, end, params, stdin, stdout, stderr
        case unknownType = 11
        case file = 64
        case trailers, inputFailed, inputWanted, stopping, cancelled
    }

    struct Record: CustomStringConvertible {
        let type: RecordType?
        let id: UInt16
        let content: [UInt8]

        var description: String { "\(type.map { "\($0)" } ?? "?") of \(content.count) bytes for \(id)" }
    }

    let number: Int
    private let descriptor: Mutex<Int32>

    fileprivate init(_ descriptor: Int32, number: Int) {
        self.descriptor = Mutex(descriptor)
        self.number = number
        var limit = timeval(tv_sec: Int(patience), tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    private var fd: Int32 { descriptor.withLock { $0 } }
    var isOpen: Bool { fd >= 0 }

    func close() {
        descriptor.withLock { descriptor in
            if descriptor >= 0 { Glibc.close(descriptor) }
            descriptor = -1
        }
    }

    fileprivate func shutdown() { descriptor.withLock { if $0 >= 0 { Glibc.shutdown($0, Int32(SHUT_RDWR)) } } }

    /// Whether the module has closed it; whatever it has sent stays unread.
    var isAtEnd: Bool {
        var item = pollfd(fd: fd, events: pollRemoteHangUp, revents: 0)
        return poll(&item, 1, 0) > 0
    }

    // MARK: From the module

    func bytes(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var received = 0
        while received < count {
            let more = bytes.withUnsafeMutableBytes { read(fd, $0.baseAddress! + received, count - received) }
            if more > 0 {
                received += more
            } else if more == 0 || errno == ECONNRESET || errno == EBADF {
                throw Failure.ended
            } else if errno == EAGAIN {
                throw Failure.malformed("nothing came after \(received) of \(count) bytes")
            } else if errno != EINTR {
                throw Failure.malformed(String(cString: strerror(errno)))
            }
        }
        return bytes
    }

    /// Waits until something has come, without reading it.
    func waitUntilReadable() {
        var item = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        poll(&item, 1, Int32(patience * 1000))
    }

    func record() throws -> Record {
        let header = try bytes(8)
        guard header[0] == 1 else { throw Failure.malformed("a record of version \(header[0])") }
        let content = try bytes(Int(header[4]) << 8 | Int(header[5]))
        _ = try bytes(Int(header[6]))
        return Record(
            type: RecordType(rawValue: header[1]), id: UInt16(header[2]) << 8 | UInt16(header[3]), content: content)
    }

    func record(_ type: RecordType) throws -> Record {
        let record = try record()
        guard record.type == type else { throw Failure.malformed("\(type) was expected, not \(record)") }
        return record
    }

    /// The next request; throws `ended` if there is none.
    func request() throws -> FakeRequest {
        let begin = try record()
        // The module gives up what is wrong.
        if begin.type == .abort { throw Failure.ended }
        guard begin.type == .begin else { throw Failure.malformed("a request was expected, not \(begin)") }
        var params: [UInt8] = []
        while true {
            let part = try record(.params)
            guard part.id == begin.id else { throw Failure.malformed("variables for another request") }
            if part.content.isEmpty { break }
            params += part.content
        }
        return FakeRequest(
            id: begin.id, role: UInt16(begin.content[0]) << 8 | UInt16(begin.content[1]), flags: begin.content[2],
            variables: try Self.variables(params))
    }

    private static func variables(_ params: [UInt8]) throws -> [String: String] {
        var variables: [String: String] = [:]
        var position = 0
        func length() throws -> Int {
            guard position < params.count else { throw Failure.malformed("variables that are cut") }
            if params[position] < 128 {
                position += 1
                return Int(params[position - 1])
            }
            guard position + 4 <= params.count else { throw Failure.malformed("variables that are cut") }
            position += 4
            return params[(position - 4)..<position].reduce(0) { $0 << 8 | Int($1) } & 0x7FFF_FFFF
        }
        while position < params.count {
            let name = try length()
            let value = try length()
            guard position + name + value <= params.count else { throw Failure.malformed("variables that are cut") }
            let text = params[position..<(position + name + value)]
            position += name + value
            let key = String(decoding: text.prefix(name), as: UTF8.self)
            guard variables[key] == nil else { throw Failure.malformed("\(key) twice") }
            variables[key] = String(decoding: text.dropFirst(name), as: UTF8.self)
        }
        return variables
    }

    /// The rest of the body.
    @discardableResult
    func body() throws -> [UInt8] {
        var body: [UInt8] = []
        while true {
            let part = try record(.stdin)
            if part.content.isEmpty { return body }
            body += part.content
        }
    }

    // MARK: To the module

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let more = bytes.withUnsafeBytes {
                Glibc.send(fd, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if more > 0 { sent += more } else if errno != EINTR { throw Failure.ended }
        }
    }

    static func record(_ type: UInt8, _ id: UInt16, _ content: [UInt8], padding: Int = 0) -> [UInt8] {
        [
            1, type, UInt8(id >> 8), UInt8(id & 255), UInt8(content.count >> 8), UInt8(content.count & 255),
            UInt8(padding), 0,
        ] + content + [UInt8](repeating: 0xAA, count: padding)
    }

    static func out(_ id: UInt16, _ text: String, padding: Int = 0) -> [UInt8] {
        record(RecordType.stdout.rawValue, id, Array(text.utf8), padding: padding)
    }

    static func end(_ id: UInt16, status: UInt32 = 0, protocol protocolStatus: UInt8 = 0, padding: Int = 0) -> [UInt8] {
        let content = [
            UInt8(status >> 24), UInt8(status >> 16 & 255), UInt8(status >> 8 & 255), UInt8(status & 255),
            protocolStatus, 0, 0, 0,
        ]
        return record(RecordType.end.rawValue, id, content, padding: padding)
    }

    /// A whole response at once.
    func answer(_ request: FakeRequest, _ text: String, _ fields: String = "Content-Type: text/plain\r\n") throws {
        try send(
            Self.out(request.id, "Status: 200 OK\r\n\(fields)\r\n\(text)") + Self.out(request.id, "")
                + Self.end(request.id))
    }

    /// A record with a descriptor.
    func send(_ bytes: [UInt8], descriptor other: Int32) throws {
        guard Descriptors.send(other, with: bytes, to: fd) else { throw Failure.ended }
    }
}

/// Descriptors that cross a Unix socket. The macros for this are not for Swift.
private enum Descriptors {
    private static let headerSize = 16
    private static let space = 24

    static func send(_ descriptor: Int32, with bytes: [UInt8], to socket: Int32) -> Bool {
        transfer(bytes) { message, control in
            control.storeBytes(of: headerSize + 4, as: Int.self)
            control.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
            control.storeBytes(of: Int32(SCM_RIGHTS), toByteOffset: 12, as: Int32.self)
            control.storeBytes(of: descriptor, toByteOffset: headerSize, as: Int32.self)
            return sendmsg(socket, &message, Int32(MSG_NOSIGNAL)) == bytes.count
        }
    }

    static func receive(from socket: Int32) -> Int32? {
        transfer([0]) { message, control in
            guard recvmsg(socket, &message, Int32(MSG_CMSG_CLOEXEC)) == 1,
                message.msg_controllen >= headerSize + 4
            else { return nil }
            return control.load(fromByteOffset: headerSize, as: Int32.self)
        }
    }

    private static func transfer<Result>(
        _ bytes: [UInt8], _ call: (inout msghdr, UnsafeMutableRawPointer) -> Result
    ) -> Result {
        let control = UnsafeMutableRawPointer.allocate(byteCount: space, alignment: 8)
        defer { control.deallocate() }
        memset(control, 0, space)
        var bytes = bytes
        return bytes.withUnsafeMutableBytes { bytes in
            var piece = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
            return withUnsafeMutablePointer(to: &piece) { piece in
                var message = msghdr()
                message.msg_iov = piece
                message.msg_iovlen = 1
                message.msg_control = control
                message.msg_controllen = space
                return call(&message, control)
            }
        }
    }
}

/// Runs a test with a fake daemon behind a server; as `withServer`.
func withFakeDaemon(
    _ options: String = "", _ lines: String = "", mpm: Configuration.MPM = .event, modules: [String] = [],
    threads: Int = 8, expecting: [String] = [], sourceLocation: SourceLocation = #_sourceLocation,
    serve: @escaping @Sendable (FakeConnection) throws -> Void,
    _ test: (Server, FakeDaemon) async throws -> Void
) async throws {
    let daemon = try FakeDaemon(serve)
    defer { daemon.stop() }
    let configuration = daemon.configuration(options, lines, mpm: mpm, modules: modules, threads: threads)
    try await withServer(configuration, expecting: expecting, sourceLocation: sourceLocation) { server in
        try await test(server, daemon)
    }
    #expect(daemon.failures == [], sourceLocation: sourceLocation)
}

/// POLLRDHUP, which Swift's Glibc module does not show.
private let pollRemoteHangUp: Int16 = 0x2000
