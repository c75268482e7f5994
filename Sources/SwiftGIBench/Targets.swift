import Foundation

/// What SwiftGI is to reach, as ratios of one run.
private struct Target: Sendable {
    let name: String
    let least: Double
    /// Whether the value is to be at most that.
    var isMost = false
    let value: @Sendable (Report) -> Double?
}

extension Report {
    /// The median of what a contestant's measurements are of another's, round by round.
    private func ratio(
        _ scenario: String, _ contestant: String, of other: String = Contestants.limit,
        _ value: (Sample) -> Double = { $0.throughput }
    ) -> Double? {
        guard let own = samples[scenario]?[contestant], let base = samples[scenario]?[other], !own.isEmpty,
            !base.isEmpty
        else { return nil }
        return zip(own, base).map { value($0) / max(value($1), .leastNonzeroMagnitude) }.median
    }

    private func processorRatio(_ scenario: String, _ contestant: String, of other: String) -> Double? {
        ratio(scenario, contestant, of: other) { $0.processor }
    }

    /// The least of embedded mode's ratios to some others, over all scenarios of servers where both have
    /// figures. Where a handler waits it is the async contract's, for which waiting is made.
    private func leastLead(over others: [String]) -> Double? {
        Scenario.all.filter { scenario in
            guard case .load = scenario.kind else { return false }
            return true
        }.flatMap { scenario in
            let own = scenario.name == "wait" ? "swiftgi-async" : "swiftgi"
            return others.compactMap { ratio(scenario.name, own, of: $0) }
        }.min()
    }

    /// How many times as much memory the one of some others has that has the least.
    private func memoryLead(over others: [String]) -> Double? {
        others.compactMap { ratio("memory", "swiftgi", of: $0) { 1 / $0.memory } }.min()
    }

    private func flatness(_ contestant: String) -> Double? {
        let line = line("connections", contestant)
        guard let few = line.first(where: { $0.point == 16 })?.processor,
            let many = line.first(where: { $0.point == 1000 })?.processor
        else { return nil }
        return many / few
    }

    private var executor: Row? { rows(of: "executor").first { $0.contestant == Bench.executor } }

    /// What `streams` has measured, if there were as many as the targets are about.
    private var streams: [String: Double]? {
        let more = rows(of: "streams").first { $0.contestant == Contestants.embeddedStreams.name }?.more
        return more?["streams"] == Double(Bench.streams) ? more : nil
    }

    /// The same through a process group.
    private var daemonStreams: [String: Double]? {
        let more = rows(of: "streams").first { $0.contestant == "swiftgi-daemon-async" }?.more
        return more?["streams"] == Double(Bench.daemonStreams) ? more : nil
    }

    /// What a process group adds to the median at one connection, in microseconds.
    private var addedLatency: Double? {
        func median(_ contestant: String) -> Double? { rows(of: "c1").first { $0.contestant == contestant }?.p50 }
        guard let daemon = median("swiftgi-daemon"), let embedded = median("swiftgi") else { return nil }
        return daemon - embedded
    }

    /// What httpd forwards to.
    private static let forwarding = [
        "fcgi-c", "mod_fcgid", "scgi-c", "uwsgi", "nginx", "php-fpm", "hummingbird", "hummingbird-tcp",
    ]
    private static let scripting = ["mod_lua", "mod_perl", "mod_php", "php-fpm"]

