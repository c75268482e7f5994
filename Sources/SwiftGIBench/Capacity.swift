import Foundation

/// How much application servers can take, by how many there are.
enum Capacity {
    /// Machines, processes of each and threads of each of those.
    struct Point: Sendable, CustomStringConvertible {
        let machines: Int
        let processes: Int
        let threads: Int

        init(_ machines: Int, _ processes: Int, _ threads: Int) {
            self.machines = machines
            self.processes = processes
            self.threads = threads
        }

        var description: String { "\(machines) x \(processes) x \(threads)" }
    }

    static let points = [
        Point(1, 1, 1), Point(1, 1, 4), Point(1, 1, 16), Point(1, 1, 64), Point(1, 2, 16), Point(1, 4, 16),
        Point(1, 8, 16), Point(2, 1, 16), Point(2, 4, 16),
    ]
    static let quickPoints = [Point(1, 1, 4), Point(1, 2, 4), Point(2, 2, 4)]

    /// What is asked for: a thread is busy for some microseconds, or waits.
    static let loads = [
        (name: "hello", request: Request(path: "/hello"), load: Load.wrk(connections: 64)),
        (name: "wait", request: Request(path: "/app/wait"), load: Load.wrk(connections: 200)),
    ]

    /// KiB of all processes that serve.
    static func memory(_ server: RunningServer) -> Int { server.tree.memory(of: "swiftgi-run") }
}
