import Foundation
import Glibc
import Synchronization
import Testing

/// Sets against one another what can happen to a request at any moment: its handler returns, it is
/// woken, its client goes, its time is over, the server restarts. Thousands of times, around the same
/// instants; each request must come to one end, the same for client and server, and nothing may be left.
///
/// What happens when is drawn from a seed. SWIFTGI_STRESS says how many requests there are,
/// SWIFTGI_SEED which.
@Suite struct StressTests {
    private static let count = Paths.environment("SWIFTGI_STRESS").flatMap { Int($0) } ?? 3000
    private static let seed = Paths.environment("SWIFTGI_SEED").flatMap { UInt64($0) } ?? 1
    private static let clients = 24

    @Test func everyOrder() async throws {
        let lines = """
            SwiftGIScriptAlias /patient ${apps}/libWaiting.so
            <Location /wait/race>
            SwiftGIRequestTimeout 20ms
            </Location>
            KeepAliveTimeout 20
            MaxKeepAliveRequests 0
            LogFormat "%q|%>s|%X" race
            CustomLog ${root}/logs/race.log race
            """
        let configuration = Configuration.waiting(
            lines, threads: 8, logLevel: "info swiftgi:warn mpm_event:crit")
        // A handler in a process that ends in time after all does not say that it was late: the module does.
        let isDaemon = Configuration.Execution.standard == .daemon
        let expected = ["SGI0215", "SGI0216"] + (isDaemon ? ["SGI0475"] : [])
        try await withServer(configuration, expecting: expected, alone: true) { server in
            // What a process makes once is made.
            for _ in 0..<20 { _ = try server.get("/wait/sleep") }
            let run = Run(port: server.port, seed: Self.seed, count: Self.count)
            for client in 0..<Self.clients { run.start(client) }
            var restarts = 0
            while !run.isDone {
                let goal = run.finished + max(500, Self.count / 20)
                try wait("the clients to go on: \(run.problems)", for: 120) { run.isDone || run.finished >= goal }
                if run.isDone { break }
                restarts += 1
                server.graceful()
                try server.waitUntilResumed(restarts + 1)
            }
            #expect(run.problems == [])
            #expect(run.finished == Self.count)
            // Nothing is left: no old process, no handler.
            try wait("the old processes to end") { server.children.count == 1 }
            try wait("the handlers to end") {
                try server.get("/wait/running").text == "0" && server.get("/patient/running").text == "0"
            }
            try compare(run.ends, readText("\(server.root)/logs/race.log"))
            print(run.summary + ", \(restarts) restarts, seed \(Self.seed)")
        }
    }

    /// Holds what the clients saw against what the server has logged.
    private func compare(_ ends: [Int: End], _ log: String) throws {
        var lines: [Int: [Substring]] = [:]
        for line in log.split(separator: "\n") where line.hasPrefix("?id=") {
            let number = line.dropFirst(4).prefix { $0.isNumber }
            lines[Int(number) ?? -1, default: []].append(line)
        }
        var wrong: [String] = []
        for (id, end) in ends {
            let logged = lines[id, default: []]
            let statuses = logged.map { $0.split(separator: "|").dropFirst().first ?? "" }
            let isRight =
                switch end {
                case .complete, .cut: statuses == ["200"]
                case .expired: statuses == ["504"]
                case .unserved: statuses.isEmpty
                case .left: logged.count <= 1
                }
            if !isRight { wrong.append("\(id): \(end) for the client, logged \(logged)") }
        }
        #expect(wrong.isEmpty, "\(wrong.prefix(20))")
    }
}

/// How a request ended, as its client saw it.
private enum End: Hashable {
    case complete, expired
    /// Behind the head.
    case cut
    /// The client went before there was an answer.
    case left
    /// The connection, which had served before, was closed without an answer.
    case unserved
}

/// What is to happen to one request.
private struct Plan {
    static let ways = ["before", "midway", "hops", "group", "write", "read"]

    let way: String
    let hasDeadline: Bool
    let microseconds: Int
    /// When the client goes, if it does.
    let leaves: Int?
    let resets: Bool
    let isPipelined: Bool
    let isOnNewConnection: Bool

    init(_ seed: UInt64, _ id: Int) {
        var random = SplitMix(state: seed &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(id) &* 0xD1B5_4A32_D192_ED03)
        way = Plan.ways[random.below(Plan.ways.count)]
        hasDeadline = random.below(3) > 0
        // Around the deadline, at once, or at any time.
        microseconds =
            switch random.below(5) {
            case 0, 1: 18_000 + random.below(4000)
            case 2, 3: random.below(3000)
            default: random.below(40_000)
            }
        leaves =
            switch random.below(6) {
            case 0: max(0, microseconds - 1000 + random.below(2000))
            case 1: 19_000 + random.below(2500)
            case 2: random.below(25_000)
            default: nil
            }
        resets = random.below(2) == 0
        isPipelined = random.below(8) == 0
        isOnNewConnection = random.below(3) == 0
    }
}

