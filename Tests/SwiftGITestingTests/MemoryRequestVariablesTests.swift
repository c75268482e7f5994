import HTTPTypes
import SwiftGITesting
import Testing

struct MemoryRequestVariablesTests {
    private func variables(_ request: MemoryRequest) -> [String: String] {
        request.makeVariables(id: "id", software: "software").mapValues { String(decoding: $0, as: UTF8.self) }
    }

    @Test("A plain request has the variables of RFC 3875")
    func plain() {
        #expect(
            variables(MemoryRequest()) == [
                "GATEWAY_INTERFACE": "CGI/1.1", "PATH_INFO": "/", "QUERY_STRING": "", "REMOTE_ADDR": "127.0.0.1",
                "REQUEST_METHOD": "GET", "REQUEST_SCHEME": "http", "REQUEST_URI": "/", "SCRIPT_NAME": "",
                "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
                "SERVER_SOFTWARE": "software",
                "swiftgi.request_id": "id",
            ])
    }

    @Test(
        "The target is split and the path decoded",
        arguments: [
            ("/a%20b", "/a b", ""), ("/a?b=%20?c", "/a", "b=%20?c"), ("/?", "/", ""), ("", "", ""), ("?q", "", "q"),
            ("/%C3%a4", "/ä", ""), ("/%", "/%", ""), ("/%4", "/%4", ""), ("/%zz%41", "/%zzA", ""), ("/%%41", "/%A", ""),
            ("*", "*", ""), ("/%+1", "/%+1", ""),
        ])
    func target(_ path: String, _ info: String, _ query: String) {
        var request = MemoryRequest(path: path)
        request.scriptName = "/app"
        let variables = variables(request)
        #expect(variables["PATH_INFO"] == info)
        #expect(variables["QUERY_STRING"] == query)
        #expect(variables["SCRIPT_NAME"] == "/app")
        #expect(variables["REQUEST_URI"] == "/app" + path)
    }

    @Test("A path need not be UTF-8")
    func bytes() {
        #expect(MemoryRequest(path: "/%E9").makeVariables(id: "", software: "")["PATH_INFO"] == [0x2F, 0xE9])
    }

    @Test(
        "Host is the server's name and port",
        arguments: [
            ("example.org", "http", "example.org", "80"), ("example.org", "https", "example.org", "443"),
            ("example.org:8080", "http", "example.org", "8080"), ("[::1]:81", "http", "[::1]", "81"),
            ("[::1]", "https", "[::1]", "443"), (":81", "http", "localhost", "80"), ("", "http", "localhost", "80"),
            ("a:", "http", "a", "80"), ("[", "http", "[", "80"), ("[]:", "http", "[]", "80"),
        ])
    func host(_ host: String, _ scheme: String, _ name: String, _ port: String) throws {
        var request = MemoryRequest(headers: [try #require(HTTPField.Name("Host")): host])
        request.scheme = scheme
        #expect(variables(request)["SERVER_NAME"] == name)
        #expect(variables(request)["SERVER_PORT"] == port)
        #expect(variables(request)["HTTP_HOST"] == host)
    }

    @Test(
        "Fields become variables, repeated ones one",
        arguments: [
            ("X-One", "HTTP_X_ONE"), ("x-ONE", "HTTP_X_ONE"), ("X9", "HTTP_X9"),
            ("Authorization", "HTTP_AUTHORIZATION"),
        ])
    func fields(_ name: String, _ variable: String) throws {
        let name = try #require(HTTPField.Name(name))
        var request = MemoryRequest()
        request.headers.append(HTTPField(name: name, value: "a"))
        request.headers.append(HTTPField(name: name, value: "b"))
        #expect(variables(request)[variable] == "a, b")
    }

    @Test("Cookies are joined as cookies")
    func cookies() {
        var request = MemoryRequest()
        request.headers.append(HTTPField(name: .cookie, value: "a=1"))
        request.headers.append(HTTPField(name: .cookie, value: "b=2"))
        #expect(variables(request)["HTTP_COOKIE"] == "a=1; b=2")
    }

    @Test(
        "Some fields don't become HTTP_ variables",
        arguments: ["Proxy", "X_Under", "X.Dot", "Content-Type", "Content-Length", "X!"])
    func left(_ name: String) throws {
        let request = MemoryRequest(headers: [try #require(HTTPField.Name(name)): "1"])
        #expect(variables(request).keys.allSatisfy { !$0.hasPrefix("HTTP_") })
    }

    @Test("The body's length and type are variables of their own")
    func content() {
        let request = MemoryRequest(headers: [.contentType: "text/csv"], body: "1,2")
        #expect(variables(request)["CONTENT_TYPE"] == "text/csv")
        #expect(variables(request)["CONTENT_LENGTH"] == "3")
        #expect(request.framing == .length(3))
    }

    @Test("A body of unknown length has none")
    func chunked() {
        let request = MemoryRequest(headers: [.transferEncoding: "chunked", .contentLength: "3"], body: "1,2")
        #expect(request.framing == .chunked)
        #expect(variables(request)["CONTENT_LENGTH"] == nil)
    }

    @Test("The configuration's variables replace others")
    func configured() {
        var request = MemoryRequest(headers: [.accept: "a"])
        request.variables = ["REMOTE_USER": "me", "HTTP_ACCEPT": "b", "SERVER_NAME": ""]
        #expect(variables(request)["REMOTE_USER"] == "me")
        #expect(variables(request)["HTTP_ACCEPT"] == "b")
        #expect(variables(request)["SERVER_NAME"] == "")
    }
}
