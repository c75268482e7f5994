import SwiftGICore
import Testing

struct EnvironTests {
    @Test("A variable is text, repaired where it is not UTF-8")
    func text() {
        let (exchange, transport) = makeExchange()
        transport.variables["BROKEN"] = [0x61, 0xE9, 0x62]
        transport.variables["EMPTY"] = []
        let environ = Environ(exchange)
        #expect(environ["REQUEST_METHOD"] == "GET")
        #expect(environ["BROKEN"] == "a\u{FFFD}b")
        #expect(environ["EMPTY"] == "")
        #expect(environ["ABSENT"] == nil)
        #expect(environ[""] == nil)
    }

    @Test("Changes shadow the server's variables")
    func changes() {
        let (exchange, transport) = makeExchange()
        var environ = Environ(exchange)
        environ["REQUEST_METHOD"] = "POST"
        environ["NEW"] = "new"
        #expect(environ["REQUEST_METHOD"] == "POST")
        #expect(environ["NEW"] == "new")
        environ["REQUEST_METHOD"] = nil
        environ["NEW"] = nil
        #expect(environ["REQUEST_METHOD"] == nil)
        #expect(environ["NEW"] == nil)
        #expect(transport.variables["REQUEST_METHOD"] == Array("GET".utf8))
        let another = Environ(exchange)
        #expect(another["REQUEST_METHOD"] == "GET")
    }

    @Test("Bytes are exact, and follow changes")
    func bytes() {
        let (exchange, transport) = makeExchange()
        transport.variables["BROKEN"] = [0x61, 0xE9]
        var environ = Environ(exchange)
        func bytes(_ key: String, _ environ: borrowing Environ) -> [UInt8]? {
            environ.withBytes(key) { bytes in
                guard let bytes else { return nil }
                return [UInt8](copying: bytes)
            }
        }
        #expect(bytes("BROKEN", environ) == [0x61, 0xE9])
        #expect(bytes("ABSENT", environ) == nil)
        #expect(bytes("swiftgi.version", environ) == Array("1.0".utf8))
        #expect(bytes("swiftgi.unknown", environ) == nil)
        environ["BROKEN"] = "ä"
        #expect(bytes("BROKEN", environ) == [0xC3, 0xA4])
        environ["BROKEN"] = nil
        #expect(bytes("BROKEN", environ) == nil)
        #expect(bytes("REQUEST_METHOD", environ) == Array("GET".utf8))
    }

    @Test("What the closure for bytes throws is thrown", arguments: ["REQUEST_METHOD", "ABSENT", "CHANGED"])
    func bytesThrow(_ key: String) {
        let (exchange, _) = makeExchange()
        var environ = Environ(exchange)
        environ["CHANGED"] = "x"
        var calls = 0
        var thrown = false
        do {
            try environ.withBytes(key) { _ in
                calls += 1
                throw ApplicationError()
            }
        } catch {
            thrown = error is ApplicationError
        }
        #expect(thrown)
        #expect(calls == 1)
    }

    @Test("A snapshot has variables, entries and changes")
    func snapshot() {
        let (exchange, transport) = makeExchange()
        transport.variables["QUERY_STRING"] = Array("q".utf8)
        transport.variables["swiftgi.request_id"] = Array("id".utf8)
        var environ = Environ(exchange)
        environ["QUERY_STRING"] = nil
        environ["ADDED"] = "added"
        environ[.urlScheme] = "https"
        environ[.runOnce] = nil
        environ[Environ.Key<Int>("test.number")] = 1
        #expect(
            environ.snapshot() == [
                "REQUEST_METHOD": "GET", "ADDED": "added", "swiftgi.version": "1.0",
                "swiftgi.url_scheme": "https", "swiftgi.multithread": "true", "swiftgi.multiprocess": "false",
                "swiftgi.server": "test", "swiftgi.request_id": "id",
            ])
    }

    @Test("Actions for the end run in reverse")
    func onFinish() {
        let (exchange, _) = makeExchange()
        nonisolated(unsafe) var order: [Int] = []
        let outcome = exchange.serve { environ, startResponse in
            for number in 1...3 { environ.onFinish { order.append(number) } }
            throw ApplicationError()
        }
        #expect(outcome == .failed)
        #expect(order == [3, 2, 1])
    }
}
