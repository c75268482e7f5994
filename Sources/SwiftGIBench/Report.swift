import Foundation

/// What was measured, as a table, as JSON and as charts.
struct Report {
    let machine: Machine
    let rounds: Int
    let seconds: Double
    /// By scenario and contestant, a sample for each round.
    private(set) var samples: [String: [String: [Sample]]] = [:]
    /// By curve, point and contestant.
    private var growth: [String: [Int: [String: [Sample]]]] = [:]
    /// Who does not exist, and why.
    var absent: [String: String] = [:]
    /// By scenario and contestant: why there is no figure.
    var failures: [String: [String: String]] = [:]
    /// By scenario and contestant: what is to be known beside the figure.
    var remarks: [String: [String: String]] = [:]

    init(machine: Machine, rounds: Int, seconds: Double) {
        self.machine = machine
        self.rounds = rounds
        self.seconds = seconds
    }

    mutating func add(_ sample: Sample, _ scenario: String, _ contestant: String) {
        samples[scenario, default: [:]][contestant, default: []].append(sample)
        guard remarks[scenario]?[contestant] == nil else { return }
        if sample.loadBusy > 0.97 {
            remarks[scenario, default: [:]][contestant] = "the load generator is the limit"
        } else if sample.closed > 0.01 {
            let percent = text(sample.closed * 100, 0)
            remarks[scenario, default: [:]][contestant] = "a connection closed for \(percent) % of the requests"
        }
    }

    /// Beyond this part of the machine others make a measurement doubtful.
    static let tolerableDisturbance = 0.08

    /// How much of the machine others have used, if that was too much to trust the figures.
    var disturbance: String? {
        let all = samples.values.flatMap { $0.values.flatMap { $0.map(\.disturbance) } }
        let many = all.filter { $0 > Self.tolerableDisturbance }
        guard !many.isEmpty else { return nil }
        return """
            Others used more than \(text(Self.tolerableDisturbance * 100, 0)) % of the machine during \(many.count) of \
            \(all.count) measurements, \(text(many.median * 100, 0)) % in the middle: repeat it on a quiet machine.
            """
    }

    mutating func drop(_ scenario: String, _ contestant: String) { samples[scenario]?[contestant] = nil }

    mutating func add(_ sample: Sample, _ curve: String, _ point: Int, _ contestant: String) {
        growth[curve, default: [:]][point, default: [:]][contestant, default: []].append(sample)
    }

    // MARK: Figures

    /// One line of the report.
    struct Row: Encodable {
        let scenario: String
        let contestant: String
        /// Requests per second.
        let throughput: Double
        /// Throughput as a part of the handler in C's, round by round.
        let ratio: Double?
        let p50: Double
        let p99: Double
        /// Processor time of all server processes for each request, in microseconds.
        let processor: Double
        /// Memory of all server processes for each process of httpd, in KiB; shared pages in parts.
        let memory: Double
        let rounds: Int
        /// Half of the distance between the best and the worst round, as a part of the median.
        let spread: Double
        /// What only this scenario has, by name; beside the others in the report.
        let more: [String: Double]

        private struct Key: CodingKey {
            let stringValue: String
            var intValue: Int? { nil }

            init(_ name: String) { stringValue = name }
            init?(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(scenario, forKey: Key("scenario"))
            try container.encode(contestant, forKey: Key("contestant"))
            try container.encode(throughput, forKey: Key("throughput"))
            try container.encodeIfPresent(ratio, forKey: Key("ratio"))
            try container.encode(p50, forKey: Key("p50_us"))
            try container.encode(p99, forKey: Key("p99_us"))
            try container.encode(processor, forKey: Key("cpu_us"))
            try container.encode(memory, forKey: Key("rss_kib"))
            try container.encode(rounds, forKey: Key("rounds"))
            for (name, value) in more { try container.encode(value, forKey: Key(name)) }
        }
    }

    private static func ratio(_ samples: [Sample], _ limit: [Sample]?) -> Double? {
        guard let limit, !limit.isEmpty else { return nil }
        return zip(samples, limit).map { $0.throughput / $1.throughput }.median
    }

    private func row(_ scenario: String, _ contestant: String, _ samples: [Sample], _ limit: [Sample]?) -> Row {
        Row(
            scenario: scenario, contestant: contestant, throughput: rounded(samples.map(\.throughput).median, 1),
            ratio: Self.ratio(samples, limit).map { rounded($0, 3) }, p50: rounded(samples.map(\.p50).median, 1),
            p99: rounded(samples.map(\.p99).median, 1), processor: rounded(samples.map(\.processor).median, 2),
            memory: rounded(samples.map(\.memory).median, 0), rounds: samples.count,
            spread: rounded(samples.map(\.throughput).spread, 4),
            more: Dictionary(
                uniqueKeysWithValues: Set(samples.flatMap(\.more.keys)).map { name in
                    (name, rounded(samples.compactMap { $0.more[name] }.median, 2))
                }))
    }

