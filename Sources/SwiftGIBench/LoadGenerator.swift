import Foundation
import Glibc

/// What one measurement of one contestant gave.
struct Sample {
    /// Requests per second.
    var throughput: Double
    var p50: Double
    var p99: Double
    /// Processor time of all server processes for each request, in microseconds.
    var processor: Double
    /// KiB of all server processes, for each of httpd's.
    var memory: Double
    /// How busy the load generator was: at 1 it measures itself.
    var loadBusy: Double = 0
    /// Connections that the server closed before a request, as a part of the requests: httpd does so with
    /// idle ones when all its threads are busy, and the client opens another.
    var closed: Double = 0
    /// The part of the machine that others used meanwhile: what was measured is then not only ours.
    var disturbance: Double = 0
    /// What only this scenario measures, by its name in the report.
    var more: [String: Double] = [:]
}

/// Who asks.
enum Load: Sendable {
    case wrk(connections: Int)
    case h2load(connections: Int, streams: Int)
    case bulk(connections: Int)
}

/// One question, asked over and over.
struct Request: Sendable {
    var path: String
    var upload = 0
    /// Fields beside those of every client.
    var extraFields = 0
}

/// No request was answered in the time that there was.
struct NoAnswer: Error {}

/// Runs load generators and watches the servers meanwhile.
struct LoadGenerator {
    let site: Site
    let processors: [Int]

    func measure(_ server: RunningServer, _ request: Request, _ load: Load, seconds: Double) throws -> Sample {
        let before = server.tree.processorTime
        let others = MachineUse()
        let begin = Clock.now
        let generator = try start(server, request, load, seconds: seconds)
        if case .wrk = load {
            // It takes whole seconds only; at an interrupt it ends well, once it listens.
            _ = holdsEventually(for: 10, every: 0.001) { generator.hasEnded || generator.catches(SIGINT) }
            Clock.sleep(seconds)
            // Again, should the first have come before it slept.
            _ = holdsEventually(for: 30, every: 0.2) {
                generator.signal(SIGINT)
                return generator.wait(upTo: 0.2)
            }
        }
        let status = generator.wait(for: seconds + 40)
        let duration = Clock.now - begin
        let after = server.tree
        let used = after.processorTime - before
        guard status == 0 else { throw Failure("load generator: status \(status): \(generator.output.suffix(300))") }
        var result = try result(generator.output, load)
        result.disturbance = others.share(besides: used + generator.processorTime, in: duration)
        result.processor = used * 1e6 / max(1, result.processor)
        result.memory = Double(after.memory) / Double(server.setup.children)
        result.loadBusy = generator.processorTime / duration / Double(processors.count)
        return result
    }

    private func start(
        _ server: RunningServer, _ request: Request, _ load: Load, seconds: Double
    ) throws -> Spawned {
        var fields = HTTPProbe.fields
        for number in 0..<request.extraFields { fields.append(("X-Field-\(number)", "value \(number) of a field")) }
        // HTTP/2 has its own place for the host.
        if case .h2load = load { fields[0].0 = ":authority" }
        let headers = fields.flatMap { ["-H", "\($0.0): \($0.1)"] }
        let command: [String]
        switch load {
        case .wrk(let connections):
            let script = """
                \(request.upload > 0 ? "wrk.method = 'POST' wrk.body = string.rep('x', \(request.upload))" : "")
                done = function(summary, latency, requests)
                    local e = summary.errors
                    io.write(string.format("BENCH %d %d %d %d %d %d\\n", summary.requests, summary.duration,
                        latency:percentile(50), latency:percentile(99),
                        e.connect + e.write + e.timeout + e.status, e.read))
                end

                """
            try script.write(toFile: site.work("wrk.lua"), atomically: false, encoding: .utf8)
            let threads = min(processors.count, connections)
            command =
                ["wrk", "-t\(threads)", "-c\(connections)", "-d1h", "--timeout", "30s", "-s", site.work("wrk.lua")]
                + headers + ["http://127.0.0.1:\(server.port)\(request.path)"]
        case .h2load(let connections, let streams):
            unlink(site.work("h2load.log"))
            command =
                [
                    "h2load", "-c\(connections)", "-m\(streams)", "-t\(min(processors.count, connections))",
                    "-D", "\(Int(seconds * 1000))ms", "--log-file=\(site.work("h2load.log"))",
                ]
                + headers + ["https://127.0.0.1:\(server.port)\(request.path)"]
        case .bulk(let connections):
            command = [
                Self.ownProgram, "bulk", "--port", "\(server.port)", "--path", request.path, "--connections",
                "\(connections)", "--seconds", "\(seconds)",
            ]
        }
        return try Spawned(command, output: site.work("load"), processors: processors)
    }

    private static let ownProgram = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""

    /// - Returns: A sample whose `processor` is the number of requests.
    private func result(_ output: String, _ load: Load) throws -> Sample {
        if case .h2load = load { return try resultOfH2load(output) }
        guard let line = output.split(separator: "\n").last(where: { $0.hasPrefix("BENCH ") }) else {
            throw Failure("load generator: \(output.suffix(300))")
        }
        let numbers = line.split(separator: " ").dropFirst().compactMap { Double($0) }
        guard numbers.count == 6 else { throw Failure("load generator: \(line)") }
        guard numbers[0] > 0, numbers[1] > 0 else { throw NoAnswer() }
        if numbers[4] > 0 { throw Failure("\(Int(numbers[4])) of \(Int(numbers[0])) requests failed") }
        return Sample(
            throughput: numbers[0] * 1e6 / numbers[1], p50: numbers[2], p99: numbers[3], processor: numbers[0],
            memory: 0, closed: numbers[5] / numbers[0])
    }

    private func resultOfH2load(_ output: String) throws -> Sample {
        // Of each request: when it began, its status, how long it took in microseconds.
        let log = (try? String(contentsOfFile: site.work("h2load.log"), encoding: .utf8)) ?? ""
        var latencies: [Double] = []
        for line in log.split(separator: "\n") {
            let fields = line.split(separator: "\t")
            guard fields.count == 3, fields[1] == "200", let latency = Double(fields[2]) else {
                throw Failure("a request failed: \(line)")
            }
            latencies.append(latency)
        }
        guard let rate = output.firstMatch(of: /finished in ([0-9.]+)(m?s), ([0-9.]+) req\/s/),
            let throughput = Double(rate.3), !latencies.isEmpty
        else { throw Failure("h2load: \(output.suffix(300))") }
        return Sample(
            throughput: throughput, p50: latencies.percentile(50), p99: latencies.percentile(99),
            processor: Double(latencies.count), memory: 0)
    }
}
