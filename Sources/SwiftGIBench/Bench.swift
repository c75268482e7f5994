import Foundation
import Glibc

/// Runs scenarios and curves, round by round, everyone in turn.
final class Bench {
    private let site: Site
    private let isQuick: Bool
    private let rounds: Int
    private let seconds: Double
    private let scenarios: Set<String>
    private let serverProcessors: [Int]
    private let generator: LoadGenerator
    private let contestants: [Contestant]
    private(set) var report: Report
    /// How many measurements may be repeated.
    private var repetitionsLeft: Int

    init(
        site: Site, isQuick: Bool, rounds: Int, seconds: Double, scenarios: Set<String>, contestants names: Set<String>
    ) {
        self.site = site
        self.isQuick = isQuick
        self.rounds = rounds
        self.seconds = seconds
        self.scenarios = scenarios
        repetitionsLeft = isQuick ? 0 : 100
        let processors = Self.processors
        // Load generators have their own, the last ones, so that they don't compete.
        let half = max(1, processors.count / 2)
        serverProcessors = Array(processors.prefix(half))
        let loadProcessors = Array(processors.suffix(half))
        generator = LoadGenerator(site: site, processors: loadProcessors)
        contestants = Contestants.all(site).filter {
            names.isEmpty || names.contains($0.name) || $0.name == Contestants.limit
        }
        report = Report(
            machine: .current(servers: serverProcessors, load: loadProcessors), rounds: rounds, seconds: seconds)
    }

    /// The processors that this process may use.
    private static var processors: [Int] {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
        let ranges = line?.split(separator: ":").last?.split(separator: ",") ?? []
        let processors = ranges.flatMap { range -> [Int] in
            let ends = range.split(separator: "-").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
            guard let first = ends.first, let last = ends.last, first <= last else { return [] }
            return Array(first...last)
        }
        return processors.isEmpty ? [0] : processors
    }

    func run() throws {
        say(report.machine.description)
        for contestant in contestants {
            if let reason = contestant.absence(site) {
                report.absent[contestant.name] = reason
                say("Absent: \(contestant.name) (\(contestant.title)): \(reason)")
            }
        }
        let wanted = Scenario.all.filter {
            scenarios.isEmpty ? !(isQuick && $0.isLong) : $0.isNamed(in: scenarios)
        }
        let curves = Curve.all.filter { scenarios.isEmpty || scenarios.contains($0.name) }
        var servers: [RunningServer] = []
        var setup: Setup?
        for scenario in wanted {
            if case .executor = scenario.kind {
                try runExecutor(scenario)
            } else if case .streams = scenario.kind {
                // Nobody else, not even one who only waits.
                servers = []
                setup = nil
                try runStreams(scenario)
            } else if case .coldStart = scenario.kind {
                servers = []
                setup = nil
                try runColdStart(scenario)
            } else if case .cgi = scenario.kind {
                try runCGI(scenario)
            } else if case .capacity = scenario.kind {
                servers = []
                setup = nil
                try runCapacity(scenario)
            } else {
                if setup != scenario.setup {
                    servers = []
                    // Whoever takes part in any of those that are set up like that.
                    let alike = wanted.filter { $0.setup == scenario.setup && $0.isOfServers }
                    let named = alike.compactMap(\.only)
                    let names: Set<String>? = named.count == alike.count ? Set(named.joined()) : nil
                    servers = try start(scenario.setup, for: scenario, names)
                    setup = scenario.setup
                }
                try run(scenario, servers.filter { takesPart($0.contestant, scenario.only) })
            }
            say(report.table(of: scenario))
        }
        servers = []
        if !curves.isEmpty { try run(curves) }
    }

    private func takesPart(_ contestant: Contestant, _ names: Set<String>?) -> Bool {
        names?.contains(contestant.name) ?? true || contestant.name == Contestants.limit
    }

    /// Starts everyone who is there, or those of them who are named.
    private func start(_ setup: Setup, for scenario: Scenario, _ names: Set<String>?) throws -> [RunningServer] {
        var servers: [RunningServer] = []
        for contestant in contestants where report.absent[contestant.name] == nil && takesPart(contestant, names) {
            if setup.hasTLS, contestant.without[scenario.name] != nil { continue }
            try Interruption.check()
            do {
                let server = try RunningServer(contestant, setup, site, processors: serverProcessors)
                try server.start()
                servers.append(server)
            } catch let failure as Failure {
                note(scenario, contestant, failure)
            }
        }
        return servers
    }

