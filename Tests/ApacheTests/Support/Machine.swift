import Foundation
import Glibc

/// A machine of a test's own: a network namespace with a link to this one, or, where those can't be made,
/// another loopback address.
final class Machine {
    /// What others reach it at.
    let address: String
    private let namespace: String?

    /// - Parameter number: Tells the machines of this process apart; from 0 on.
    init(_ number: Int) throws {
        // A network of four addresses for each, which no other process of these tests takes as well.
        let network = (Int(getpid()) * 4 + number) % 16384 * 4
        let prefix = "10.213.\(network / 256)"
        let name = "swiftgi-\(getpid())-\(number)"
        let (ours, theirs) = ("sg\(getpid())-\(number)a", "sg\(getpid())-\(number)b")
        let commands = [
            ["netns", "add", name], ["link", "add", ours, "type", "veth", "peer", "name", theirs],
            ["link", "set", theirs, "netns", name], ["addr", "add", "\(prefix).\(network % 256 + 1)/30", "dev", ours],
            ["link", "set", ours, "up"],
            ["-n", name, "addr", "add", "\(prefix).\(network % 256 + 2)/30", "dev", theirs],
            ["-n", name, "link", "set", theirs, "up"], ["-n", name, "link", "set", "lo", "up"],
        ]
        for command in commands where (try? Command.run("/usr/sbin/ip", command))?.status != 0 {
            _ = try? Command.run("/usr/sbin/ip", ["netns", "del", name])
            address = "127.0.0.\(number + 2)"
            namespace = nil
            return
        }
        address = "\(prefix).\(network % 256 + 2)"
        namespace = name
    }

    /// Takes the namespace away, and the link with it.
    func remove() {
        if let namespace { _ = try? Command.run("/usr/sbin/ip", ["netns", "del", namespace]) }
    }

    /// Starts a program there.
    func start(_ executable: String, _ arguments: [String]) throws -> Command {
        guard let namespace else { return try Command(executable, arguments) }
        // It executes the program and is not in the way.
        return try Command("/usr/sbin/ip", ["netns", "exec", namespace, executable] + arguments)
    }
}

/// An application server on a machine of its own.
final class ApplicationServer {
    let machine: Machine
    let port = Ports.next()
    private var command: Command?

    /// The server's one process; applications call it by this number.
    var pid: pid_t { command?.pid ?? 0 }

    init(_ number: Int) throws {
        machine = try Machine(number)
        try start()
    }

    func start() throws {
        let command = try machine.start(
            Paths.launcher, ["--fastcgi", "\(machine.address):\(port)", Applications.path("Behaviour")])
        self.command = command
        try wait("an application server at \(machine.address):\(port)") {
            if command.hasEnded { throw Command.Failure(description: "it ended: \(try command.finish())") }
            return (try? RawClient(port: port, at: machine.address)) != nil
        }
    }

    /// As if the machine were gone.
    func die() throws {
        kill(pid, SIGKILL)
        _ = try command?.finish()
        command = nil
    }

    /// Ends the server and the machine.
    ///
    /// - Returns: What is wrong.
    func stop() -> [String] {
        defer { machine.remove() }
        guard let command else { return [] }
        kill(command.pid, SIGTERM)
        guard let result = try? command.finish() else { return ["an application server did not end"] }
        return result.status == 0 ? [] : ["an application server ended with \(result)"]
    }
}