/// Steele, Lea and Flood's generator: the same numbers for the same seed, everywhere.
private struct SplitMix {
    var state: UInt64

    mutating func below(_ limit: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int((z ^ (z >> 31)) % UInt64(limit))
    }
}

/// One run: clients on threads of their own that take the requests in turn.
private final class Run: Sendable {
    private struct State {
        var next = 0
        var ends: [Int: End] = [:]
        var problems: [String] = []
    }

    private let port: Int
    private let seed: UInt64
    private let count: Int
    private let state = Mutex(State())

    init(port: Int, seed: UInt64, count: Int) {
        self.port = port
        self.seed = seed
        self.count = count
    }

    var finished: Int { state.withLock { $0.ends.count + $0.problems.count } }
    var isDone: Bool { finished >= count }
    var problems: [String] { state.withLock { Array($0.problems.prefix(10)) } }
    var ends: [Int: End] { state.withLock { $0.ends } }

    var summary: String {
        let counts = Dictionary(ends.values.map { ($0, 1) }, uniquingKeysWith: +)
        return "\(count) requests: " + counts.map { "\($0.value) \($0.key)" }.sorted().joined(separator: ", ")
    }

    func start(_ client: Int) {
        Thread.detachNewThread { [self] in
            var connection: RawClient?
            while let id = state.withLock({ state -> Int? in
                if state.next == count { return nil }
                state.next += 1
                return state.next - 1
            }) {
                let plan = Plan(seed, id)
                do {
                    let end = try perform(plan, id, &connection)
                    state.withLock { $0.ends[id] = end }
                } catch {
                    connection = nil
                    state.withLock { $0.problems.append("\(id): \(error) for \(plan)") }
                }
            }
        }
    }

    private func perform(_ plan: Plan, _ id: Int, _ connection: inout RawClient?) throws -> End {
        if plan.isOnNewConnection { connection = nil }
        let isReused = connection != nil
        let client = try connection ?? RawClient(port: port, timeout: 60)
        connection = nil
        let target = "\(plan.hasDeadline ? "/wait" : "/patient")/race?id=\(id)&way=\(plan.way)&us=\(plan.microseconds)"
        do {
            try send(plan, target, client)
            if let leaves = plan.leaves {
                if plan.way != "read" { usleep(UInt32(leaves)) }
                if plan.resets { client.reset() } else { client.close() }
                return .left
            }
        } catch WireError.reset where isReused {
            return try client.isUnanswered ? .unserved : .cut
        }
        let head: Response
        do {
            head = try client.head()
        } catch let error as WireError where isReused && error.isEndBeforeTheHead {
            return .unserved
        }
        if head.status == 504 && plan.hasDeadline {
            _ = try client.body(of: head)
            if head["Connection"] != "close" && !plan.isPipelined { connection = client }
            return .expired
        }
        guard head.status == 200 else { throw WireError.malformed("status \(head.status)") }
        let body: [UInt8]
        do {
            body = try client.body(of: head)
        } catch let error as WireError where error.isCut && plan.hasDeadline && ["midway", "write"].contains(plan.way) {
            return .cut
        }
        try check(body, plan, id)
        if plan.isPipelined {
            // A restart may come between the two.
            guard head["Connection"] != "close", let second = try? client.response() else { return .complete }
            if second.text != "Hello, world!\n" { throw WireError.malformed("pipelined: \(second)") }
        }
        if head["Connection"] != "close" { connection = client }
        return .complete
    }

    private func send(_ plan: Plan, _ target: String, _ client: RawClient) throws {
        var rest = ""
        if plan.way == "read" {
            try client.send("POST \(target) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nhalf")
            usleep(UInt32(plan.leaves ?? plan.microseconds))
            if plan.leaves != nil { return }
            rest = "full"
        } else {
            rest = "GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n"
        }
        if plan.isPipelined { rest += "GET /app/hello HTTP/1.1\r\nHost: localhost\r\n\r\n" }
        do {
            try client.send(rest)
        } catch WireError.reset where plan.way == "read" {
            // It was answered, and closed, before all was sent.
        }
    }

    private func check(_ body: [UInt8], _ plan: Plan, _ id: Int) throws {
        let text = String(decoding: body, as: UTF8.self)
        let expected =
            switch plan.way {
            case "midway": "begin \(id)\nend \(id)\n"
            case "write": String(repeating: "x", count: 160_000) + "\(id)\n"
            case "read": "\(id) 8\n"
            default: "\(id)\n"
            }
        if text != expected { throw WireError.malformed("body \(text.prefix(100))") }
    }
}

extension RawClient {
    /// Whether nothing has come, and nothing will.
    fileprivate var isUnanswered: Bool {
        get throws {
            do { return try some(1).isEmpty } catch WireError.reset { return true }
        }
    }
}

extension WireError {
    fileprivate var isEndBeforeTheHead: Bool {
        switch self {
        case .reset: true
        case .noHead(let received): received.isEmpty
        default: false
        }
    }

    fileprivate var isCut: Bool {
        switch self {
        case .reset, .noLastChunk, .shortBody: true
        default: false
        }
    }
}