    private func note(_ scenario: Scenario, _ contestant: Contestant, _ failure: Failure) {
        report.failures[scenario.name, default: [:]][contestant.name] = failure.description
        say("  \(scenario.name), \(contestant.name): \(failure)")
    }

    // MARK: Scenarios

    private func run(_ scenario: Scenario, _ servers: [RunningServer]) throws {
        let request: Request
        let load: Load
        switch scenario.kind {
        case .load(let itsRequest, let itsLoad): (request, load) = (itsRequest, itsLoad)
        default: (request, load) = (Request(path: "/hello"), .wrk(connections: 64))
        }
        let begin = Clock.now
        defer { say("\(scenario.name) took \(Int(Clock.now - begin)) s") }
        var left = try check(scenario, request, servers)
        let time = max(seconds, isQuick ? scenario.leastSeconds / 2 : scenario.leastSeconds)
        for round in 0...rounds {
            // The first is for caches, pools and just-in-time compilers.
            let isWarmUp = round == 0
            if !left.isEmpty { left.append(left.removeFirst()) }
            for server in left {
                try Interruption.check()
                do {
                    if isWarmUp {
                        _ = try measure(server, request, load, seconds: min(0.3, time / 4))
                    } else {
                        let sample = try measure(server, request, load, seconds: time)
                        report.add(sample, scenario.name, server.contestant.name)
                    }
                } catch let failure as Failure {
                    note(scenario, server.contestant, failure)
                    report.drop(scenario.name, server.contestant.name)
                    left.removeAll { $0 === server }
                }
            }
        }
    }

    /// Measures once more what somebody else has disturbed, unless that goes on and on.
    private func measure(
        _ server: RunningServer, _ request: Request, _ load: Load, seconds: Double
    ) throws -> Sample {
        let sample: Sample
        do {
            sample = try generator.measure(server, request, load, seconds: seconds)
        } catch is NoAnswer {
            // On a busy machine that happens.
            do {
                return try generator.measure(server, request, load, seconds: 4 * seconds)
            } catch is NoAnswer {
                throw Failure("no request was answered")
            }
        }
        guard sample.disturbance > Report.tolerableDisturbance, repetitionsLeft > 0 else { return sample }
        repetitionsLeft -= 1
        let other = try generator.measure(server, request, load, seconds: seconds)
        return other.disturbance < sample.disturbance ? other : sample
    }

    /// - Returns: Who answers as the handler in C does.
    private func check(_ scenario: Scenario, _ request: Request, _ servers: [RunningServer]) throws -> [RunningServer] {
        let expected = Check.expected(request.path)
        let limit = servers.first { $0.contestant.name == Contestants.limit }
        let reference = try limit.map { try Check.answer($0, request, expected: expected, reference: nil) }
        return servers.filter { server in
            if let reason = server.contestant.without[scenario.name] {
                report.failures[scenario.name, default: [:]][server.contestant.name] = "not offered: \(reason)"
                return false
            }
            do {
                let response = try Check.answer(server, request, expected: expected, reference: reference)
                if let reference, response.pieces != reference.pieces {
                    report.remarks[scenario.name, default: [:]][server.contestant.name] =
                        "in \(response.pieces) chunks instead of \(reference.pieces)"
                }
                return true
            } catch {
                note(scenario, server.contestant, error as? Failure ?? Failure("\(error)"))
                return false
            }
        }
    }

    private func runColdStart(_ scenario: Scenario) throws {
        var left = contestants.filter { report.absent[$0.name] == nil }
        for round in 0...min(rounds, 3) {
            for contestant in left {
                try Interruption.check()
                do {
                    let server = try RunningServer(contestant, Setup(), site, processors: serverProcessors)
                    let seconds = try server.start()
                    if round == 0 {
                        let request = Request(path: "/hello")
                        _ = try Check.answer(
                            server, request, expected: Check.expected(request.path), reference: nil)
                    }
                    let tree = server.tree
                    let sample = Sample(
                        throughput: 1 / seconds, p50: seconds * 1e6, p99: seconds * 1e6,
                        processor: tree.processorTime * 1e6, memory: Double(tree.memory))
                    server.stop()
                    // The first start is for the page cache.
                    if round > 0 { report.add(sample, scenario.name, contestant.name) }
                } catch let failure as Failure {
                    note(scenario, contestant, failure)
                    report.drop(scenario.name, contestant.name)
                    left.removeAll { $0.name == contestant.name }
                }
            }
        }
    }

