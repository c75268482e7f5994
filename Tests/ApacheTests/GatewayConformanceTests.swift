import Foundation
import SwiftGIConformance
import Testing

/// The conformance suite behind web servers, over their own modules for CGI, FastCGI and SCGI.
///
/// What a cut response looks like behind some of them depends on the moment, and not every case that
/// this concerns is left out yet: they run if SWIFTGI_UNFINISHED is set.
@Suite(.enabled(if: Paths.environment("SWIFTGI_UNFINISHED") != nil, "some cases depend on the moment"))
struct GatewayConformanceTests {
    /// What a web server itself does otherwise, by the names of cases.
    private static func excluded(_ kind: FrontEnd) -> [String: String] {
        var all = ["w39/refuse": "The web server invites the body before it asks the application."]
        func exclude(_ reason: String, _ names: String...) { for name in names { all[name] = reason } }
        let chunked = "The web server reads a chunked body first and sends its length."
        switch kind {
        case .modCgid:
            exclude(
                "The end of a CGI program looks the same however it came.", "w17/first", "w21/sent", "w38/after",
                "w32/error")
            exclude("A process serves one request.", "w47/kept", "w41/alone")
        case .modFcgid:
            exclude(chunked, "w40/chunked")
            exclude(
                "mod_fcgid ends a response that was cut as if it were complete, with an error page behind it.",
                "w17/first", "w21/sent", "w32/error", "w35/shorter", "w38/after")
        case .proxyFcgi, .proxyScgi:
            exclude(
                "Nothing has left yet: the web server answers with an error.", "w17/first", "w21/sent", "w38/after",
                "w38/late", "w35/shorter")
            exclude("Nothing has left yet: the web server answers with an error.", "w32/error")
            exclude(chunked, "w40/chunked")
            if kind == .proxyScgi {
                exclude(
                    "mod_proxy_scgi refuses chunked bodies.", "w11/lines", "w11/collect", "w13/end", "w30/echo",
                    "w37/duplex")
            }
        case .nginxFastCGI, .nginxSCGI:
            if kind == .nginxFastCGI {
                exclude(
                    "Nothing has left yet: nginx closes the connection without an answer.", "w17/first", "w21/sent",
                    "w38/late")
            }
            exclude(chunked, "w40/chunked")
        case .lighttpdFastCGI, .lighttpdSCGI:
            exclude(chunked, "w40/chunked")
            exclude("lighttpd normalises the query.", "w2/together")
            exclude("lighttpd wants a length with POST.", "w4/method")
            exclude("lighttpd leaves empty fields out.", "w7/fields", "w25/fields")
            exclude("lighttpd lets names with underscores pass.", "w7/smuggled")
            exclude("lighttpd has reasons of its own.", "w24/status")
            exclude(
                "lighttpd ends a response that was cut as if it were complete.", "w17/first", "w21/sent", "w38/after",
                "w32/error")
        }
        return all
    }

    @Test(
        arguments: FrontEnd.allCases.filter {
            Paths.environment("SWIFTGI_FRONT_END").map($0.rawValue.hasPrefix) ?? true
        })
    func conforms(_ kind: FrontEnd) async throws {
        let fronted = try Fronted.start(kind, "Conformance")
        let client = ApacheConformanceClient(port: fronted.port, scriptName: "/conformance")
        let excluded = Self.excluded(kind)
        for conformanceCase in conformanceCases() where excluded[conformanceCase.name] == nil {
            do {
                try await conformanceCase.run(over: client)
            } catch {
                Issue.record("\(kind) \(conformanceCase): \(error)")
            }
        }
        for wrong in await fronted.stop() { Issue.record("\(kind): \(wrong)") }
    }
}
