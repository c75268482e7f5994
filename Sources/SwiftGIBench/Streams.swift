import Foundation
import Glibc

/// Runs the client of many streams and watches the server meanwhile.
struct StreamClient {
    let site: Site

    /// What the server's processes used at a moment.
    private struct Moment {
        let time: Double
        let processor: Double
        /// KiB of the child.
        let memory: Double
    }

    /// For how long the client asks for hello before it opens streams, in seconds.
    private static let idle = 3.0

    /// - Parameter events: How many each stream is to get, one a second.
    /// - Returns: A sample with events for requests and latencies of hello while all streams wait.
    func measure(_ server: RunningServer, streams: Int, events: Int) throws -> Sample {
        let tree = server.tree
        guard let child = tree.pids.max(by: { Self.memory($0) < Self.memory($1) }) else { throw Failure("no process") }
        let others = MachineUse()
        let begin = Clock.now
        let client = try Spawned(
            ["\(site.peers)/streams", "\(server.port)", "/events/stream", "\(streams)", "\(events)", "/hello"],
            output: site.work("streams"))
        // Streams that are opened slowly take long; beyond that something hangs.
        let deadline = begin + 120 + 2 * Double(events)
        var moments: [Moment] = []
        while !client.hasEnded, Clock.now < deadline {
            moments.append(
                Moment(time: Clock.now, processor: tree.processorTime, memory: Double(Self.memory(child))))
            do {
                try Interruption.check()
            } catch {
                client.signal(SIGKILL)
                throw error
            }
            _ = client.wait(upTo: 0.2)
        }
        let end = Clock.now
        let used = tree.processorTime
        let status = client.wait(for: 1)
        let line = client.output
        let figures = Self.figures(line)
        guard status == 0 || status == 1, let received = figures["received"], let opened = figures["opened_s"],
            let streamed = figures["streamed_s"], let idleMedian = figures["hello_idle_p50_us"],
            let busyMedian = figures["hello_busy_p50_us"], received > 0
        else { throw Failure("streams: status \(status): \(line.suffix(300)) \(server.messages)") }
        guard let before = moments.last(where: { $0.time < begin + Self.idle - 0.1 }) else {
            throw Failure("streams: the server was not watched before they were opened")
        }
        // Surely all were open then: the client rounds to tenths of a second.
        let waiting = moments.filter { $0.time > end - streamed + 0.3 && $0.time < end - 0.3 }.map(\.memory)
        guard !waiting.isEmpty, streamed > 0 else { throw Failure("streams: not all were open at a time: \(line)") }
        let duration = end - begin
        var more = [
            "streams": Double(streams), "connection_kib": (waiting.median - before.memory) / Double(streams),
            "events_expected": figures["of"] ?? 0,
        ]
        for name in [
            "events", "failed", "opened_s", "streamed_s", "hello_idle_p50_us", "hello_idle_p99_us",
        ] { more[name] = figures[name] }
        more["hello_idle_p50_us"] = idleMedian
        more["hello_busy_p50_us"] = busyMedian
        return Sample(
            throughput: received / (opened + streamed), p50: busyMedian, p99: figures["hello_busy_p99_us"] ?? 0,
            processor: (used - before.processor) * 1e6 / received, memory: waiting.median,
            disturbance: others.share(
                besides: used - (moments.first?.processor ?? 0) + client.processorTime, in: duration),
            more: more)
    }

    /// The pairs of the line that the client prints.
    private static func figures(_ line: String) -> [String: Double] {
        var figures: [String: Double] = [:]
        for pair in line.split(whereSeparator: \.isWhitespace) {
            let parts = pair.split(separator: "=")
            if parts.count == 2, let value = Double(parts[1]) { figures[String(parts[0])] = value }
        }
        return figures
    }

    /// Resident memory of a process in KiB.
    private static func memory(_ pid: pid_t) -> Int {
        let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0
    }
}

/// How many descriptors this process, and those that it starts from now on, may have.
struct Descriptors {
    private let before: rlimit
    /// What was reached.
    let limit: Int

    /// Raises or lowers the limit to that, as far as this is allowed.
    init(wanted: Int) {
        var old = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &old)
        before = old
        var new = rlimit(rlim_cur: rlim_t(wanted), rlim_max: max(old.rlim_max, rlim_t(wanted)))
        if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &new) != 0 {
            new = rlimit(rlim_cur: min(old.rlim_max, rlim_t(wanted)), rlim_max: old.rlim_max)
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &new)
        }
        var now = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &now)
        limit = Int(clamping: now.rlim_cur)
    }

    func restore() {
        var old = before
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &old)
    }
}