    /// What an executor by itself is called in `executor`.
    static let executor = "swiftgi-executor"

    /// What the two contracts cost on the same response, with a server that does nothing, and a request's
    /// executor by itself: what a handler that makes, uses and drops one costs more than one that does not.
    private func runExecutor(_ scenario: Scenario) throws {
        let applications = [
            ("swiftgi", "libHello.so"), ("swiftgi-async", "libAsyncHello.so"), (Self.executor, "libExecutorCost.so"),
        ]
        var left = applications.filter { report.absent[$0.0] == nil }
        for _ in 0..<max(rounds, 3) {
            var gateway: (time: Double, allocations: Double)?
            for (name, library) in left {
                try Interruption.check()
                do {
                    guard access("\(site.peers)/\(library)", F_OK) == 0 else {
                        throw Failure("\(library) is not there")
                    }
                    var cost = try cost(of: library)
                    if name == "swiftgi" { gateway = cost }
                    if name == Self.executor {
                        guard let gateway else { throw Failure("there is nothing to compare it with") }
                        cost.time = max(0.001, cost.time - gateway.time)
                        cost.allocations -= gateway.allocations
                        report.remarks[scenario.name, default: [:]][name] = "more than swiftgi"
                    }
                    report.add(
                        Sample(
                            throughput: 1e6 / cost.time, p50: cost.time, p99: cost.time, processor: cost.time,
                            memory: 0, more: ["allocations": cost.allocations]),
                        scenario.name, name)
                } catch let failure as Failure {
                    report.failures[scenario.name, default: [:]][name] = failure.description
                    report.drop(scenario.name, name)
                    left.removeAll { $0.0 == name }
                }
            }
        }
    }

    /// - Returns: Microseconds and allocations of a request inside a library.
    private func cost(of library: String) throws -> (time: Double, allocations: Double) {
        let command = try Spawned(
            ["\(site.peers)/cost", "\(site.peers)/\(library)", isQuick ? "200000" : "1000000"],
            output: site.work("cost"), processors: serverProcessors)
        let status = command.wait(for: 60)
        let found = command.output.firstMatch(of: /([0-9.]+) allocations, ([0-9.]+) ns/)
        guard status == 0, let found, let allocations = Double(found.1), let time = Double(found.2) else {
            throw Failure("cost: status \(status): \(command.output)")
        }
        return (time / 1000, allocations)
    }

    private func runCGI(_ scenario: Scenario) throws {
        for (name, command) in CGIStart.programs(site) {
            do {
                let start = CGIStart(command, site, processors: serverProcessors)
                for round in 0...rounds {
                    try Interruption.check()
                    let sample = try start.measure(count: isQuick ? 20 : 100)
                    // The first is for the page cache.
                    if round > 0 { report.add(sample, scenario.name, name) }
                }
            } catch let failure as Failure {
                report.failures[scenario.name, default: [:]][name] = failure.description
                report.drop(scenario.name, name)
            }
        }
        // Behind httpd, a request after the other.
        let contestant = Contestants.cgi
        if let reason = contestant.absence(site) {
            report.failures[scenario.name, default: [:]][contestant.name] = reason
            return
        }
        do {
            let server = try RunningServer(contestant, Setup(), site, processors: serverProcessors)
            try server.start()
            _ = try Check.answer(server, Request(path: "/hello"), expected: Site.hello, reference: nil)
            for _ in 0..<rounds {
                try Interruption.check()
                let sample = try measure(server, Request(path: "/hello"), .wrk(connections: 1), seconds: seconds)
                report.add(sample, scenario.name, contestant.name)
            }
        } catch let failure as Failure {
            note(scenario, contestant, failure)
        }
    }

    // MARK: Capacity

