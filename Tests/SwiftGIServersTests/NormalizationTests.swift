import SwiftGIServers
import Testing

struct NormalizationTests {
    private func normalize(
        _ variables: [(String, String)], scriptName: String? = nil, alwaysHasLength: Bool = false
    ) -> [String: String] {
        var all = RequestVariables(variables.map { (Array($0.0.utf8), Array($0.1.utf8)) })
        var rules = VariableRules()
        rules.scriptName = scriptName.map { Array($0.utf8) }
        rules.alwaysHasLength = alwaysHasLength
        all.normalize(rules)
        var result: [String: String] = [:]
        all.forEach { name, value in
            let name = String(decoding: name.indices.map { name[$0] }, as: UTF8.self)
            #expect(result[name] == nil, "\(name) is there twice")
            result[name] = String(decoding: value.indices.map { value[$0] }, as: UTF8.self)
        }
        return result
    }

    /// SCRIPT_NAME and PATH_INFO of what these give.
    private func split(_ variables: [(String, String)], scriptName: String? = nil) -> [String?] {
        let all = normalize(variables, scriptName: scriptName)
        return [all["SCRIPT_NAME"], all["PATH_INFO"]]
    }

    @Test("A split that is right is left alone")
    func right() {
        #expect(split([("SCRIPT_NAME", "/app"), ("PATH_INFO", "/x/y")]) == ["/app", "/x/y"])
        #expect(split([("SCRIPT_NAME", "/app"), ("PATH_INFO", "")]) == ["/app", ""])
        #expect(split([("SCRIPT_NAME", "/app")]) == ["/app", ""])
        #expect(split([("SCRIPT_NAME", ""), ("PATH_INFO", "/x")]) == ["", "/x"])
    }

    @Test("Not both are empty, and SCRIPT_NAME does not end in a slash")
    func slashes() {
        #expect(split([]) == ["", "/"])
        #expect(split([("SCRIPT_NAME", ""), ("PATH_INFO", "")]) == ["", "/"])
        #expect(split([("SCRIPT_NAME", "/")]) == ["", "/"])
        #expect(split([("SCRIPT_NAME", "/"), ("PATH_INFO", "x")]) == ["", "/x"])
        #expect(split([("SCRIPT_NAME", "/app/"), ("PATH_INFO", "x")]) == ["/app", "/x"])
        #expect(split([("SCRIPT_NAME", "/app/"), ("PATH_INFO", "/x")]) == ["/app", "/x"])
    }

    @Test("nginx's fastcgi_params have the whole path in SCRIPT_NAME")
    func nginx() {
        #expect(split([("SCRIPT_NAME", "/a/b"), ("DOCUMENT_URI", "/a/b")]) == ["", "/a/b"])
        #expect(split([("DOCUMENT_URI", "/a/b")]) == ["", "/a/b"])
        // With fastcgi_split_path_info.
        #expect(split([("SCRIPT_NAME", "/a"), ("PATH_INFO", "/b"), ("DOCUMENT_URI", "/a/b")]) == ["/a", "/b"])
        #expect(split([("SCRIPT_NAME", "/a"), ("PATH_INFO", ""), ("DOCUMENT_URI", "/a")]) == ["/a", ""])
    }

