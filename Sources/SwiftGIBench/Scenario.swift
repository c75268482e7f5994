/// One thing that is measured of all contestants.
struct Scenario: Sendable {
    let name: String
    let title: String
    var setup = Setup()
    let kind: Kind
    /// The least time that a measurement takes, in seconds.
    var leastSeconds = 0.0
    /// Whether `QUICK=1` leaves it out unless it is named.
    var isLong = false
    /// What names it along with others.
    var group: String?
    /// Who takes part beside the handler in C; `nil` for everybody.
    var only: Set<String>?

    enum Kind: Sendable {
        case load(Request, Load)
        /// From the start of the processes to the first answer.
        case coldStart
        /// Memory behind some load.
        case memory
        /// A handler alone, without a server.
        case executor
        /// Streams of events that wait; only the async contract has them.
        case streams
        /// A process for each request.
        case cgi
        /// Application servers by the number of their threads, processes and machines.
        case capacity
    }

    /// Whether all contestants' servers run meanwhile.
    var isOfServers: Bool {
        switch kind {
        case .load, .memory: true
        default: false
        }
    }

    /// Whether this is among what a list names; everything is if there is none.
    func isNamed(in names: Set<String>) -> Bool {
        names.contains(name) || (group.map { names.contains($0) } ?? false)
    }

    /// Who takes part in the scenarios that compare FastCGI servers: each behind both web servers.
    private static let fastCGI: Set = ["swiftgi-fcgi", "swiftgi-nginx", "fcgi-c", "fcgi-c-nginx"]

    static let all: [Scenario] = [
        Scenario(
            name: "hello", title: "hello, 16 connections",
            kind: .load(Request(path: "/hello"), .wrk(connections: 16))),
        Scenario(
            name: "environ", title: "10 variables, 16 connections",
            kind: .load(Request(path: "/app/environ?a=1&b=2"), .wrk(connections: 16))),
        Scenario(
            name: "json", title: "10 KiB of JSON, 16 connections",
            kind: .load(Request(path: "/app/json"), .wrk(connections: 16))),
        Scenario(
            name: "down", title: "1 MiB down, 4 connections",
            kind: .load(Request(path: "/app/down"), .bulk(connections: 4))),
        Scenario(
            name: "up", title: "1 MiB up, checksummed, 4 connections",
            kind: .load(Request(path: "/app/up", upload: 1 << 20), .wrk(connections: 4))),
        Scenario(
            name: "file", title: "file of 100 MiB, 4 connections",
            kind: .load(Request(path: "/app/file"), .bulk(connections: 4)), leastSeconds: 0.5),
        Scenario(
            name: "stream", title: "1,000 chunks of 16 bytes, 4 connections",
            kind: .load(Request(path: "/app/stream"), .wrk(connections: 4)), leastSeconds: 0.5),
        Scenario(
            name: "c1", title: "hello, 1 connection", kind: .load(Request(path: "/hello"), .wrk(connections: 1))),
        Scenario(
            name: "c64", title: "hello, 64 connections", kind: .load(Request(path: "/hello"), .wrk(connections: 64))),
        Scenario(
            name: "c1000", title: "hello, 1,000 connections",
            kind: .load(Request(path: "/hello"), .wrk(connections: 1000)), leastSeconds: 0.6),
        Scenario(
            name: "wait", title: "a handler that waits 50 ms, 1,000 connections",
            kind: .load(Request(path: "/app/wait"), .wrk(connections: 1000)), leastSeconds: 0.8),
        Scenario(
            name: "fastcgi-hello", title: "FastCGI: hello, 16 connections",
            kind: .load(Request(path: "/hello"), .wrk(connections: 16)), group: "fastcgi", only: fastCGI),
        Scenario(
            name: "fastcgi-100k", title: "FastCGI: 100 KiB, 16 connections",
            kind: .load(Request(path: "/app/body/102400"), .bulk(connections: 16)), group: "fastcgi", only: fastCGI),
        Scenario(
            name: "http2", title: "hello, HTTP/2 and TLS, 4 connections of 32 streams",
            setup: Setup(hasTLS: true),
            kind: .load(Request(path: "/hello"), .h2load(connections: 4, streams: 32))),
        Scenario(name: "cgi", title: "CGI: from the start of the process to the first byte", kind: .cgi),
        Scenario(name: "cold", title: "cold start to first response", kind: .coldStart),
        Scenario(
            name: "memory", title: "memory with 10 processes of httpd", setup: Setup(children: 10), kind: .memory),
        Scenario(name: "executor", title: "hello without a server: what contracts and executors cost", kind: .executor),
        Scenario(
            name: "streams", title: "streams that wait, an event a second each, one child of 16 threads",
            setup: Setup(threads: 16, asyncFactor: 700), kind: .streams, isLong: true),
        Scenario(
            name: "capacity", title: "FastCGI behind nginx, by machines, processes and threads", kind: .capacity,
            isLong: true),
    ]
}

/// How cost grows with something.
struct Curve: Sendable {
    let name: String
    let title: String
    let points: [Int]
    let quickPoints: [Int]
    /// What the points are called on the axis.
    let unit: String
    let measure: @Sendable (Int) -> (Request, Load)
    /// Those that can't take part.
    var without: [String] = []

    static let all: [Curve] = [
        Curve(
            name: "connections", title: "connections", points: [1, 4, 16, 64, 256, 1000], quickPoints: [1, 16, 1000],
            unit: "connections", measure: { (Request(path: "/hello"), .wrk(connections: $0)) }),
        Curve(
            name: "body", title: "size of the response",
            points: [0, 1 << 10, 10 << 10, 100 << 10, 1 << 20, 10 << 20, 100 << 20],
            quickPoints: [0, 10 << 10, 1 << 20], unit: "bytes",
            measure: { (Request(path: "/app/body/\($0)"), .bulk(connections: 8)) }),
        Curve(
            name: "fields", title: "header fields of the request", points: [5, 10, 20, 50, 100],
            quickPoints: [5, 100], unit: "fields",
            measure: { (Request(path: "/hello", extraFields: $0 - HTTPProbe.fields.count), .wrk(connections: 16)) }),
        Curve(
            name: "depth", title: "layers of middleware", points: [0, 5, 10, 20], quickPoints: [0, 20],
            unit: "layers", measure: { (Request(path: "/app/depth/\($0)"), .wrk(connections: 16)) },
            without: [Contestants.limit]),
    ]

    static let contestants = [Contestants.limit, "swiftgi", "swiftgi-async", "swiftgi-daemon"]
}