    /// The contestants of a scenario, the fastest first.
    func rows(of scenario: String) -> [Row] {
        let all = samples[scenario] ?? [:]
        // Without a server there is no handler in C: the gateway contract is what async is compared with.
        let limit = all[Contestants.limit] ?? (scenario == "executor" ? all["swiftgi"] : nil)
        return all.map { row(scenario, $0, $1, $0 == Bench.executor ? nil : limit) }.sorted {
            $0.throughput > $1.throughput
        }
    }

    private func rounded(_ value: Double, _ digits: Int) -> Double {
        let factor = pow(10, Double(digits))
        return (value * factor).rounded() / factor
    }

    /// A curve's points for one contestant: requests per second and processor time.
    func line(_ curve: String, _ contestant: String) -> [(point: Int, throughput: Double, processor: Double)] {
        (growth[curve] ?? [:]).compactMap { point, all in
            guard let samples = all[contestant], !samples.isEmpty else { return nil }
            return (point, samples.map(\.throughput).median, samples.map(\.processor).median)
        }.sorted { $0.point < $1.point }
    }

    // MARK: Tables

    func table(of scenario: Scenario) -> String {
        let lines =
            switch scenario.kind {
            case .executor: executorLines
            case .streams: streamLines
            case .cgi: cgiLines
            case .capacity: capacityLines
            default: loadLines(scenario)
            }
        var result = "\n\(scenario.name): \(scenario.title)\n" + Self.aligned(lines, hasRemarks: true)
        for (name, reason) in (failures[scenario.name] ?? [:]).sorted(by: { $0.key < $1.key }) {
            result += "  \(name): \(reason.prefix(200))\n"
        }
        return result
    }

    private var executorLines: [[String]] {
        var lines = [["", "µs", "±%", "allocations", ""]]
        for row in rows(of: "executor") {
            lines.append([
                row.contestant, text(row.processor, 2), text(row.spread * 100, 1), text(row.more["allocations"], 2),
                remarks["executor"]?[row.contestant] ?? "",
            ])
        }
        return lines
    }

    private var streamLines: [[String]] {
        var lines = [
            ["", "streams", "events", "of", "KiB each", "hello idle µs", "hello busy µs", "CPU µs an event", ""]
        ]
        for row in rows(of: "streams") {
            lines.append([
                row.contestant, text(row.more["streams"], 0), text(row.more["events"], 0),
                text(row.more["events_expected"], 0), text(row.more["connection_kib"], 1),
                text(row.more["hello_idle_p50_us"], 0), text(row.more["hello_busy_p50_us"], 0),
                text(row.processor, 1), remarks["streams"]?[row.contestant] ?? "",
            ])
        }
        return lines
    }

    private var cgiLines: [[String]] {
        var lines = [["", "first byte p50 ms", "p99 ms", "±%", "CPU ms", ""]]
        for row in rows(of: "cgi") {
            lines.append([
                row.contestant, text(row.p50 / 1000, 2), text(row.p99 / 1000, 2), text(row.spread * 100, 1),
                text(row.processor / 1000, 2), remarks["cgi"]?[row.contestant] ?? "",
            ])
        }
        return lines
    }

    private var capacityLines: [[String]] {
        var lines = [["machines x processes x threads", "req/s", "±%", "p50 ms", "CPU µs", "MiB", ""]]
        let rows = rows(of: "capacity")
        for load in Capacity.loads {
            for point in Capacity.points + Capacity.quickPoints {
                guard let row = rows.first(where: { $0.contestant == "\(load.name) \(point)" }),
                    !lines.contains(where: { $0[0] == row.contestant })
                else { continue }
                lines.append([
                    row.contestant, text(row.throughput, 0), text(row.spread * 100, 1), text(row.p50 / 1000, 2),
                    text(row.processor, 1), text(row.more["application_kib"].map { $0 / 1024 }, 1),
                    remarks["capacity"]?[row.contestant] ?? "",
                ])
            }
        }
        return lines
    }