    @Test("mod_proxy_fcgi and mod_proxy_scgi have the rest of the path in SCRIPT_FILENAME")
    func proxy() {
        #expect(
            split([("SCRIPT_NAME", "/app/x y"), ("SCRIPT_FILENAME", "proxy:fcgi://127.0.0.1:9000/x%20y")])
                == ["/app", "/x y"])
        #expect(split([("SCRIPT_NAME", "/x"), ("SCRIPT_FILENAME", "proxy:scgi://h:1/x")]) == ["", "/x"])
        #expect(split([("SCRIPT_NAME", "/app/x"), ("SCRIPT_FILENAME", "proxy:balancer://b/x")]) == ["/app", "/x"])
        #expect(split([("SCRIPT_NAME", "/app/x"), ("SCRIPT_FILENAME", "proxy:fcgi://h:1/other/x")]) == ["/app/x", ""])
        #expect(split([("SCRIPT_NAME", "/app/x"), ("SCRIPT_FILENAME", "proxy:fcgi://h:1")]) == ["/app/x", ""])
    }

    @Test("Where the application is mounted can be told")
    func mount() {
        #expect(split([("SCRIPT_NAME", "/app/x")], scriptName: "/app") == ["/app", "/x"])
        #expect(split([("SCRIPT_NAME", ""), ("PATH_INFO", "/app/x")], scriptName: "/app/") == ["/app", "/x"])
        #expect(split([("SCRIPT_NAME", "/app")], scriptName: "/app") == ["/app", ""])
        #expect(split([("SCRIPT_NAME", "/apple")], scriptName: "/app") == ["/apple", ""])
        #expect(split([("SCRIPT_NAME", "/a/b"), ("SWIFTGI_SCRIPT_NAME", "/a")], scriptName: "/no") == ["/a", "/b"])
        #expect(split([("SCRIPT_NAME", "/a/b")], scriptName: "/") == ["", "/a/b"])
        #expect(split([("DOCUMENT_URI", "/app/x")], scriptName: "/app") == ["/app", "/x"])
    }

    @Test("HTTPS and REQUEST_SCHEME agree")
    func scheme() {
        func both(_ variables: [(String, String)]) -> [String?] {
            let all = normalize(variables)
            return [all["REQUEST_SCHEME"], all["HTTPS"]]
        }
        #expect(both([]) == ["http", nil])
        #expect(both([("HTTPS", "on")]) == ["https", "on"])
        #expect(both([("HTTPS", "1")]) == ["https", "on"])
        #expect(both([("HTTPS", "off")]) == ["http", nil])
        #expect(both([("HTTPS", "")]) == ["http", nil])
        #expect(both([("REQUEST_SCHEME", "https")]) == ["https", "on"])
        #expect(both([("REQUEST_SCHEME", "http"), ("HTTPS", "on")]) == ["http", nil])
    }

    @Test("What a client must not set is not there")
    func smuggled() {
        let all = normalize([
            ("HTTP_PROXY", "x"), ("HTTP_CONTENT_LENGTH", "1"), ("HTTP_CONTENT_TYPE", "t"), ("HTTP_", "x"),
            ("HTTP_A.B", "x"), ("HTTP_a", "x"), ("swiftgi.request_id", "forged"), ("HTTP_OK", "1"),
        ])
        #expect(all.keys.filter { $0.hasPrefix("HTTP_") } == ["HTTP_OK"])
        #expect(all["swiftgi.request_id"] == nil)
    }

    @Test("What is empty because it is not there is not there")
    func empty() {
        let all = normalize([
            ("CONTENT_TYPE", ""), ("CONTENT_LENGTH", ""), ("AUTH_TYPE", ""), ("REMOTE_USER", ""), ("HTTP_X", ""),
        ])
        #expect(all["CONTENT_TYPE"] == nil && all["CONTENT_LENGTH"] == nil)
        #expect(all["AUTH_TYPE"] == nil && all["REMOTE_USER"] == nil)
        #expect(all["HTTP_X"] == "")
        #expect(normalize([("CONTENT_LENGTH", "0")], alwaysHasLength: true)["CONTENT_LENGTH"] == nil)
        #expect(normalize([("CONTENT_LENGTH", "0")])["CONTENT_LENGTH"] == nil)
        let post = ("REQUEST_METHOD", "POST")
        #expect(normalize([("CONTENT_LENGTH", "0"), post])["CONTENT_LENGTH"] == "0")
        #expect(normalize([("CONTENT_LENGTH", "0"), post], alwaysHasLength: true)["CONTENT_LENGTH"] == nil)
    }

    @Test("What every request has is there")
    func always() {
        let all = normalize([])
        #expect(all["QUERY_STRING"] == "" && all["GATEWAY_INTERFACE"] == "CGI/1.1" && all["REQUEST_METHOD"] == "GET")
        #expect(all["SERVER_NAME"] == "localhost" && all["SERVER_PORT"] == "80" && all["SERVER_PROTOCOL"] == "HTTP/1.0")
        #expect(all["REQUEST_URI"] == "/" && all["REMOTE_ADDR"] == "0.0.0.0")
    }

    @Test("A server's name that is none is replaced")
    func server() {
        func name(_ name: String, _ more: (String, String)...) -> [String?] {
            let all = normalize([("SERVER_NAME", name)] + more)
            return [all["SERVER_NAME"], all["SERVER_PORT"]]
        }
        #expect(name("_", ("HTTP_HOST", "a.example:8080")) == ["a.example", "8080"])
        #expect(name("", ("HTTP_HOST", "[::1]:81"), ("SERVER_PORT", "82")) == ["[::1]", "82"])
        #expect(name("~^.*$", ("HTTP_HOST", "a"), ("HTTPS", "on")) == ["a", "443"])
        #expect(name("_", ("SERVER_ADDR", "10.0.0.1")) == ["10.0.0.1", "80"])
        #expect(name("real", ("HTTP_HOST", "other:5"), ("SERVER_PORT", "80")) == ["real", "80"])
    }

    @Test("REQUEST_URI is a path and a query")
    func target() {
        func uri(_ variables: (String, String)...) -> String? { normalize(variables)["REQUEST_URI"] }
        #expect(uri(("REQUEST_URI", "/a?b")) == "/a?b")
        #expect(uri(("REQUEST_URI", "http://h:80/a?b")) == "/a?b")
        #expect(uri(("REQUEST_URI", "http://h")) == "/")
        #expect(uri(("REQUEST_URI", "*")) == "*")
        #expect(uri(("SCRIPT_NAME", "/a b"), ("PATH_INFO", "/%é"), ("QUERY_STRING", "q=1")) == "/a%20b/%25%C3%A9?q=1")
    }

    @Test("Of variables of one name the last counts")
    func repeated() {
        #expect(normalize([("X", "1"), ("X", "2")])["X"] == "2")
    }

    @Test("A field that came several times is one variable")
    func joined() {
        let all = normalize([
            ("HTTP_A", "1"), ("HTTP_B", "x"), ("HTTP_A", "2"), ("HTTP_COOKIE", "c=1"), ("HTTP_A", "3"),
            ("HTTP_COOKIE", "d=2"),
        ])
        #expect(all["HTTP_A"] == "1, 2, 3" && all["HTTP_B"] == "x" && all["HTTP_COOKIE"] == "c=1; d=2")
    }

    @Test("Variables are fields again")
    func fields() {
        var all = RequestVariables([
            (Array("HTTP_X_REQUESTED_WITH".utf8), [0x78]), (Array("CONTENT_TYPE".utf8), [0x74]),
            (Array("PATH".utf8), [0]),
        ])
        all.normalize(VariableRules())
        var names: [String] = []
        all.forEachField { name, _ in names.append(String(decoding: name.indices.map { name[$0] }, as: UTF8.self)) }
        #expect(names == ["X-Requested-With", "Content-Type"])
    }
}