    private static let targets: [Target] = [
        Target(name: "hello, embedded: throughput of C's", least: 0.95) { $0.ratio("hello", "swiftgi") },
        Target(name: "hello, embedded: CPU of C's", least: 1.05, isMost: true) {
            $0.processorRatio("hello", "swiftgi", of: Contestants.limit)
        },
        Target(name: "hello, async: throughput of C's", least: 0.90) { $0.ratio("hello", "swiftgi-async") },
        Target(name: "hello, async: throughput of the gateway contract's", least: 0.93) {
            $0.ratio("hello", "swiftgi-async", of: "swiftgi")
        },
        Target(name: "environ, embedded: throughput of C's", least: 0.85) { $0.ratio("environ", "swiftgi") },
        Target(name: "hello, daemon: throughput of C's", least: 0.75) { $0.ratio("hello", "swiftgi-daemon") },
        Target(name: "hello, daemon: of the best forwarding peer's", least: 1.25) { report in
            forwarding.compactMap { report.ratio("hello", "swiftgi-daemon", of: $0) }.min()
        },
        Target(name: "hello, daemon: of mod_wsgi daemon's", least: 2) {
            $0.ratio("hello", "swiftgi-daemon", of: "mod_wsgi-daemon")
        },
        Target(name: "hello, daemon: of libfcgi in C behind mod_proxy_fcgi", least: 1.25) {
            $0.ratio("hello", "swiftgi-daemon", of: "fcgi-c")
        },
        Target(name: "hello, daemon: µs that it adds to embedded's median at one connection", least: 40, isMost: true) {
            $0.addedLatency
        },
        Target(name: "1,000 streams, daemon: events that arrived", least: 1) { report in
            report.daemonStreams.flatMap { row in
                row["events"].flatMap { events in row["events_expected"].map { events / $0 } }
            }
        },
        Target(name: "1,000 streams, daemon: hello's median in µs", least: 5000, isMost: true) {
            $0.daemonStreams?["hello_busy_p50_us"]
        },
        Target(name: "hello, embedded: of mod_wsgi embedded's", least: 2.5) {
            $0.ratio("hello", "swiftgi", of: "mod_wsgi")
        },
        Target(name: "embedded: least lead over mod_lua, mod_perl, PHP", least: 1) { $0.leastLead(over: scripting) },
        Target(name: "cold start: least lead over mod_lua, mod_perl, PHP", least: 1) { report in
            scripting.compactMap { report.ratio("cold", "swiftgi", of: $0) }.min()
        },
        Target(name: "memory: least lead over mod_lua, mod_perl, PHP", least: 1) { $0.memoryLead(over: scripting) },
        Target(name: "file of 100 MiB, embedded: of a static file's", least: 0.95) {
            $0.ratio("file", "swiftgi", of: "static")
        },
        Target(name: "file of 100 MiB, daemon: of a static file's", least: 0.95) {
            $0.ratio("file", "swiftgi-daemon", of: "static")
        },
        Target(name: "hello, Hummingbird embedded: of it behind mod_proxy_http, Unix socket", least: 1.4) {
            $0.ratio("hello", "hummingbird-embedded", of: "hummingbird")
        },
        Target(name: "hello, Hummingbird embedded: of it behind mod_proxy_http, TCP", least: 1.4) {
            $0.ratio("hello", "hummingbird-embedded", of: "hummingbird-tcp")
        },
        Target(name: "json, Hummingbird embedded: of it behind mod_proxy_http, Unix socket", least: 1.4) {
            $0.ratio("json", "hummingbird-embedded", of: "hummingbird")
        },
        Target(name: "1 MiB down, embedded: of C's", least: 0.9) { $0.ratio("down", "swiftgi") },
        Target(name: "1 MiB down, daemon: of C's", least: 0.9) { $0.ratio("down", "swiftgi-daemon") },
        Target(name: "CPU at 1,000 connections of that at 16, embedded", least: 1.3, isMost: true) {
            $0.flatness("swiftgi")
        },
        Target(name: "CPU at 1,000 connections of that at 16, async", least: 1.3, isMost: true) {
            $0.flatness("swiftgi-async")
        },
        Target(name: "CPU at 1,000 connections of that at 16, daemon", least: 1.3, isMost: true) {
            $0.flatness("swiftgi-daemon")
        },
        Target(name: "FastCGI hello, nginx: throughput of libfcgi's", least: 0.95) {
            $0.ratio("fastcgi-hello", "swiftgi-nginx", of: "fcgi-c-nginx")
        },
        Target(name: "FastCGI hello, mod_proxy_fcgi: throughput of libfcgi's", least: 0.95) {
            $0.ratio("fastcgi-hello", "swiftgi-fcgi", of: "fcgi-c")
        },
        Target(name: "FastCGI 100 KiB, nginx: throughput of libfcgi's", least: 0.95) {
            $0.ratio("fastcgi-100k", "swiftgi-nginx", of: "fcgi-c-nginx")
        },
        Target(name: "FastCGI 100 KiB, mod_proxy_fcgi: throughput of libfcgi's", least: 0.95) {
            $0.ratio("fastcgi-100k", "swiftgi-fcgi", of: "fcgi-c")
        },
        Target(name: "executor by itself: µs", least: 1.5, isMost: true) { $0.executor?.processor },
        Target(name: "executor by itself: allocations", least: 12, isMost: true) { $0.executor?.more["allocations"] },
        Target(name: "9,500 streams: events that arrived", least: 1) { report in
            report.streams.flatMap { row in
                row["events"].flatMap { events in row["events_expected"].map { events / $0 } }
            }
        },
        Target(name: "9,500 streams: KiB for each", least: 48, isMost: true) { $0.streams?["connection_kib"] },
        Target(name: "9,500 streams: hello's median of an idle server's", least: 1.5, isMost: true) { report in
            report.streams.flatMap { row in
                row["hello_busy_p50_us"].flatMap { busy in row["hello_idle_p50_us"].map { busy / max(1, $0) } }
            }
        },
    ]

    /// Each target that can be judged by what was measured.
    ///
    /// - Parameter isWhole: Whether everything was to be measured: then those that can't are named.
    func targetTable(isWhole: Bool) -> String {
        var lines: [String] = []
        for target in Self.targets {
            guard let value = target.value(self) else {
                if isWhole { lines.append("  absent \(target.name)") }
                continue
            }
            let holds = target.isMost ? value <= target.least : value >= target.least
            let limit = "\(target.isMost ? "at most" : "at least") \(target.least)"
            lines.append("  \(holds ? "holds " : "MISSED") \(target.name): \(String(format: "%.3f", value)), \(limit)")
        }
        return lines.isEmpty ? "" : "\nTargets\n" + lines.joined(separator: "\n") + "\n"
    }
}
