import Foundation
import SwiftGIConformance
import Testing

/// The conformance suite behind web servers, over their own modules for CGI, FastCGI and SCGI, and by
/// bare clients.
struct GatewayConformanceTests {
    /// How the suite is served.
    enum Contract: String, CaseIterable, CustomTestStringConvertible {
        case gateway
        /// Handlers that wait for another thread, and applications behind a bridge.
        case async

        var testDescription: String { rawValue }
        var library: String { self == .gateway ? "Conformance" : "AsyncConformance" }
        var cases: [ConformanceCase] {
            self == .gateway ? conformanceCases() : conformanceCases() + asyncConformanceCases()
        }
        var variables: [String: String] { self == .gateway ? [:] : [ConformanceHandler.waitVariable: "1"] }
    }

    /// What a web server itself does otherwise, by the names of cases of either contract, each with its
    /// reason.
    struct Exclusions {
        private(set) var reasons: [String: String] = [:]

        mutating func exclude(_ reason: String, _ names: String...) { exclude(reason, names) }

        mutating func exclude(_ reason: String, _ names: [String]) {
            for name in names {
                reasons[name] = reason
                reasons[Self.asyncName(name)] = reason
            }
        }

        /// What of the log depends on the moment.
        private(set) var unlogged: Set<String> = []

        /// Leaves out what depends on whether the application or the web server is the first to end: the
        /// server leaves when it has as many bytes as the head says.
        mutating func leavesAtLength(_ server: String) {
            exclude(
                "\(server) leaves when it has as many bytes as Content-Length says: that is what an application may "
                    + "find first that writes more.", "w34/stops")
            for name in ["w34/longer", "w34/none"] { unlogged.formUnion([name, Self.asyncName(name)]) }
            unlogged.insert("w34/async-swallow")
        }

        static func asyncName(_ name: String) -> String { name.replacing("/", with: "/async-") }

        func permit(_ conformanceCase: ConformanceCase) -> Bool { reasons[conformanceCase.name] == nil }
    }

    /// What no gateway can do.
    private static func general() -> Exclusions {
        var all = Exclusions()
        all.exclude("The web server invites the body before it asks the application.", "w39/refuse", "w39/read")
        return all
    }

    private static let withoutStatus = [
        "w17/first", "w17/waits", "w21/sent", "w28/dropped", "w32/error", "w38/after",
    ]

    /// Bodies without a length.
    private static let withoutLength = [
        "w11/lines", "w11/sequence", "w11/collect", "w13/end", "w30/echo", "w37/duplex", "w40/chunked",
    ]

    private static let once = ["w47/kept", "w47/outlives", "w41/alone"]

    private static func exclusions(_ kind: FrontEnd) -> Exclusions {
        var all = general()
        let chunked = "The web server reads a chunked body first and sends its length."
        let halfClosed = "Who closes his side of an SCGI connection may wait for the answer: that he left shows later."
        switch kind {
        case .modCgid:
            all.exclude("The end of a CGI program looks the same however it came.", withoutStatus)
            all.exclude(
                "httpd replaces Content-Length if the end is there before it has sent the head, which depends on the "
                    + "moment.", "w35/shorter", "w44/short")
            all.exclude("A process serves one request.", once)
            all.exclude("httpd notices that a client left when it writes to it.", "w32/waits")
        case .modFcgid:
            all.exclude(chunked, "w40/chunked")
            all.exclude(
                "mod_fcgid ends a response that was cut as if it were complete, with an error page behind it.",
                withoutStatus + ["w35/shorter"])
            all.exclude("httpd notices that a client left when it writes to it.", "w32/waits")
        case .proxyFcgi, .proxyScgi:
            all.exclude(chunked, "w40/chunked")
            all.exclude("httpd notices that a client left when it writes to it.", "w32/waits")
            if kind == .proxyScgi { all.exclude("mod_proxy_scgi refuses chunked bodies.", withoutLength) }
        case .nginxFastCGI, .nginxSCGI:
            all.exclude(chunked, "w40/chunked")
            all.leavesAtLength("nginx")
            if kind == .nginxSCGI { all.exclude(halfClosed, "w32/waits") }
        case .lighttpdFastCGI, .lighttpdSCGI:
            all.exclude(chunked, "w40/chunked")
            all.leavesAtLength("lighttpd")
            all.exclude("lighttpd normalises the query.", "w2/together")
            all.exclude("lighttpd wants a length with POST.", "w4/method")
            all.exclude("lighttpd leaves empty fields out.", "w7/fields", "w25/fields")
            all.exclude("lighttpd lets names with underscores pass.", "w7/smuggled")
            all.exclude("lighttpd has reasons of its own.", "w24/status")
            all.exclude("lighttpd ends a response that was cut as if it were complete.", withoutStatus)
            all.exclude(
                "lighttpd leaves when it has as many bytes as Content-Length says: what is logged later is lost.",
                "w38/late")
            all.exclude("lighttpd notices that a client left when it writes to it.", "w32/waits")
        }
        return all
    }

