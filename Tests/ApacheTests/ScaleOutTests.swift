import Foundation
import Synchronization
import Testing

/// Two machines with application servers behind one web server that balances.
@Suite(.serialized) struct ScaleOutTests {
    /// Who has answered.
    private final class Answers: Sendable {
        private let counts = Mutex<[String: Int]>([:])

        func add(_ pid: String) { counts.withLock { $0[pid, default: 0] += 1 } }
        func count(of server: ApplicationServer) -> Int { counts.withLock { $0["\(server.pid)"] ?? 0 } }
    }

    private func withServers(_ body: ([ApplicationServer]) async throws -> Void) async throws {
        let servers = try (0..<2).map { try ApplicationServer($0) }
        defer { for wrong in servers.flatMap({ $0.stop() }) { Issue.record("\(wrong)") } }
        try await body(servers)
    }

    /// Clients that ask who answers, over and over.
    private func load(_ port: Int, _ answers: Answers) -> Load {
        Load(clients: 4) {
            let client = try RawClient(port: port)
            try client.request("GET /app/pid HTTP/1.1", ["Host: localhost", "Connection: close"])
            let response = try client.response()
            guard response.status == 200 else { return "status \(response.status)" }
            answers.add(response.text.trimmingCharacters(in: .whitespacesAndNewlines))
            return nil
        }
    }

    /// Kills a server under load and has it come back; no request may fail.
    private func failover(
        _ servers: [ApplicationServer], port: Int, isDown: () throws -> Bool, isUp: () throws -> Bool
    ) throws {
        let answers = Answers()
        let load = load(port, answers)
        try wait("answers of both") { servers.allSatisfy { answers.count(of: $0) > 20 } }
        try servers[0].die()
        try wait("the balancer to know") { try isDown() }
        try load.waitForMore(200)
        try servers[0].start()
        try wait("the balancer to know that it is back") { try isUp() }
        try wait("answers of the one that is back; failures: \(load.failures)") { answers.count(of: servers[0]) > 20 }
        let (answered, failures) = try load.stop()
        #expect(answered > 260)
        #expect(failures == [])
    }

