import Foundation
import Testing

/// What of the middleware is behind the package's traits.
@Suite(.enabled(if: Applications.hasFrameworks, "`make frameworks` builds what this tests."))
struct TraitsTests {
    private static let contracts = ["gateway", "async"]

    private static func withTraits(_ modules: [String] = [], _ test: (Server) async throws -> Void) async throws {
        try Applications.addFramework("Traits")
        let configuration = Configuration("SwiftGIScriptAlias / ${apps}/libTraits.so", modules: modules)
        // Sessions that are too large, and failures that are asked for.
        try await withServer(configuration, expecting: []) { try await test($0) }
    }

    /// The cookie that a response sets, as a client sends it back.
    private static func cookie(_ response: Response) -> String? {
        response["Set-Cookie"].map { String($0.prefix { $0 != ";" }) }
    }

    @Test(arguments: contracts)
    func sessionsGoOn(_ contract: String) async throws {
        try await Self.withTraits { server in
            let first = try server.get("/\(contract)/old/visit")
            #expect(first.text == "1\n")
            #expect(first["Vary"] == "Cookie")
            let field = try #require(first["Set-Cookie"])
            for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Max-Age=1209600"] {
                #expect(field.contains(attribute), "\(field)")
            }
            #expect(!field.contains("Secure"))
            let cookie = try #require(Self.cookie(first))
            let second = try server.get("/\(contract)/old/visit", ["Cookie: a=b; \(cookie); session2=x"])
            #expect(second.text == "2\n")
            // What is only looked at is not sent again, and what is not looked at says nothing.
            let look = try server.get("/\(contract)/old/look", ["Cookie: \(cookie)"])
            #expect(look.text == "1 wert; \"x\" %\n")
            #expect(look["Set-Cookie"] == nil && look["Vary"] == "Cookie")
            let untouched = try server.get("/\(contract)/old/untouched", ["Cookie: \(cookie)"])
            #expect(untouched["Set-Cookie"] == nil && untouched["Vary"] == nil)
            let cleared = try server.get("/\(contract)/old/clear", ["Cookie: \(cookie)"])
            #expect(cleared["Set-Cookie"]?.hasPrefix("session=; Max-Age=0") == true)
        }
    }

    @Test(arguments: contracts)
    func onlyWhatIsSignedCounts(_ contract: String) async throws {
        try await Self.withTraits { server in
            let cookie = try #require(Self.cookie(try server.get("/\(contract)/old/visit")))
            func look(_ cookie: String, _ keys: String = "old") throws -> String {
                String(try server.get("/\(contract)/\(keys)/look", ["Cookie: \(cookie)"]).text.prefix { $0 != " " })
            }
            #expect(try look(cookie) == "1")
            // Another byte at any place, another end, another cookie, nothing at all.
            for index in stride(from: "session=".count, to: cookie.count, by: 5) {
                var bytes = Array(cookie.utf8)
                bytes[index] = bytes[index] == UInt8(ascii: "B") ? UInt8(ascii: "C") : UInt8(ascii: "B")
                #expect(try look(String(decoding: bytes, as: UTF8.self)) == "none", "byte \(index)")
            }
            let parts = cookie.split(separator: ".", omittingEmptySubsequences: false)
            for broken in [
                "session=", "session=.", "session=..", "session=9999999999999.\(parts[1]).\(parts[2])",
                "\(parts[0]).\(parts[1]).", "\(parts[0])..\(parts[2])", cookie + ".x", "other" + cookie.dropFirst(7),
            ] { #expect(try look(broken) == "none", "\(broken)") }
            #expect(try look("other" + cookie.dropFirst(7), "other") == "none")
            // Keys change: the old one's cookies count as long as it is there.
            #expect(try look(cookie, "both") == "1")
            #expect(try look(cookie, "new") == "none")
            let renewed = try #require(Self.cookie(try server.get("/\(contract)/both/visit", ["Cookie: \(cookie)"])))
            #expect(try look(renewed, "new") == "2")
        }
    }

    @Test(arguments: contracts)
    func sessionsEnd(_ contract: String) async throws {
        try await Self.withTraits { server in
            let cookie = try #require(Self.cookie(try server.get("/\(contract)/short/visit")))
            try wait("the session to end") {
                try server.get("/\(contract)/short/look", ["Cookie: \(cookie)"]).text.hasPrefix("none")
            }
        }
    }

    @Test(arguments: contracts)
    func sessionsCanBeTooLarge(_ contract: String) async throws {
        try Applications.addFramework("Traits")
        let configuration = Configuration("SwiftGIScriptAlias / ${apps}/libTraits.so")
        try await withServer(configuration, expecting: ["more than 4096"]) { server in
            #expect(try server.get("/\(contract)/old/large").status == 500)
            let next = try server.get("/\(contract)/old/visit")
            #expect(next.status == 200)
        }
    }

    /// A head that an error replaces is not counted, a body that fails is; and the log has the ids of the
    /// trace in it.
    @Test(arguments: contracts)
    func failuresAreCountedAndTraced(_ contract: String) async throws {
        try Applications.addFramework("Traits")
        let configuration = Configuration("SwiftGIScriptAlias / ${apps}/libTraits.so")
        try await withServer(configuration, expecting: ["SGI0201", "Failure()"]) { server in
            #expect(try server.get("/\(contract)/replaced").status == 500)
            let fields = ["in-memory-trace-id: t2", "in-memory-span-id: s2"]
            #expect(throws: WireError.self) { try server.get("/\(contract)/late", fields) }
            try wait("the request to end") { server.errorLog.lines(with: "SGI0201").count >= 1 }
            let line = try #require(server.errorLog.lines(with: "in the body").first)
            #expect(line.message.contains("trace=t2"), "\(line)")
            let metrics = try server.get("/metrics").text
            for line in [
                "swiftgi_requests_total method=GET,status=500,application=replaced 1\n",
                "swiftgi_requests_total method=GET,status=200,application=late 1\n",
                "swiftgi_request_errors_total application=late 1\n",
            ] { #expect(metrics.contains(line), "\(metrics)") }
            #expect(!metrics.contains("status=200,application=replaced"), "\(metrics)")
            let spans = try server.get("/spans").text.split(separator: "\n")
            #expect(spans.contains("GET t2 s2 1"), "\(spans)")
        }
    }

    @Test(arguments: contracts)
    func requestsAreCountedAndTraced(_ contract: String) async throws {
        try Applications.addFramework("Traits")
        let configuration = Configuration("SwiftGIScriptAlias / ${apps}/libTraits.so")
        try await withServer(configuration, expecting: ["SGI0201"]) { server in
            for _ in 0..<3 {
                let response = try server.get(
                    "/\(contract)/old/look", ["in-memory-trace-id: t1", "in-memory-span-id: s1"])
                #expect(response.status == 200)
            }
            #expect(try server.get("/\(contract)/old/fail").status == 500)
            #expect(try server.request("BREW", "/\(contract)/old/look").status == 200)
            let metrics = try server.get("/metrics").text
            for line in [
                "swiftgi_requests_total method=GET,status=200,application=traits 3\n",
                "swiftgi_requests_total method=other,status=200,application=traits 1\n",
                "swiftgi_request_duration_seconds method=GET,status=200,application=traits 3\n",
                "swiftgi_request_errors_total application=traits 1\n",
            ] { #expect(metrics.contains(line), "\(metrics)") }
            let spans = try server.get("/spans").text.split(separator: "\n")
            #expect(spans.filter { $0 == "GET t1 s1 0" }.count == 3, "\(spans)")
            #expect(spans.contains { $0.hasPrefix("GET ") && $0.hasSuffix(" - 1") }, "\(spans)")
            #expect(spans.contains { $0.hasPrefix("BREW ") }, "\(spans)")
        }
    }
}
