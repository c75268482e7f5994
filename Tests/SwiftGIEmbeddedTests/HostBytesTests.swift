import CSwiftGI
import FakeHost
import HTTPTypes
import SwiftGICore
import SwiftGITesting
import Testing

/// What crosses the interface as a pointer and a count.
struct HostBytesTests {
    private static let host = FakeHost()

    @Test("Empty bytes come as NULL or not", arguments: [true, false])
    func empty(_ givesNull: Bool) throws {
        var memory = MemoryRequest()
        memory.variables = ["EMPTY": "", "": "empty name"]
        let request = FakeRequest(memory)
        request.givesNull = givesNull
        let table = try start(
            { environ, startResponse in
                #expect(environ["EMPTY"] == "")
                #expect(environ.withBytes("EMPTY") { $0?.count } == 0)
                #expect(environ[""] == "empty name")
                #expect(environ.snapshot()[""] == "empty name")
                try startResponse(.ok, [.eTag: ""], nil)
                return .empty
            }, Self.host)
        let status = Self.host.serve(table, request)
        #expect(request.response(status).headers[.eTag] == "")
    }

    @Test("Zero bytes are bytes")
    func zero() throws {
        var memory = MemoryRequest(path: "/a%00b")
        memory.variables["A\u{0}B"] = "x\u{0}y"
        let table = try start(
            { environ, startResponse in
                #expect(environ.pathInfo == "/a\u{0}b")
                #expect(environ["A\u{0}B"] == "x\u{0}y")
                #expect(environ["A"] == nil)
                try startResponse(.ok, [:], nil)
                return .string("\u{0}z\u{0}")
            }, Self.host)
        let request = FakeRequest(memory)
        let status = Self.host.serve(table, request)
        #expect(request.response(status).body == [0, 0x7A, 0])
    }

    @Test(
        "Long and short, ASCII and not, names and texts are the same on both sides",
        arguments: [
            "short", "a name that is longer than fifteen bytes", "ä",
            "☃️ and more that does not fit into the string itself",
        ])
    func text(_ text: String) throws {
        var memory = MemoryRequest()
        memory.variables[text] = text
        let table = try start(
            { environ, startResponse in
                #expect(environ[text] == text)
                environ.errors.write(text)
                try startResponse(.ok, [:], nil)
                return .string(text)
            }, Self.host)
        let request = FakeRequest(memory)
        let status = Self.host.serve(table, request)
        #expect(request.response(status).text == text)
        #expect(Self.host.log.contains { $0.message == text })
    }
}
