import Foundation
import Glibc
import Testing

/// Daemons and the process that owns them, with a daemon of the tests' own (Libraries/daemon.c).
@Suite(.embedded("They have groups of their own."))
struct SupervisorTests {
    // MARK: Sockets and restarts

    @Test(arguments: Configuration.MPM.allCases)
    func requestsSurviveRestarts(_ mpm: Configuration.MPM) async throws {
        try await withServer(.daemons("processes=2", mpm: mpm)) { server in
            let socket = try #require(server.sockets().first)
            let supervisor = try #require(server.supervisor)
            let inode = try self.inode(socket)
            let asking = Asking(socket)
            for restart in 1...8 {
                kill(server.pid, restart <= 5 ? SIGUSR1 : SIGHUP)
                try server.waitUntilResumed(restart + 1)
                let count = asking.count
                try wait("answers after restart \(restart)") { asking.count > count }
            }
            let failures = await asking.end()
            #expect(failures == [])
            #expect(try self.inode(socket) == inode)
            #expect(server.supervisor == supervisor)
            #expect(server.errorLog.lines(with: "SGI0404").count == 1)
        }
    }

    /// Every restart replaces every process, and nothing stays behind.
    @Test func restartsLeakNothing() async throws {
        try await withServer(.daemons("processes=2")) { server in
            func settled() throws {
                try wait("two daemons") { server.daemons.count == 2 && (try? server.who()) != nil }
            }
            try settled()
            var before = Set(server.daemons)
            let supervisor = try #require(server.supervisor)
            let counts = [server.pid, supervisor].map { DescriptorCount(of: $0) }
            for restart in 1...5 {
                server.graceful()
                try server.waitUntilResumed(restart + 1)
                try wait("other processes") { before.isDisjoint(with: server.daemons) && server.daemons.count == 2 }
                before = Set(server.daemons)
            }
            try settled()
            #expect(
                holdsEventually {
                    zip([server.pid, supervisor], counts).allSatisfy { DescriptorCount(of: $0) == $1 }
                })
            // Nothing of httpd's, nor of another daemon's.
            let descriptors = try ProcessTable.descriptors(of: server.who().pid)
            #expect(!descriptors.contains { $0.hasPrefix(server.root) }, "\(descriptors)")
            #expect(descriptors.filter { $0.hasPrefix("socket:") }.count <= 2, "\(descriptors)")
            let child = try wait("a child") { server.children.first }
            let shared = Set(ProcessTable.descriptors(of: child)).intersection(
                ProcessTable.descriptors(of: supervisor).filter { $0.hasPrefix("socket:") })
            #expect(shared.isEmpty, "a child has the supervisor's \(shared)")
        }
    }

    /// While no process is ready, requests wait in the socket.
    @Test func requestsWaitForTheFirstProcess() async throws {
        try await withServer(.daemons("env=DAEMON_GATE=${root}/scratch/gate")) { server in
            let asking = Asking(try #require(server.sockets().first), times: 1)
            try wait("a process that starts") { !server.daemons.isEmpty }
            #expect(asking.count == 0)
            try server.open(gate: server.gate())
            let failures = await asking.end()
            #expect(failures == [])
            #expect(asking.count == 1)
        }
    }

    @Test func socketOfSomebodyElse() async throws {
        try await withServer(.daemons()) { first in
            let directory = first.socketDirectory
            var second = Configuration.daemons("", "SwiftGISocketDirectory \(directory)")
            second.lines.replace("${root}", with: first.root)
            try await withStoppedServer(second) { server in
                let result = try server.startRefused()
                #expect(result.status != 0)
                #expect(result.errors.contains("SGI0437"), "\(result)")
            }
            _ = try first.who()
        }
    }

    @Test func socketsAreClosedToOthers() async throws {
        try await withServer(.daemons()) { server in
            var status = stat()
            let socket = try #require(server.sockets().first)
            #expect(stat(socket, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o600)
            #expect(status.st_uid == ServedAs.userID)
            #expect(stat(server.socketDirectory, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o711)
            #expect(status.st_uid == geteuid())
        }
    }

    @Test func directoryThatOthersMayWriteTo() async throws {
        try await withStoppedServer(.daemons("", "SwiftGISocketDirectory ${root}/scratch")) { server in
            let result = try server.startRefused()
            #expect(result.status != 0)
            #expect(result.errors.contains("SGI0434"), "\(result)")
            #expect(result.errors.contains("chmod go-w"), "\(result)")
        }
    }

    @Test func removedSocketIsMadeAnew() async throws {
        try await withServer(.daemons(), expecting: ["SGI0439"]) { server in
            try FileManager.default.removeItem(atPath: #require(server.sockets().first))
            server.graceful()
            try server.waitUntilResumed(2)
            _ = try wait("an answer") { try? server.who() }
        }
    }

    // MARK: Deaths

    @Test func killedProcessIsReplaced() async throws {
        try await withServer(.daemons("processes=2"), expecting: ["SGI0421"]) { server in
            let killed = try server.who().pid
            kill(killed, SIGKILL)
            let line = try server.errorLog.wait(for: "SGI0421")
            #expect(line.pid == killed)
            #expect(line.level == "error")
            #expect(line.message.contains("signal 9"), "\(line)")
            #expect(line.message.contains("[group shop]"), "\(line)")
            try wait("two daemons") { server.daemons.count == 2 && !server.daemons.contains(killed) }
            #expect(try server.who().pid != killed)
        }
    }

    @Test func endedProcessIsReplaced() async throws {
        try await withServer(.daemons(), expecting: ["SGI0423"]) { server in
            let pid = try server.who().pid
            #expect(throws: (any Error).self) { try server.ask("end 70") }
            let line = try server.errorLog.wait(for: "SGI0423")
            #expect(line.pid == pid)
            #expect(line.message.contains("status 70"), "\(line)")
            #expect(try server.who().pid != pid)
            // Who asks a daemon to end gets another, without an error.
            let next = try server.who().pid
            kill(next, SIGTERM)
            try wait("another process") { try server.who().pid != next }
            #expect(server.errorLog.lines(with: "SGI0416").contains { $0.pid == next && $0.level == "info" })
        }
    }

    @Test func killedSupervisorIsReplaced() async throws {
        try await withServer(.daemons("processes=2"), expecting: ["SGI0406"]) { server in
            let supervisor = try #require(server.supervisor)
            let old = try server.who().pid
            let asking = Asking(try #require(server.sockets().first))
            kill(supervisor, SIGKILL)
            try wait("another supervisor") { server.supervisor.map { $0 != supervisor } ?? false }
            try wait("two daemons") { server.daemons.count == 2 }
            let count = asking.count
            try wait("answers") { asking.count > count }
            let failures = await asking.end()
            #expect(failures == [])
            #expect(!ProcessTable.isAlive(old))
        }
    }

    /// What a daemon has started ends with it, unless it has left for a session of its own.
    @Test func processesOfAProcessEndWithIt() async throws {
        try await withServer(.daemons(), expecting: ["SGI0421"]) { server in
            let grandchild = try #require(pid_t(server.ask("start")))
            kill(try server.who().pid, SIGKILL)
            try wait("the grandchild's end") { !ProcessTable.isAlive(grandchild) }
        }
    }

    /// httpd is killed: nobody else would end what it has started.
    @Test func everythingEndsWithHTTPD() async throws {
        try await withStoppedServer(.daemons("processes=2")) { server in
            try server.start()
            let children = server.children
            let all = [try #require(server.supervisor)] + server.daemons + children
            #expect(all.count >= 4)
            kill(server.pid, SIGKILL)
            try wait("the end of httpd") { server.hasEnded }
            // httpd's own children may not notice it.
            for child in children { kill(child, SIGKILL) }
            try wait("the end of \(all)") { !all.contains { ProcessTable.isAlive($0) } }
        }
    }

    // MARK: Starts

    @Test func processThatCannotStart() async throws {
        let format = LogLine.format.replacing("%M", with: "%{u}t %M")
        let configuration = Configuration.daemons(
            "env=DAEMON_REFUSES=${root}/scratch/refuses", "ErrorLogFormat \"\(format)\""
        ).preparing { try writeFile("\($0)/scratch/refuses", "") }
        let expected = ["SGI0423", "SGI0424", "the database is away"]
        try await withServer(configuration, expecting: expected) { server in
            try wait("five attempts") { server.errorLog.lines(with: "SGI0423").count >= 5 }
            let line = try #require(server.errorLog.lines(with: "SGI0423").first)
            #expect(line.message.contains("status 69, before it was ready"), "\(line)")
            // 100, 200, 400 and 800 ms lie between five attempts. They may be longer.
            let times = server.errorLog.lines(with: "SGI0423").map { $0.secondsOfHour }
            let passed = (times[4] - times[0] + 3600).truncatingRemainder(dividingBy: 3600)
            #expect(passed > 1.4, "\(times)")
            // After three of them nobody is kept waiting for the next.
            #expect(server.errorLog.lines(with: "SGI0424").count == 1)
            #expect(throws: (any Error).self) { try server.who() }
            try FileManager.default.removeItem(atPath: "\(server.root)/scratch/refuses")
            _ = try wait("an answer") { try? server.who() }
        }
    }

    @Test func launcherThatCannotBeRun() async throws {
        let lines = """
            SwiftGIDaemonProcess other home=${root}/closed
            SwiftGIScriptAlias /d ${root}/libC.so process-group=other
            """
        let configuration = Configuration.daemons("", lines).preparing {
            try makeDirectory("\($0)/closed", mode: 0o700)
        }
        guard ServedAs.isRoot else { return }
        try await withServer(configuration, expecting: ["SGI0420", "SGI0424"]) { server in
            try server.errorLog.wait(for: "SGI0424")
            let line = try server.errorLog.wait(for: "SGI0420")
            #expect(line.message.contains("[group other]"), "\(line)")
            #expect(line.message.contains("\(server.root)/closed: Permission denied"), "\(line)")
            _ = try server.who()
        }
    }

    @Test func processThatIsNotReadyInTime() async throws {
        let options = "startup-timeout=300ms env=DAEMON_GATE=${root}/scratch/gate"
        try await withServer(.daemons(options), expecting: ["SGI0412"]) { server in
            let line = try server.errorLog.wait(for: "SGI0412")
            #expect(line.level == "error")
            try server.open(gate: server.gate())
            _ = try server.who()
        }
    }

    // MARK: Replacement

    /// The old process serves until the new one is ready, and ends then.
    @Test func replacementWaitsForReadiness() async throws {
        let configuration = Configuration.daemons("env=DAEMON_GATE=${root}/scratch/gate").preparing {
            try writeFile("\($0)/scratch/gate", "")
        }
        try await withServer(configuration) { server in
            let old = try server.who().pid
            try FileManager.default.removeItem(atPath: server.gate())
            server.graceful()
            try wait("a second process") { server.daemons.count == 2 }
            try server.waitUntilResumed(2)
            #expect(try server.who().pid == old)
            try server.open(gate: server.gate())
            try wait("the old one's end") { !ProcessTable.isAlive(old) }
            #expect(try server.who().pid != old)
            #expect(server.daemons.count == 1)
        }
    }

    /// Of several, one at a time.
    @Test func replacementIsOneByOne() async throws {
        try await withServer(.daemons("processes=4")) { server in
            try wait("four daemons") { server.errorLog.lines(with: "SGI0411").count == 4 }
            server.graceful()
            try wait("four others") { server.errorLog.lines(with: "SGI0416").count == 4 }
            // A new one is ready, an old one is told to end; never two of one kind in a row.
            let steps = server.errorLog.lines.compactMap { line in
                line.message.contains("SGI0411") ? "ready" : line.message.contains("SGI0414") ? "ends" : nil
            }.dropFirst(4)
            #expect(steps == ["ready", "ends", "ready", "ends", "ready", "ends", "ready", "ends"])
        }
    }

    @Test func newGenerationThatFails() async throws {
        let options = "env=DAEMON_REFUSES=${root}/scratch/refuses"
        try await withServer(.daemons(options), expecting: ["SGI0423", "the database is away"]) { server in
            let old = try server.who().pid
            try writeFile("\(server.root)/scratch/refuses", "")
            server.graceful()
            try wait("attempts") { server.errorLog.lines(with: "SGI0423").count >= 3 }
            #expect(try server.who().pid == old)
            try FileManager.default.removeItem(atPath: "\(server.root)/scratch/refuses")
            try wait("another process") { try server.who().pid != old }
        }
    }

    @Test func requestsInProgressAreFinished() async throws {
        try await withServer(.daemons()) { server in
            let old = try server.who().pid
            let asking = Asking(try #require(server.sockets().first), line: "sleep 1500", times: 1)
            try wait("the request to be taken") { ProcessTable.threads(of: old) > 1 }
            server.graceful()
            try server.errorLog.wait(for: "SGI0414")
            #expect(ProcessTable.isAlive(old))
            let failures = await asking.end()
            #expect(failures == [])
            #expect(asking.last == "\(old)")
            try wait("its end") { !ProcessTable.isAlive(old) }
        }
    }

    @Test func processThatDoesNotEnd() async throws {
        let options = "drain-timeout=200ms shutdown-timeout=200ms env=DAEMON_STUBBORN=1"
        try await withServer(.daemons(options), expecting: ["SGI0417"]) { server in
            let old = try server.who().pid
            server.graceful()
            let line = try server.errorLog.wait(for: "SGI0417")
            #expect(line.pid == old)
            try wait("its end") { !ProcessTable.isAlive(old) }
            #expect(try server.who().pid != old)
        }
    }

    @Test func libraryThatIsReplaced() async throws {
        try await withServer(.daemons("", "SwiftGIReload On")) { server in
            let old = try server.who()
            try RefusalTests.replace("\(server.root)/libC.so")
            let line = try server.errorLog.wait(for: "SGI0415")
            #expect(line.level == "notice")
            try wait("another process") { try server.who().pid != old.pid }
            #expect(try server.who()["library"] != old["library"])
            // httpd itself has nothing to do with it.
            #expect(server.errorLog.lines(with: "resuming normal operations").count == 1)
        }
    }

    struct Limit: CustomTestStringConvertible, Sendable {
        let option: String
        /// What brings a process there.
        let poke: String
        var testDescription: String { option }
        var name: String { String(option.prefix { $0 != "=" }) }
    }

    @Test(arguments: [
        Limit(option: "maximum-requests=5", poke: "who"),
        Limit(option: "restart-interval=1s", poke: "who"),
        Limit(option: "max-rss=64M", poke: "grow 100"),
        Limit(option: "cpu-time-limit=200ms", poke: "burn 300"),
        Limit(option: "inactivity-timeout=1h", poke: "say i"),
    ])
    func limit(_ limit: Limit) async throws {
        try await withServer(.daemons(limit.option)) { server in
            let old = try server.who().pid
            let asking = Asking(try #require(server.sockets().first))
            for _ in 1...5 { _ = try server.ask(limit.poke) }
            let line = try server.errorLog.wait(for: "SGI0413")
            #expect(line.message.contains("to be replaced: \(limit.name)"), "\(line)")
            try wait("another process") { try server.who().pid != old }
            try wait("the old one's end") { !ProcessTable.isAlive(old) }
            let failures = await asking.end()
            #expect(failures == [])
        }
    }

    /// A process that makes its backtrace has a successor before it is done.
    @Test func crashIsNoticedAtItsBacktrace() async throws {
        let expected = ["SGI0421", "*** Signal 11"]
        try await withServer(.daemons(), expecting: expected) { server in
            let old = try #require(pid_t(server.ask("complain *** Signal 11: Backtracing from 0x1...")))
            try wait("a second process") { server.daemons.count == 2 }
            #expect(ProcessTable.isAlive(old))
            kill(old, SIGKILL)
            try server.errorLog.wait(for: "SGI0421")
            #expect(try server.who().pid != old)
        }
    }

    /// The supervisor reads memory that it shares with a process, whatever the process does to it.
    @Test func memoryIsNotCutOff() async throws {
        try await withServer(.daemons(), expecting: ["SGI0421"]) { server in
            let supervisor = try #require(server.supervisor)
            let old = try server.who().pid
            #expect(try server.ask("cut") == "Operation not permitted")
            kill(old, SIGKILL)
            try server.errorLog.wait(for: "SGI0421")
            #expect(try server.who().pid != old)
            #expect(server.supervisor == supervisor)
        }
    }

    // MARK: Configuration

    @Test func groupThatIsRemovedAndComesBack() async throws {
        let configuration = Configuration.daemons()
        try await withServer(configuration) { server in
            let daemon = try server.who().pid
            let supervisor = try #require(server.supervisor)
            let socket = try #require(server.sockets().first)
            try server.writeConfiguration("")
            server.graceful()
            try server.waitUntilResumed(2)
            try wait("the end") { !ProcessTable.isAlive(daemon) && !ProcessTable.isAlive(supervisor) }
            #expect(access(socket, F_OK) != 0)
            try server.writeConfiguration(configuration.lines)
            server.graceful()
            try server.waitUntilResumed(3)
            _ = try wait("an answer") { try? server.who() }
        }
    }

    /// Without the module nobody tells the supervisor to go.
    @Test func moduleThatLeaves() async throws {
        var configuration = Configuration.daemons()
        // httpd keeps what it has of the module's, two sockets, and wonders about its unknown child.
        try await withStoppedServer(configuration) { server in
            try server.start()
            let supervisor = try #require(server.supervisor)
            let daemons = server.daemons
            configuration.loadsModule = false
            configuration.logLevel = "info"
            try server.writeConfiguration("")
            try writeFile("\(server.root)/httpd.conf", configuration.text(root: server.root, ports: server.ports))
            server.graceful()
            try server.waitUntilResumed(2)
            try wait("the supervisor's end", for: 90) { !ProcessTable.isAlive(supervisor) }
            #expect(!daemons.contains { ProcessTable.isAlive($0) })
            let reasons = server.errorLog.lines(with: "SGI0401")
            #expect(reasons.contains { $0.message.contains("not in httpd's configuration") })
            #expect(try server.get("/index.html").status == 200)
            kill(server.pid, SIGTERM)
            try wait("the end of httpd") { server.hasEnded }
        }
    }

    /// What only some requests may lead to is started by the first of them.
    @Test func sectionStartsProcessesOnDemand() async throws {
        let lines = """
            SwiftGIScriptAlias /app ${apps}/libHello.so
            <Location /app/some>
            SwiftGIProcessGroup other
            </Location>
            SwiftGIDaemonProcess other
            """
        try await withServer(.daemons("", lines)) { server in
            _ = try server.who()
            #expect(server.daemons.count == 1)
            #expect(server.sockets("other").count == 1)
            let other = try server.who("other")
            #expect(other.arguments.contains("libHello.so"))
            #expect(server.daemons.count == 2)
            #expect(try server.get("/app").status == 200)
        }
    }

    /// Children load only what they run themselves.
    @Test func librariesOfGroupsStayOutOfHTTPD() async throws {
        let lines = """
            SwiftGIScriptAlias /app ${apps}/libHello.so
            <Location /located>
            SwiftGIProcessGroup shop
            </Location>
            SwiftGIScriptAlias /located/below ${root}/libD.so
            <Directory ${root}/sub>
            SwiftGIProcessGroup shop
            </Directory>
            SwiftGIScriptAlias /e ${root}/sub/libE.so
            """
        let configuration = Configuration.daemons("", lines).preparing {
            try makeDirectory("\($0)/sub")
            for name in ["libD.so", "sub/libE.so"] { try Applications.compile("library.c", to: "\($0)/\(name)") }
        }
        try await withServer(configuration) { server in
            let maps = try readText("/proc/\(#require(server.children.first))/maps")
            #expect(maps.contains("libHello.so"))
            for name in ["libC.so", "libD.so", "libE.so"] { #expect(!maps.contains(name)) }
            try wait("a process for each") { server.daemons.count == 3 }
            let libraries = server.daemons.map { ProcessTable.commandLine(of: $0) }
            for name in ["libC.so", "libD.so", "libE.so"] { #expect(libraries.contains { $0.contains(name) }) }
        }
    }

    // MARK: What a process is

    @Test func processIsWhatItsOptionsSay() async throws {
        let options = """
            threads=3 umask=0027 home=/tmp "display-name=the shop" maximum-requests=1000 inactivity-timeout=2h \
            drain-timeout=7s io-timeout=9s env=A=1 env=B= "env=C=a b" env-file=${root}/variables
            """
        let configuration = Configuration.daemons(options).preparing {
            try writeFile("\($0)/variables", "# secret\n\nD='x y'\n  E=\"=z\"\nA=2\n", mode: 0o600)
        }
        try await withServer(configuration) { server in
            let daemon = try server.who()
            #expect(daemon["umask"] == "027")
            #expect(daemon["cwd"] == "/tmp")
            let expected = [
                "the shop --fastcgi fd:3 --ready fd:4 ", "--threads 3", "--grace 7000ms",
                "--io-timeout 9000ms", "--log-level debug", "--peer-user \(ServedAs.userID)", "--max-requests 1000",
                " \(server.root)/libC.so",
            ]
            for part in expected { #expect(daemon.arguments.contains(part), "\(daemon.arguments)") }
            let inactivity = try #require(daemon.arguments.firstMatch(of: /--inactivity-timeout (\d+)ms/))
            #expect((7_200_000...7_920_000).contains(try #require(Int(inactivity.1))))
            // env= has the last word.
            for (name, value) in [("A", "1"), ("B", ""), ("C", "a b"), ("D", "x y"), ("E", "=z")] {
                let answer = try value.isEmpty ? "" : server.ask("env \(name)")
                #expect(answer == value, "\(name)")
            }
            #expect(try server.ask("env SWIFTGI_TEST_ROOT") == server.root)
            #expect(try server.ask("env SWIFT_BACKTRACE") == "enable=no")
            let child = try #require(server.children.first)
            #expect(!ProcessTable.descriptors(of: child).contains("\(server.root)/variables"))
        }
    }

    @Test func usersThatMustNotReachEachOther() async throws {
        guard ServedAs.isRoot else { return }
        let games = try #require(getpwnam("games")).pointee
        let nobody = try #require(getpwnam("nobody")).pointee
        let audio = try #require(getgrnam("audio")).pointee.gr_gid
        let lines = """
            SwiftGIDaemonProcess other user=nobody group=audio supplementary-groups=audio,games
            SwiftGIScriptAlias /d ${root}/libC.so process-group=other
            SwiftGIDaemonProcess third supplementary-groups=none
            SwiftGIScriptAlias /e ${root}/libC.so process-group=third
            """
        try await withServer(.daemons("user=games", lines)) { server in
            let shop = try server.who(), other = try server.who("other"), third = try server.who("third")
            #expect(shop["uid"] == "\(games.pw_uid)")
            #expect(shop["gid"] == "\(games.pw_gid)")
            #expect(shop["groups"] == "\(games.pw_gid)")
            #expect(try server.ask("env USER") == "games")
            #expect(other["uid"] == "\(nobody.pw_uid)")
            #expect(other["gid"] == "\(audio)")
            #expect(Set(other["groups"].split(separator: ",")) == ["\(audio)", "\(games.pw_gid)"])
            #expect(third["uid"] == "\(ServedAs.userID)")
            #expect(third["groups"] == "")
            let sockets = try ["shop", "other"].map { try #require(server.sockets($0).first) }
            for group in ["shop", "other"] {
                for socket in sockets { #expect(try server.ask("reach \(socket)", group) == "Permission denied") }
            }
            // The proof that it could be reached.
            #expect(try server.ask("reach \(sockets[0])", "third") == "reached")
            let status = readText("/proc/\(shop.pid)/status")
            #expect(status.contains("Uid:\t" + Array(repeating: "\(games.pw_uid)", count: 4).joined(separator: "\t")))
            #expect(status.contains("CapPrm:\t0000000000000000"))
        }
    }

    /// The real launcher with a real application: it tells when it is ready, and ends when told.
    @Test func launcherAndApplication() async throws {
        let lines = """
            SwiftGIDaemonProcess shop processes=2
            SwiftGIScriptAlias /app ${apps}/libHello.so process-group=shop
            """
        try await withServer(Configuration(lines)) { server in
            try wait("two processes") { server.errorLog.lines(with: "SGI0411").count == 2 }
            let old = server.daemons
            for pid in old { #expect(readText("/proc/\(pid)/maps").contains("libHello.so")) }
            server.graceful()
            try wait("two others") { server.errorLog.lines(with: "SGI0411").count == 4 }
            try wait("their end") { !old.contains { ProcessTable.isAlive($0) } }
            try wait("what the log says of it") { server.errorLog.lines(with: "SGI0416").count == 2 }
            // The launcher's own lines have their own level.
            #expect(server.errorLog.lines(with: "SGI0310").allSatisfy { $0.level == "info" && old.contains($0.pid) })
        }
    }

    // MARK: Logs

    @Test func linesOfProcesses() async throws {
        let lines = """
            <VirtualHost *:${port}>
            ServerName shop.example
            ErrorLog ${root}/logs/shop-error.log
            ErrorLogFormat "\(LogLine.format)"
            SwiftGIDaemonProcess hosted
            SwiftGIScriptAlias /h ${root}/libC.so process-group=hosted
            </VirtualHost>
            """
        try await withServer(.daemons("", lines), expecting: ["stock is low", "disk is full", "is odd"]) { server in
            let pid = try pid_t(server.ask("print all is well"))
            let printed = try server.errorLog.wait(for: "all is well")
            #expect(printed.level == "notice")
            #expect(printed.pid == pid)
            #expect(printed.message == "[group shop] all is well")
            _ = try server.ask("complain stock is low")
            #expect(try server.errorLog.wait(for: "stock is low").level == "error")
            // What ends no line, and commands no terminal.
            _ = try server.ask("complain \u{1B}[2Jx\r is odd")
            #expect(try server.errorLog.wait(for: "is odd").message == "[group shop] \\x1b[2Jx\\x0d is odd")
            // The launcher says which level it has.
            _ = try server.ask("complain 2026-11-24T22:15:41.123Z [warning] [pid 1] disk is full", "hosted")
            let own = ErrorLog(path: "\(server.root)/logs/shop-error.log")
            let line = try own.wait(for: "disk is full")
            #expect(line.level == "warn")
            #expect(line.message == "[group hosted] disk is full")
            #expect(server.errorLog.lines(with: "disk is full").isEmpty)
        }
    }

    /// The supervisor's lines and a process's look as httpd's own do.
    @Test(
        arguments: [
            (
                "",
                #"\[\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d\.\d{6} \d{4}\] \[swiftgi:notice\] \[pid \d+\] \[group shop\] said"#
            ),
            ("%M", #"\[group shop\] said"#),
            (
                "%{cu}t %l 100%% %v %V %M",
                #"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} notice 100% localhost localhost \[group shop\] said"#
            ),
            ("%{cz}t %M", #"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \[group shop\] said"#),
            ("[client\\ %a] %-a <%P% >%T %M% ,\\ referer\\ %{Referer}i", #" - <\d+>\d+ \[group shop\] said"#),
            ("%7m %4l %M", #" notice \[group shop\] said"#),
        ] as [(String, String)])
    func formats(_ format: String, _ pattern: String) async throws {
        let lines = """
            <VirtualHost *:${port}>
            ServerName shop.example
            <IfModule mod_swiftgi.c>
            ErrorLog ${root}/logs/shop.log
            \(format.isEmpty ? "" : "ErrorLogFormat \"\(format)\"")
            ErrorLogFormat request "%L"
            </IfModule>
            ServerName localhost
            SwiftGIDaemonProcess hosted display-name=hosted
            SwiftGIScriptAlias /h ${root}/libC.so process-group=hosted
            </VirtualHost>
            """
        // The main server's format would be the virtual host's, too.
        var configuration = Configuration.daemons("", lines)
        configuration.logsInOwnFormat = !format.isEmpty
        try await withServer(configuration, rawLines: format.isEmpty) { server in
            _ = try server.ask("print said", "hosted")
            _ = try server.ask("print said", "shop")
            try wait("the line") { readText("\(server.root)/logs/error.log").contains("said") }
            let expression = try Regex(pattern.replacing("shop", with: "hosted"))
            let found = try wait("the line") {
                readText("\(server.root)/logs/shop.log").split(separator: "\n").first { $0.hasSuffix("said") }
            }
            #expect(found.wholeMatch(of: expression) != nil, "\(found)")
        }
    }

    /// Logs that were rotated are written to from the next restart on.
    @Test func rotatedLog() async throws {
        try await withServer(.daemons()) { server in
            _ = try server.who()
            try #require(rename(server.errorLog.path, "\(server.root)/logs/old.log") == 0)
            server.graceful()
            try server.waitUntilResumed(1)
            try wait("another process") { server.errorLog.lines(with: "SGI0411").count == 1 }
            _ = try server.ask("print after the rotation")
            try server.errorLog.wait(for: "after the rotation")
        }
    }

    private func inode(_ path: String) throws -> ino_t {
        var status = stat()
        try #require(stat(path, &status) == 0)
        return status.st_ino
    }
}

extension LogLine {
    /// Of a line with httpd's own time.
    fileprivate var secondsOfHour: Double {
        guard let match = text.firstMatch(of: #/:(\d\d):(\d\d\.\d+)\s/#) else { return 0 }
        return (Double(match.1) ?? 0) * 60 + (Double(match.2) ?? 0)
    }
}

extension ProcessTable {
    fileprivate static func threads(of pid: pid_t) -> Int { memory("Threads", of: pid) ?? 0 }
}

/// Asks daemons again and again, beside the test.
private final class Asking: @unchecked Sendable {
    private let lock = NSLock()
    private var isEnding = false
    private var failures: [String] = []
    private var answers = 0
    private var lastAnswer = ""
    private let done = DispatchSemaphore(value: 0)

    init(_ socket: String, line: String = "who", times: Int = .max) {
        Thread.detachNewThread { [self] in
            var asked = 0
            while asked < times, !lock.withLock({ isEnding && times == .max }) {
                asked += 1
                do {
                    let answer = try askDaemon(at: socket, line)
                    lock.withLock {
                        answers += 1
                        lastAnswer = answer
                    }
                } catch {
                    lock.withLock { failures.append("\(error)") }
                }
            }
            done.signal()
        }
    }

    /// Answers so far.
    var count: Int { lock.withLock { answers } }
    var last: String { lock.withLock { lastAnswer } }

    /// Ends, and returns what failed.
    func end() async -> [String] {
        lock.withLock { isEnding = true }
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                self.done.wait()
                continuation.resume()
            }
        }
        return lock.withLock { failures }
    }
}
