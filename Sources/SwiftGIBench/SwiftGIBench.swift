import ArgumentParser
import Foundation
import Glibc

/// Measures SwiftGI beside its peers; what `make bench` runs.
@main
struct SwiftGIBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "SwiftGIBench",
        abstract: "Measures SwiftGI beside its peers, each in an httpd of its own on this machine.",
        subcommands: [Compare.self, BulkClient.self], defaultSubcommand: Compare.self)
}

struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "compare", abstract: "Measures and reports.")

    @Flag(help: "Less of everything, in less than three minutes.")
    var quick = false

    @Option(help: "Scenarios or curves, separated by commas; all by default.")
    var scenario: String?

    @Option(help: "Contestants, separated by commas; all by default. The handler in C always takes part.")
    var contestant: String?

    @Option(help: "How many rounds; the result is their median.")
    var rounds: Int?

    @Option(help: "How long a measurement takes, in seconds.")
    var seconds: Double?

    @Option(help: "Where the report goes.")
    var directory = ".build/bench"

    func validate() throws {
        let scenarios = Scenario.all.map(\.name) + Set(Scenario.all.compactMap(\.group)) + Curve.all.map(\.name)
        for name in Self.names(scenario) where !scenarios.contains(name) {
            throw ValidationError("no scenario \(name); there are \(scenarios.joined(separator: ", "))")
        }
        if let rounds, rounds < 1 { throw ValidationError("--rounds has to be 1 or more") }
        if let seconds, seconds < 0.1 { throw ValidationError("--seconds has to be 0.1 or more") }
    }

    private static func names(_ list: String?) -> [String] {
        list?.split(separator: ",").map(String.init) ?? []
    }

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        let site = try Site()
        defer {
            if ProcessInfo.processInfo.environment["SWIFTGI_KEEP"] == nil {
                site.remove()
            } else {
                say("Configurations and logs are in \(site.root)")
            }
        }
        // Servers go with us: see Spawned. What is left is the directory.
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { _ in Interruption.isWanted = true }
        }
        let known = Contestants.all(site).map(\.name)
        for name in Self.names(contestant) where !known.contains(name) {
            throw ValidationError("no contestant \(name); there are \(known.joined(separator: ", "))")
        }
        let bench = Bench(
            site: site, isQuick: quick, rounds: rounds ?? (quick ? 1 : 5), seconds: seconds ?? (quick ? 0.15 : 0.4),
            scenarios: Set(Self.names(scenario)), contestants: Set(Self.names(contestant)))
        let begin = Clock.now
        var isInterrupted = false
        var failure: Failure?
        do {
            try bench.run()
        } catch is Interruption {
            isInterrupted = true
        } catch let error as Failure {
            // What was measured until then is not lost.
            failure = error
        }
        let report = bench.report
        try report.write(to: directory)
        say(report.targetTable(isWhole: scenario == nil && contestant == nil && !isInterrupted))
        if let disturbance = report.disturbance { say(disturbance) }
        let what = isInterrupted ? "Interrupted; what was measured until then is" : "Report, details and charts are"
        say("\(what) in \(directory); it took \(Int(Clock.now - begin)) s")
        if let failure { throw failure }
        if isInterrupted { throw ExitCode(130) }
    }
}

/// Somebody wants to stop.
struct Interruption: Error {
    nonisolated(unsafe) static var isWanted = false

    static func check() throws {
        if isWanted { throw Interruption() }
    }
}

/// Prints a line at once, also into a file.
func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
