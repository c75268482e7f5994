import SwiftGICore
import Testing

extension Environ.Key<[Int]> {
    fileprivate static var numbers: Self { Self("test.numbers") }
}

struct EnvironKeyTests {
    @Test("The gateway's entries have their types")
    func types() {
        let (exchange, transport) = makeExchange()
        transport.variables["REQUEST_SCHEME"] = Array("https".utf8)
        let environ = Environ(exchange)
        #expect(environ[.version] == Exchange.version)
        #expect(environ[.urlScheme] == "https")
        #expect(environ[.server] == "test")
        #expect(environ[.multithread] == true)
        #expect(environ[.multiprocess] == false)
        #expect(environ[.runOnce] == true)
        #expect(environ[.requestID] == nil)
    }

    @Test("A key of another type finds nothing")
    func mismatch() {
        let (exchange, _) = makeExchange()
        var environ = Environ(exchange)
        #expect(environ[Environ.Key<Int>("swiftgi.multithread")] == nil)
        #expect(environ[Environ.Key<String>("swiftgi.version")] == nil)
        #expect(environ[Environ.Key<Bool>("REQUEST_METHOD")] == nil)
        environ[.numbers] = [1, 2]
        #expect(environ[Environ.Key<String>("test.numbers")] == nil)
        #expect(environ[.numbers] == [1, 2])
    }

    @Test("Middleware's entries are set, replaced and removed")
    func own() {
        let (exchange, _) = makeExchange()
        var environ = Environ(exchange)
        #expect(environ[.numbers] == nil)
        environ[.numbers] = [1]
        environ[.numbers] = [2, 3]
        #expect(environ[.numbers] == [2, 3])
        #expect(environ["test.numbers"] == nil)
        environ[.numbers] = nil
        #expect(environ[.numbers] == nil)
    }

    @Test("The last change counts, by key or by name")
    func views() {
        let (exchange, _) = makeExchange()
        var environ = Environ(exchange)
        environ[.urlScheme] = "https"
        #expect(environ["swiftgi.url_scheme"] == "https")
        environ["swiftgi.url_scheme"] = "gopher"
        #expect(environ[.urlScheme] == "gopher")
        #expect(environ.urlScheme == "gopher")
        environ[.multithread] = false
        #expect(environ["swiftgi.multithread"] == "false")
        environ[.server] = nil
        #expect(environ["swiftgi.server"] == nil)
        #expect(environ[.server] == nil)
        environ["swiftgi.version"] = nil
        #expect(environ[.version] == nil)
        #expect(environ.version == Exchange.version)
    }
}
