import Foundation
import SwiftGICore
import Testing

struct BodyFileTests {
    @Test("Without offset and length it is the rest of the file")
    func rest() throws {
        let descriptor = try makeFile("0123456789")
        lseek(descriptor, 4, SEEK_SET)
        let file = BodyFile(descriptor: descriptor, offset: nil, length: nil, closing: true)
        #expect(try file.extent() == .range(offset: 4, length: 6))
    }

    @Test(
        "Offset and length are bounded by the file",
        arguments: [
            (0, nil, 0, 10), (3, nil, 3, 7), (3, 4, 3, 4), (3, 100, 3, 7), (10, nil, 10, 0), (11, 1, 11, 0),
            (0, 0, 0, 0),
            (.max, .max, .max, 0), (1, .max, 1, 9),
        ] as [(Int64, Int64?, Int64, Int64)])
    func range(_ offset: Int64, _ length: Int64?, _ start: Int64, _ count: Int64) throws {
        let file = BodyFile(descriptor: try makeFile("0123456789"), offset: offset, length: length, closing: true)
        #expect(try file.extent() == .range(offset: start, length: count))
    }

    @Test("Negative numbers are refused", arguments: [(-1, nil), (.min, nil), (0, -1), (0, .min)] as [(Int64, Int64?)])
    func negative(_ offset: Int64, _ length: Int64?) throws {
        let file = BodyFile(descriptor: try makeFile("x"), offset: offset, length: length, closing: true)
        #expect(GatewayError.code { _ = try file.extent() } == .output)
    }

    @Test("A position behind the end leaves nothing")
    func behind() throws {
        let descriptor = try makeFile("0123")
        lseek(descriptor, 100, SEEK_SET)
        let file = BodyFile(descriptor: descriptor, offset: nil, length: nil, closing: true)
        #expect(try file.extent() == .range(offset: 100, length: 0))
    }

    @Test("A pipe is a stream, read to its end")
    func pipe() throws {
        let (reading, writing) = try makePipe()
        write(writing, "0123", 4)
        close(writing)
        let file = BodyFile(descriptor: reading, offset: nil, length: 7, closing: true)
        #expect(try file.extent() == .stream(limit: 7))
        #expect(text(try file.read(3)) == "012")
        #expect(text(try file.read(3)) == "3")
        #expect(try file.read(3) == [])
    }

    @Test(
        "Bytes are read at a position, and none behind the end",
        arguments: [
            (0, "012"), (8, "89"), (10, ""), (1 << 40, ""),
        ] as [(Int64, String)])
    func readAt(_ offset: Int64, _ expected: String) throws {
        let file = BodyFile(descriptor: try makeFile("0123456789"), offset: 0, length: nil, closing: true)
        #expect(text(try file.read(3, at: offset)) == expected)
    }

    @Test("The descriptor is closed with the last reference, if it is to be", arguments: [true, false])
    func closing(_ closing: Bool) throws {
        let (reading, writing) = try makePipe()
        defer { close(writing) }
        do {
            let file = BodyFile(descriptor: reading, offset: nil, length: nil, closing: closing)
            #expect(isOpenForReading(writing))
            withExtendedLifetime(file) {}
        }
        #expect(isOpenForReading(writing) == !closing)
        if !closing { close(reading) }
    }

    @Test("The duty to close can be taken over, once")
    func release() throws {
        let (reading, writing) = try makePipe()
        defer { close(writing) }
        do {
            let file = BodyFile(descriptor: reading, offset: nil, length: nil, closing: true)
            #expect(file.releaseDescriptor())
            #expect(!file.releaseDescriptor())
        }
        #expect(isOpenForReading(writing))
        close(reading)
        #expect(!isOpenForReading(writing))
    }

    @Test("Nobody has the duty to close a descriptor that stays open")
    func nothingToRelease() throws {
        let descriptor = try makeFile("x")
        let file = BodyFile(descriptor: descriptor, offset: 0, length: nil, closing: false)
        #expect(!file.releaseDescriptor())
        close(descriptor)
    }

    @Test("A path that can't be opened is an error that names it", arguments: ["/no/such/file", ""])
    func path(_ path: String) {
        #expect { _ = try BodyFile(path: path) } throws: { error in
            let error = error as? GatewayError
            return error?.code == .output
                && error?.detail == "open\(path.isEmpty ? "" : " \(path)"): No such file or directory"
        }
    }

    @Test("A path with a zero byte opens nothing")
    func zero() {
        #expect(GatewayError.code { _ = try BodyFile(path: "/dev/null\u{0}.txt") } == .output)
    }

    @Test("What can't be read is an error")
    func unreadable() throws {
        let directory = try BodyFile(path: "/")
        #expect(try directory.extent() == .stream(limit: nil))
        #expect(GatewayError.code { _ = try directory.read(1) } == .output)
        let nothing = BodyFile(descriptor: -1, offset: 0, length: nil, closing: false)
        #expect(GatewayError.code { _ = try nothing.extent() } == .output)
        #expect(GatewayError.code { _ = try nothing.read(1, at: 0) } == .output)
    }
}

/// A file without a name, at its beginning.
func makeFile(_ content: String) throws -> Int32 {
    var template = Array("/tmp/swiftgi-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    try #require(descriptor >= 0)
    unlink(template)
    try #require(write(descriptor, content, content.utf8.count) == content.utf8.count)
    lseek(descriptor, 0, SEEK_SET)
    return descriptor
}

func makePipe() throws -> (reading: Int32, writing: Int32) {
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    // Not to be inherited: a process that another test starts would keep it open.
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
}

/// Whether the other end of a pipe is open.
///
/// Numbers of descriptors tell nothing: other tests get them again.
func isOpenForReading(_ writing: Int32) -> Bool {
    var poll = pollfd(fd: writing, events: Int16(POLLOUT), revents: 0)
    _ = Foundation.poll(&poll, 1, 0)
    return poll.revents & Int16(POLLERR) == 0
}