    @Test(
        arguments: FrontEnd.allCases.filter {
            Paths.environment("SWIFTGI_FRONT_END").map($0.rawValue.hasPrefix) ?? true
        }, Contract.allCases)
    func conforms(_ kind: FrontEnd, _ contract: Contract) async throws {
        let fronted = try Fronted.start(kind, contract.library, variables: contract.variables)
        let client = ApacheConformanceClient(port: fronted.port, scriptName: "/conformance", isFront: true)
        let exclusions = Self.exclusions(kind)
        var earlier: ConformanceCase?
        for conformanceCase in contract.cases where exclusions.permit(conformanceCase) {
            // A web server may have the whole response before the last line of what was wrong with it comes.
            let late = (earlier?.log ?? []).filter { !conformanceCase.log.contains($0) }
            earlier = conformanceCase
            let before = fronted.complaints
            do {
                try await run(conformanceCase, over: client)
                if !exclusions.unlogged.contains(conformanceCase.name) {
                    try await checkLog(conformanceCase) {
                        fronted.complaints(since: before).filter { line in !late.contains { line.contains($0) } }
                    }
                }
            } catch {
                Issue.record("\(kind), \(contract): \(conformanceCase): \(error)")
            }
        }
        for wrong in await fronted.stop() { Issue.record("\(kind), \(contract): \(wrong)") }
    }

    // MARK: Bare clients

    @Test("A CGI program that nothing stands before", arguments: Contract.allCases)
    func cgi(_ contract: Contract) async throws {
        var exclusions = Self.general()
        exclusions.exclude("The end of a CGI program looks the same however it came.", Self.withoutStatus)
        exclusions.exclude("A process serves one request.", Self.once)
        exclusions.exclude("No server is in front that would add fields.", "w27/date")
        try await runBare([Paths.launcher, "--cgi", Applications.path(contract.library)], contract, exclusions)
    }

    @Test("A FastCGI server that cgi-fcgi asks", arguments: Contract.allCases)
    func cgiFcgi(_ contract: Contract) async throws {
        var exclusions = Self.general()
        exclusions.exclude("cgi-fcgi knows no body without a length.", Self.withoutLength)
        exclusions.exclude("cgi-fcgi ends as if the response were complete.", Self.withoutStatus)
        exclusions.exclude("cgi-fcgi does not notice that nobody reads what it writes.", "w32/waits")
        exclusions.exclude("No server is in front that would add fields.", "w27/date")
        let socket = "\(Paths.temporary)/bare-\(UUID().uuidString.prefix(8)).sock"
        let launched = try Launched(
            contract.library, ["--fastcgi", "unix:\(socket)", "--threads", "16"], address: socket)
        try await runBare(["/usr/bin/cgi-fcgi", "-bind", "-connect", socket], contract, exclusions) {
            launched.command.errors.split(separator: "\n").map { String($0) }
        }
        #expect(try launched.stop().status == 0)
    }

    private func runBare(
        _ command: [String], _ contract: Contract, _ exclusions: Exclusions, log: () -> [String] = { [] }
    ) async throws {
        let journal = "\(Paths.temporary)/journal-\(UUID().uuidString.prefix(8))"
        try makeDirectory(journal)
        let environment = contract.variables.merging(["SWIFTGI_TEST_JOURNAL": journal]) { $1 }
        let client = ProgramConformanceClient(command, environment: environment)
        for conformanceCase in contract.cases where exclusions.permit(conformanceCase) {
            let before = (client.errors.count, log().count)
            do {
                try await run(conformanceCase, over: client)
                try await checkLog(conformanceCase) {
                    Array(client.errors.dropFirst(before.0)) + log().dropFirst(before.1)
                }
            } catch {
                Issue.record("\(command[0]), \(contract): \(conformanceCase): \(error)")
            }
        }
    }

    /// That pieces come one by one is seen only by a client that is there in time, as it may not be on a
    /// busy machine; once is enough, since a server that holds them always does.
    private func run(_ conformanceCase: ConformanceCase, over client: some ConformanceClient) async throws {
        for _ in 0..<(conformanceCase.rule == "W29" ? 9 : 0) {
            if (try? await conformanceCase.run(over: client)) != nil { return }
        }
        try await conformanceCase.run(over: client)
    }

    /// The last lines may come after the last byte.
    private func checkLog(_ conformanceCase: ConformanceCase, _ lines: () -> [String]) async throws {
        _ = await comesToHold(for: 3) { (try? conformanceCase.checkLog(lines())) != nil }
        try conformanceCase.checkLog(lines())
    }
}
