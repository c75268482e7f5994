import Foundation
import Glibc

/// What /proc tells of processes.
enum ProcessTable {
    /// Every process whose command line or environment names the text: a server's processes and
    /// whatever they started.
    static func processes(naming text: String) -> [pid_t] {
        allProcesses.filter { pid in
            readText("/proc/\(pid)/cmdline").contains(text) || readText("/proc/\(pid)/environ").contains(text)
        }
    }

    static func children(of parent: pid_t) -> [pid_t] {
        allProcesses.filter { status(of: $0)?.parent == parent }.sorted()
    }

    static func isAlive(_ pid: pid_t) -> Bool {
        guard let status = status(of: pid) else { return false }
        return status.state != "Z"
    }

    static func status(of pid: pid_t) -> (state: Character, parent: pid_t)? {
        let text = readText("/proc/\(pid)/stat")
        // The name is in parentheses and may have any characters.
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 1, let state = fields[0].first, let parent = pid_t(fields[1]) else { return nil }
        return (state, parent)
    }

    static func commandLine(of pid: pid_t) -> String {
        readText("/proc/\(pid)/cmdline").replacing("\0", with: " ")
    }

    /// The targets of the process's descriptors.
    static func descriptors(of pid: pid_t) -> [String] {
        let directory = "/proc/\(pid)/fd"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\($0)") }
    }

    /// A line of /proc/<pid>/status that is a size, in KiB.
    static func memory(_ name: String, of pid: pid_t) -> Int? {
        for line in readText("/proc/\(pid)/status").split(separator: "\n") where line.hasPrefix(name + ":") {
            return line.split(whereSeparator: { " \t".contains($0) }).dropFirst().first.flatMap { Int($0) }
        }
        return nil
    }

    /// Makes the present size the peak from which VmHWM grows.
    static func resetPeak(of pid: pid_t) {
        try? Data("5".utf8).write(to: URL(filePath: "/proc/\(pid)/clear_refs"))
    }

    private static var allProcesses: [pid_t] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { pid_t($0) }
    }
}

/// How many descriptors of each kind a process has.
///
/// Kinds, not numbers: what a process opens once, when it first needs it, is no leak.
struct DescriptorCount: Equatable, CustomStringConvertible {
    var counts: [String: Int] = [:]

    init(of pid: pid_t) {
        for target in ProcessTable.descriptors(of: pid) { counts[Self.kind(target), default: 0] += 1 }
    }

    private static func kind(_ target: String) -> String {
        if target.hasPrefix("/dev/") { return "device" }
        if target.hasPrefix("/") { return "file" }
        if target == "anon_inode:[eventfd]" { return "event" }
        if target.hasPrefix("anon_inode:") { return "kernel object" }
        return String(target.prefix { $0 != ":" })
    }

    /// What there is more of than in another count.
    ///
    /// Dispatch, of which each application has its own, makes an event loop when it first needs one, and
    /// the module one for requests that wait: a few kernel objects, once. And the module keeps 64 events for
    /// the next requests that wait; what is beyond them is a leak.
    ///
    /// - Parameter links: Connections to daemons that may have been kept: a socket each.
    func growth(since earlier: DescriptorCount, links: Int = 0) -> [String: Int] {
        var grown: [String: Int] = [:]
        for (kind, count) in counts where kind != "device" {
            let more = count - earlier.counts[kind, default: 0]
            let permitted = ["kernel object": 8, "event": 64 + 4, "socket": links][kind, default: 0]
            if more > permitted { grown[kind] = more }
        }
        return grown
    }

    var description: String {
        counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }
}