    /// Who answers those that have a cookie.
    private func sticking(_ port: Int, _ path: String, _ cookie: String) throws -> Set<String> {
        var pids: Set<String> = []
        for _ in 0..<20 {
            let client = try RawClient(port: port)
            try client.request(
                "GET \(path)/pid HTTP/1.1", ["Host: localhost", "Connection: close", "Cookie: \(cookie)"])
            let response = try client.response()
            #expect(response.status == 200)
            pids.insert(response.text.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        return pids
    }

    @Test("mod_proxy_balancer: no request fails when a server dies and comes back; sessions stick")
    func httpd() async throws {
        try await withServers { servers in
            let members = zip(servers, ["a", "b"]).map { server, route in
                "BalancerMember fcgi://\(server.machine.address):\(server.port) route=\(route) hcmethod=TCP "
                    + "hcinterval=1 hcpasses=1 hcfails=1\n"
            }
            let lines = """
                <Proxy balancer://app>
                \(members.joined())
                ProxySet lbmethod=byrequests stickysession=ROUTEID
                </Proxy>
                Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/" env=BALANCER_ROUTE_CHANGED
                ProxyPass /app balancer://app
                <Location /balancer-manager>
                SetHandler balancer-manager
                Require local
                </Location>
                """
            var configuration = Configuration(
                lines,
                modules: [
                    "proxy", "proxy_fcgi", "slotmem_shm", "proxy_balancer", "watchdog", "proxy_hcheck",
                    "lbmethod_byrequests", "headers",
                ], threads: 16)
            configuration.loadsModule = false
            configuration.logLevel = "info"
            // What httpd says of a server that is not there.
            let own = ["AH01079", "AH01114", "AH01075", "AH00957", "AH00959", "AH01067", "AH03300", "AH03301"]
            try await withServer(configuration, permitting: own) { server in
                func state(_ index: Int) throws -> String {
                    // It answers nobody who comes from elsewhere without a word in the log.
                    let referer = "Referer: http://localhost/balancer-manager"
                    let page = try server.get("/balancer-manager", [referer]).text
                    let worker = "fcgi://\(servers[index].machine.address):\(servers[index].port)"
                    // A row of a table: the worker, its route, …, its status.
                    let rows = page.components(separatedBy: "<tr>").filter { $0.contains(worker) }
                    return rows.joined(separator: "\n")
                }
                #expect(try state(0).contains("Init Ok"))
                #expect(try state(1).contains("Init Ok"))
                try failover(
                    servers, port: server.port,
                    isDown: { try state(0).contains("HcFl") || state(0).contains("Err") },
                    isUp: { try state(0).contains("Init Ok") })
                #expect(try state(1).contains("Init Ok"))

                let first = try server.get("/app/pid")
                #expect(first["Set-Cookie"]?.hasPrefix("ROUTEID=.") == true)
                for (route, one) in zip(["a", "b"], servers) {
                    #expect(try sticking(server.port, "/app", "ROUTEID=.\(route)") == ["\(one.pid)"])
                }
            }
        }
    }

    @Test("nginx: no request fails when a server dies and comes back; sessions stick")
    func nginx() async throws {
        try await withServers { servers in
            let root = "\(Paths.temporary)/scale-\(UUID().uuidString.prefix(8))"
            for directory in ["", "/run", "/logs", "/temporary"] { try makeDirectory(root + directory) }
            let port = Ports.next()
            let members = servers.map {
                "server \($0.machine.address):\($0.port) max_fails=1 fail_timeout=1s;"
            }.joined(separator: "\n")
            func location(_ path: String, _ upstream: String) -> String {
                """
                location \(path) {
                    include /etc/nginx/fastcgi_params;
                    fastcgi_param SWIFTGI_SCRIPT_NAME \(path);
                    fastcgi_keep_conn on;
                    fastcgi_next_upstream error timeout invalid_header;
                    fastcgi_pass \(upstream);
                }
                """
            }
            try writeFile(
                "\(root)/nginx.conf",
                """
                daemon off;
                \(ServedAs.isRoot ? "user \(ServedAs.user);" : "")
                worker_processes 1;
                pid \(root)/run/nginx.pid;
                error_log \(root)/logs/error.log info;
                events {}
                http {
                    access_log off;
                    client_body_temp_path \(root)/temporary/body;
                    proxy_temp_path \(root)/temporary/proxy;
                    fastcgi_temp_path \(root)/temporary/fastcgi;
                    scgi_temp_path \(root)/temporary/scgi;
                    uwsgi_temp_path \(root)/temporary/uwsgi;
                    upstream app { \(members) keepalive 8; }
                    upstream sticky { hash $cookie_session consistent; \(members) keepalive 8; }
                    server {
                        listen 127.0.0.1:\(port);
                        \(location("/app", "app"))
                        \(location("/sticky", "sticky"))
                    }
                }

                """)
            let command = try Command(
                "/usr/sbin/nginx", ["-p", root, "-e", "\(root)/logs/error.log", "-c", "\(root)/nginx.conf"])
            try wait("nginx to listen") {
                if command.hasEnded { throw Command.Failure(description: "it ended: \(try command.finish())") }
                return (try? RawClient(port: port)) != nil
            }
            let log = { readText("\(root)/logs/error.log") }
            do {
                // nginx has no list of its servers' states: its log has them.
                try failover(
                    servers, port: port,
                    isDown: { log().contains("upstream server temporarily disabled") }, isUp: { true })
                for session in ["one", "two", "three", "four"] {
                    #expect(try sticking(port, "/sticky", "session=\(session)").count == 1)
                }
                let all = try Set((0..<32).flatMap { try sticking(port, "/sticky", "session=\($0)") })
                #expect(all == Set(servers.map { "\($0.pid)" }))
            } catch {
                Issue.record("\(error)\n\(log())")
            }
            kill(command.pid, SIGTERM)
            #expect(try command.finish().status == 0)
            let own = ["connect() failed", "temporarily disabled", "prematurely closed", "Connection reset by peer"]
            for line in log().split(separator: "\n")
            where ["[warn]", "[error]", "[crit]", "[alert]"].contains(where: line.contains) {
                #expect(own.contains(where: line.contains), "\(line)")
            }
        }
    }
}
