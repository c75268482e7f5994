import Foundation
import Glibc

/// The processes below some, and what they use.
struct ProcessTree {
    let pids: [pid_t]

    /// Those processes and all that descend from them, now.
    init(of roots: [pid_t]) {
        var children: [pid_t: [pid_t]] = [:]
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let pid = pid_t(name), let parent = ProcessTree.fields(pid).first.flatMap({ pid_t($0) }) else {
                continue
            }
            children[parent, default: []].append(pid)
        }
        var found: [pid_t] = []
        var next = roots
        while let pid = next.popLast() {
            found.append(pid)
            next += children[pid] ?? []
        }
        pids = found
    }

    /// Processor time that they and their dead have used, in seconds.
    ///
    /// The living are read off their processes' clocks, which are finer than the ticks in /proc.
    var processorTime: Double {
        pids.reduce(0) { sum, pid in
            var clock = clockid_t()
            let living = clock_getcpuclockid(pid, &clock) == 0 ? Clock.seconds(clock) ?? 0 : 0
            // Behind the parent's pid: cutime and cstime are fields 16 and 17 of the manual page.
            let fields = ProcessTree.fields(pid)
            let dead = fields.count > 13 ? (Double(fields[12]) ?? 0) + (Double(fields[13]) ?? 0) : 0
            return sum + living + dead / Double(sysconf(Int32(_SC_CLK_TCK)))
        }
    }

    /// Memory in KiB: a page that several share counts as a part for each.
    var memory: Int {
        pids.reduce(0) { sum, pid in
            let rollup = (try? String(contentsOfFile: "/proc/\(pid)/smaps_rollup", encoding: .utf8)) ?? ""
            let line = rollup.split(separator: "\n").first { $0.hasPrefix("Pss:") }
            return sum + (line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0)
        }
    }

    /// The fields of /proc/PID/stat from the fourth, which is the parent.
    private static func fields(_ pid: pid_t) -> [Substring] {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return [] }
        return Array(text[text.index(after: end)...].split(separator: " ").dropFirst())
    }
}