    private func runCapacity(_ scenario: Scenario) throws {
        for load in Capacity.loads {
            for point in isQuick ? Capacity.quickPoints : Capacity.points {
                let contestant = Contestants.capacity(point)
                if let reason = contestant.absence(site) {
                    report.failures[scenario.name, default: [:]][load.name] = reason
                    break
                }
                do {
                    try Interruption.check()
                    let server = try RunningServer(contestant, Setup(), site, processors: serverProcessors)
                    try server.start()
                    for _ in 0..<(isQuick ? 1 : min(rounds, 3)) {
                        var sample = try measure(server, load.request, load.load, seconds: max(seconds, 1))
                        sample.more = ["application_kib": Double(Capacity.memory(server))]
                        report.add(sample, scenario.name, "\(load.name) \(point)")
                    }
                } catch let failure as Failure {
                    note(scenario, contestant, failure)
                }
            }
        }
    }

    // MARK: Streams

    /// How many streams the targets are about.
    static let streams = 9500
    static let daemonStreams = 1000

    private func runStreams(_ scenario: Scenario) throws {
        for contestant in Contestants.streams where contestants.contains(where: { $0.name == contestant.name }) {
            try runStreams(scenario, contestant)
        }
    }

    private func runStreams(_ scenario: Scenario, _ contestant: Contestant) throws {
        if let reason = contestant.absence(site) {
            report.failures[scenario.name, default: [:]][contestant.name] = reason
            return
        }
        let descriptors = Descriptors(wanted: 20_000)
        defer { descriptors.restore() }
        do {
            let isEmbedded = contestant.name == Contestants.embeddedStreams.name
            let wanted = isEmbedded ? (isQuick ? 1000 : Self.streams) : Self.daemonStreams
            // Two or three each, and some for the rest.
            let count = min(wanted, max(0, descriptors.limit - 1000) / (isEmbedded ? 2 : 3))
            guard count > 0 else { throw Failure("a limit of \(descriptors.limit) descriptors is too low") }
            var remark: String?
            if count < wanted {
                remark = "fewer than \(wanted) streams: the limit of descriptors is \(descriptors.limit)"
            }
            // Both may use all processors: threads are what there are few of.
            let server = try RunningServer(contestant, scenario.setup, site, processors: [])
            try server.start()
            let sample = try StreamClient(site: site).measure(server, streams: count, events: isQuick ? 5 : 30)
            if let events = sample.more["events"], let expected = sample.more["events_expected"], events < expected {
                remark = "\(Int(expected - events)) events are missing"
            }
            if let remark { report.remarks[scenario.name, default: [:]][contestant.name] = remark }
            report.add(sample, scenario.name, contestant.name)
        } catch let failure as Failure {
            note(scenario, contestant, failure)
        }
    }

    // MARK: Curves

    /// - Returns: Who answers as the first of them does.
    private func check(_ curve: Curve, _ point: Int, _ request: Request, _ servers: [RunningServer]) -> [RunningServer]
    {
        var reference: HTTPProbe.Response?
        return servers.filter { server in
            if curve.without.contains(server.contestant.name) { return false }
            do {
                let expected = reference == nil ? Check.expected(request.path) : nil
                let answer = try Check.answer(server, request, expected: expected, reference: reference)
                reference = reference ?? answer
                return true
            } catch {
                say("  \(curve.name) \(point), \(server.contestant.name): \(error)")
                return false
            }
        }
    }

    private func run(_ curves: [Curve]) throws {
        let names = Curve.contestants
        var servers: [RunningServer] = []
        for contestant in contestants where names.contains(contestant.name) && report.absent[contestant.name] == nil {
            do {
                let server = try RunningServer(contestant, Setup(), site, processors: serverProcessors)
                try server.start()
                servers.append(server)
            } catch let failure as Failure {
                say("  curves, \(contestant.name): \(failure)")
            }
        }
        for curve in curves {
            for point in isQuick ? curve.quickPoints : curve.points {
                let (request, load) = curve.measure(point)
                let takingPart = check(curve, point, request, servers)
                for _ in 0..<(isQuick ? 1 : min(rounds, 3)) {
                    for server in takingPart {
                        try Interruption.check()
                        do {
                            let sample = try measure(server, request, load, seconds: min(seconds, 0.7))
                            report.add(sample, curve.name, point, server.contestant.name)
                        } catch let failure as Failure {
                            say("  \(curve.name) \(point), \(server.contestant.name): \(failure)")
                        }
                    }
                }
            }
            say(report.table(of: curve))
        }
    }
}
