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
    var memory: Int { Self.memory(pids) }

    /// The same of those that run a program of that name.
    func memory(of program: String) -> Int {
        Self.memory(
            pids.filter { pid in
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/exe"))?
                    .hasSuffix("/" + program) ?? false
            })
    }

    private static func memory(_ pids: [pid_t]) -> Int {
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

/// What the whole machine has done, from a moment on.
struct MachineUse {
    private let begin = MachineUse.busy

    /// The part of the machine that was used by others than ours, who used so many seconds.
    func share(besides ours: Double, in duration: Double) -> Double {
        let all = Self.busy - begin
        return max(0, all - ours) / duration / Double(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    }

    /// Seconds in which processors were busy, or stolen by the host of a virtual machine.
    private static var busy: Double {
        let text = (try? String(contentsOfFile: "/proc/stat", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("cpu ") }
        // user, nice, system, idle, iowait, irq, softirq, steal
        let ticks = (line?.split(separator: " ").dropFirst() ?? []).compactMap { Double($0) }
        guard ticks.count > 7 else { return 0 }
        return (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7]) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }
}