    private func loadLines(_ scenario: Scenario) -> [[String]] {
        let titles = ["", "req/s", "±%", "ratio", "p50 µs", "p99 µs", "CPU µs", "MiB", ""]
        var lines = [titles]
        let digits = scenario.name == "file" || scenario.name == "cold" ? 1 : 0
        for row in rows(of: scenario.name) {
            lines.append([
                row.contestant, text(row.throughput, digits), text(row.spread * 100, 1),
                row.ratio.map { text($0, 3) } ?? "", text(row.p50, row.p50 < 100 ? 1 : 0),
                text(row.p99, row.p99 < 100 ? 1 : 0), text(row.processor, row.processor < 1000 ? 2 : 0),
                row.memory > 0 ? text(row.memory / 1024, 1) : "", remarks[scenario.name]?[row.contestant] ?? "",
            ])
        }
        return lines
    }

    func table(of curve: Curve) -> String {
        let names = Curve.contestants.filter { !line(curve.name, $0).isEmpty }
        var lines = [[curve.unit] + names.flatMap { ["\($0) req/s", "CPU µs"] }]
        for point in (growth[curve.name] ?? [:]).keys.sorted() {
            lines.append(
                ["\(point)"]
                    + names.flatMap { name -> [String] in
                        guard let found = line(curve.name, name).first(where: { $0.point == point }) else {
                            return ["", ""]
                        }
                        return [text(found.throughput, found.throughput < 100 ? 1 : 0), text(found.processor, 2)]
                    })
        }
        return "\n\(curve.name): \(curve.title)\n" + Self.aligned(lines)
    }

    private func text(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

    private func text(_ value: Double?, _ digits: Int) -> String { value.map { text($0, digits) } ?? "" }

    /// Columns: the first to the left, and the last if it has remarks; numbers to the right.
    private static func aligned(_ lines: [[String]], hasRemarks: Bool = false) -> String {
        let count = lines.map(\.count).max() ?? 0
        let widths = (0..<count).map { column in lines.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
        return lines.map { line in
            let cells = line.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 || (hasRemarks && column == count - 1) ? cell + padding : padding + cell
            }
            return "  " + cells.joined(separator: "  ").trimmingTrailingSpaces + "\n"
        }.joined()
    }

    // MARK: Files

    private struct Details: Encodable {
        struct Point: Encodable {
            let curve: String
            let point: Int
            let contestant: String
            let throughput: Double
            let cpu_us: Double
        }
        let machine: Machine
        let rounds: Int
        let seconds: Double
        let absent: [String: String]
        let failures: [String: [String: String]]
        let remarks: [String: [String: String]]
        let spread: [String: [String: Double]]
        let growth: [Point]
    }

    func write(to directory: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let rows = Scenario.all.flatMap { self.rows(of: $0.name) }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try encoder.encode(rows).write(to: URL(filePath: "\(directory)/report.json"))
        let points = Curve.all.flatMap { curve in
            Curve.contestants.flatMap { name in
                line(curve.name, name).map {
                    Details.Point(
                        curve: curve.name, point: $0.point, contestant: name, throughput: rounded($0.throughput, 1),
                        cpu_us: rounded($0.processor, 2))
                }
            }
        }
        var spread: [String: [String: Double]] = [:]
        for row in rows { spread[row.scenario, default: [:]][row.contestant] = row.spread }
        let details = Details(
            machine: machine, rounds: rounds, seconds: seconds, absent: absent, failures: failures, remarks: remarks,
            spread: spread, growth: points)
        try encoder.encode(details).write(to: URL(filePath: "\(directory)/details.json"))
        let charts = Charts(report: self)
        for (name, chart) in [("chart", charts.bars), ("growth", charts.growth)] {
            if let chart {
                try chart.write(toFile: "\(directory)/\(name).svg", atomically: true, encoding: .utf8)
            }
        }
    }
}

/// Where it was measured.
struct Machine: Encodable, CustomStringConvertible {
    let processor: String
    let kernel: String
    let httpd: String
    let serverProcessors: [Int]
    let loadProcessors: [Int]

    static func current(servers: [Int], load: [Int]) -> Machine {
        func read(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
        let model = read("/proc/cpuinfo").split(separator: "\n").first { $0.hasPrefix("model name") }
        let output = "/tmp/swiftgi-bench-version-\(getpid())"
        defer { unlink(output) }
        let version = (try? Spawned.run([Httpd.program, "-v"], output: output)) ?? ""
        return Machine(
            processor: model?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? "?",
            kernel: read("/proc/sys/kernel/osrelease").trimmingCharacters(in: .whitespacesAndNewlines),
            httpd: version.firstMatch(of: /Apache\/[0-9.]+/).map { String($0.output) } ?? "httpd",
            serverProcessors: servers, loadProcessors: load)
    }

    var description: String {
        """
        \(processor), Linux \(kernel), \(httpd); servers on processors \(serverProcessors), \
        load generators on \(loadProcessors)
        """
    }
}

extension String {
    fileprivate var trimmingTrailingSpaces: String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
