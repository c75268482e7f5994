import Foundation
import Testing

/// The sample with a database: an application of Hummingbird over SQLite, in several processes.
@Suite(.enabled(if: Applications.hasFrameworks, "`make frameworks` builds what this tests."))
struct TodosTests {
    private struct Todo: Codable, Equatable {
        var id: Int
        var title: String
        var isDone: Bool
    }

    /// A server with the sample at `/list`, and a database that its user may write.
    private static func configuration(_ mpm: Configuration.MPM = .event, children: Int = 1) throws -> Configuration {
        try Applications.addFramework("Todos")
        return Configuration(
            "SwiftGIScriptAlias /list ${apps}/libTodos.so", mpm: mpm, children: children,
            environment: ["TODOS": "${root}/database/todos.sqlite", "SWIFTGI_VALIDATE": "1"]
        ).preparing { try makeDirectory("\($0)/database", mode: 0o777) }
    }

    private static func send(
        _ server: Server, _ method: String, _ path: String, _ json: String? = nil
    ) throws -> (status: Int, body: Data) {
        let response = try server.request(
            method, "/list/todos\(path)", ["Content-Type: application/json"], body: json.map { Array($0.utf8) })
        return (response.status, Data(response.body))
    }

    private static func all(_ server: Server) throws -> [Todo] {
        try JSONDecoder().decode([Todo].self, from: try send(server, "GET", "").body)
    }

    @Test(arguments: Configuration.MPM.allCases)
    func api(_ mpm: Configuration.MPM) async throws {
        try await withServer(try Self.configuration(mpm)) { server in
            let empty = try Self.all(server)
            #expect(empty == [])
            let (status, body) = try Self.send(server, "POST", "", "{\"title\": \"Brot & \\\"Müsli\\\"\"}")
            #expect(status == 201)
            let todo = try JSONDecoder().decode(Todo.self, from: body)
            #expect(todo == Todo(id: todo.id, title: "Brot & \"Müsli\"", isDone: false))
            let patched = try Self.send(server, "PATCH", "/\(todo.id)", "{\"isDone\": true}")
            #expect(try JSONDecoder().decode(Todo.self, from: patched.body).isDone)
            #expect(try Self.all(server) == [Todo(id: todo.id, title: todo.title, isDone: true)])
            // What a transaction did before it failed is taken back.
            let list = "[{\"title\": \"one\"}, {\"title\": \"\"}]"
            #expect(try Self.send(server, "PUT", "", list).status == 400)
            #expect(try Self.all(server).map(\.title) == [todo.title])
            #expect(try Self.send(server, "PUT", "", "[{\"title\": \"one\"}, {\"title\": \"two\"}]").status == 200)
            #expect(try Self.all(server).map(\.title) == ["one", "two"])
            #expect(try Self.send(server, "DELETE", "/\(todo.id)").status == 404)
            #expect(try Self.send(server, "DELETE", "/\(Self.all(server)[0].id)").status == 204)
            #expect(try Self.send(server, "POST", "", "{\"title\": \"\"}").status == 400)
            #expect(try Self.send(server, "POST", "", "no JSON").status == 400)
        }
    }

    /// Several processes make the tables and write at the same time, and none of what was answered is lost;
    /// a restart in between finds it all.
    @Test(arguments: [Configuration.MPM.event, .prefork])
    func concurrentWriters(_ mpm: Configuration.MPM) async throws {
        var configuration = try Self.configuration(mpm, children: 3)
        if mpm == .event { configuration = configuration.with(threads: 4) }
        try await withServer(configuration) { server in
            let port = server.port
            let load = Load(clients: 6) {
                let client = try RawClient(port: port)
                let body = Array("{\"title\": \"from a client\"}".utf8)
                try client.request(
                    "POST /list/todos HTTP/1.1",
                    [
                        "Host: localhost", "Connection: close", "Content-Type: application/json",
                        "Content-Length: \(body.count)",
                    ])
                try client.send(body)
                let response = try client.response()
                return response.status == 201 ? nil : "\(response)"
            }
            try load.waitForMore(60)
            server.graceful()
            try load.waitForMore(60)
            let result = try load.stop()
            #expect(result.failures == [])
            let todos = try Self.all(server)
            #expect(todos.count == result.answered)
            #expect(Set(todos.map(\.id)).count == todos.count)
            let processes = Set(server.errorLog.lines(with: "SGI0021").map(\.pid))
            #expect(processes.count >= 3)
        }
    }

    @Test func page() async throws {
        try await withServer(try Self.configuration()) { server in
            let browser = try Browser()
            defer { browser.close() }
            try browser.open("http://127.0.0.1:\(server.port)/list")
            func wait(_ what: String, _ expression: String) throws {
                try ApacheTests.wait(what) { try browser.text(of: expression) == "true" }
            }
            try wait("the page to be ready", "document.body.dataset.ready === 'true'")
            func add(_ title: String) throws {
                _ = try browser.text(
                    of: """
                        (document.getElementById('title').value = '\(title)',
                        document.querySelector('#new button').click())
                        """)
            }
            try add("<b>Milk</b>")
            try wait("one item", "document.querySelectorAll('#list li').length === 1")
            try add("Bread")
            try wait("two items", "document.querySelectorAll('#list li').length === 2")
            // Text, not markup.
            #expect(try browser.text(of: "document.querySelector('#list span').textContent") == "<b>Milk</b>")
            _ = try browser.text(of: "document.querySelector('#list input').click()")
            try wait("the first item to be done", "document.querySelector('#list li').className === 'done'")
            _ = try browser.text(of: "document.querySelectorAll('#list button')[1].click()")
            try wait("one item to be left", "document.querySelectorAll('#list li').length === 1")
            // It is all in the database: another look at the page shows it, and so does the API.
            try browser.open("http://127.0.0.1:\(server.port)/list/")
            try wait("the page to be ready", "document.body.dataset.ready === 'true'")
            #expect(try browser.text(of: "document.querySelector('#list li').className") == "done")
            #expect(try browser.text(of: "document.getElementById('error').textContent") == "")
            let todos = try Self.all(server)
            #expect(todos.map(\.title) == ["<b>Milk</b>"])
            #expect(todos.map(\.isDone) == [true])
        }
    }
}
