import HTTPTypes
import SwiftGICore
import Testing

struct EnvironEntriesTests {
    @Test("Properties are the variables of their names")
    func properties() {
        let (exchange, transport) = makeExchange()
        for name in [
            "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_URI", "CONTENT_TYPE", "SERVER_NAME", "SERVER_PROTOCOL",
            "REMOTE_ADDR", "REMOTE_USER", "swiftgi.request_id",
        ] { transport.variables[name] = Array("\(name)-value".utf8) }
        let environ = Environ(exchange)
        #expect(environ.method == "GET")
        #expect(environ.scriptName == "SCRIPT_NAME-value")
        #expect(environ.pathInfo == "PATH_INFO-value")
        #expect(environ.queryString == "QUERY_STRING-value")
        #expect(environ.requestURI == "REQUEST_URI-value")
        #expect(environ.contentType == "CONTENT_TYPE-value")
        #expect(environ.serverName == "SERVER_NAME-value")
        #expect(environ.serverProtocol == "SERVER_PROTOCOL-value")
        #expect(environ.remoteAddress == "REMOTE_ADDR-value")
        #expect(environ.remoteUser == "REMOTE_USER-value")
        #expect(environ.requestID == "swiftgi.request_id-value")
    }

    @Test("Without variables they are empty or nil")
    func absent() {
        let (exchange, transport) = makeExchange()
        transport.variables = [:]
        let environ = Environ(exchange)
        #expect(environ.method == "" && environ.scriptName == "" && environ.pathInfo == "")
        #expect(environ.queryString == "" && environ.requestURI == "" && environ.serverName == "")
        #expect(environ.serverProtocol == "" && environ.remoteAddress == "" && environ.requestID == "")
        #expect(environ.contentType == nil && environ.contentLength == nil && environ.remoteUser == nil)
        #expect(environ.serverPort == 0)
        #expect(environ.urlScheme == "http")
    }

    @Test("Paths and method can be set")
    func set() {
        let (exchange, _) = makeExchange()
        var environ = Environ(exchange)
        environ.method = "PUT"
        environ.scriptName += "/a"
        environ.pathInfo = "/b"
        environ.queryString = "c"
        #expect(environ["REQUEST_METHOD"] == "PUT" && environ["SCRIPT_NAME"] == "/a")
        #expect(environ["PATH_INFO"] == "/b" && environ["QUERY_STRING"] == "c")
    }

    @Test(
        "Lengths and ports that are none are none",
        arguments: [
            ("", nil, 0), ("12", 12, 12), ("-1", nil, -1), ("x", nil, 0), ("99999999999999999999", nil, 0),
            ("1 ", nil, 0),
        ] as [(String, Int64?, Int)])
    func numbers(_ text: String, _ length: Int64?, _ port: Int) {
        let (exchange, transport) = makeExchange()
        transport.variables["CONTENT_LENGTH"] = Array(text.utf8)
        transport.variables["SERVER_PORT"] = Array(text.utf8)
        let environ = Environ(exchange)
        #expect(environ.contentLength == length)
        #expect(environ.serverPort == port)
    }

    @Test("Fields keep order, repetition and bytes; names that are none are left out")
    func headers() {
        let (exchange, transport) = makeExchange()
        let fields: [(String, [UInt8])] = [
            ("X-Two", [49]), ("Accept", [0xE9]), ("bad name", [50]), ("", [51]), (":path", [52]), ("x-two", [53]),
        ]
        transport.fields = fields.map { (Array($0.0.utf8), $0.1) }
        let headers = Environ(exchange).headers
        #expect(headers.map(\.name.rawName) == ["X-Two", "Accept", "x-two"])
        #expect(headers.map { field in field.withUnsafeBytesOfValue { $0.map { $0 } } } == [[49], [0xE9], [53]])
    }

    @Test("More fields than HTTPFields holds are left out")
    func manyHeaders() {
        let (exchange, transport) = makeExchange()
        transport.fields = Array(repeating: (Array("A".utf8), []), count: 70_000)
        let environ = Environ(exchange)
        #expect(environ.headers.count == 65534)
    }

    @Test("The client's absence is asked for each time")
    func client() {
        let (exchange, transport) = makeExchange()
        let environ = Environ(exchange)
        #expect(environ.isClientGone == false)
        transport.isClientGone = true
        #expect(environ.isClientGone == true)
        exchange.finish()
        #expect(environ.isClientGone == false)
    }
}
