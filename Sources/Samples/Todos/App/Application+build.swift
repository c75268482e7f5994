import GRDB
import Hummingbird
import Logging

/// A list of things to do: a JSON API over a database in a file, and a page that uses it.
///
/// It is an application of Hummingbird like any other; `Library` next to it has the three lines that
/// serve it from httpd.
///
/// - Parameter path: The database's file.
public func buildApplication(database path: String) async throws -> some ApplicationProtocol {
    let database = try openDatabase(path)
    let router = Router()
    router.get("/") { _, _ in
        Response(
            status: .ok, headers: [.contentType: "text/html; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: page)))
    }
    let todos = router.group("todos")
    todos.get { _, _ in try await database.read { try Todo.order(Column("id")).fetchAll($0) } }
    todos.post { request, context in
        let new = try await request.decode(as: NewTodo.self, context: context)
        guard !new.title.isEmpty else { throw HTTPError(.badRequest, message: "A title is needed.") }
        let todo = try await database.write { database in
            var todo = Todo(title: new.title, isDone: false)
            try todo.insert(database)
            return todo
        }
        return EditedResponse(status: .created, response: todo)
    }
    todos.patch(":id") { request, context in
        let id = try context.parameters.require("id", as: Int64.self)
        let change = try await request.decode(as: Change.self, context: context)
        return try await database.write { database -> Todo in
            guard var todo = try Todo.fetchOne(database, key: id) else { throw HTTPError(.notFound) }
            todo.title = change.title ?? todo.title
            todo.isDone = change.isDone ?? todo.isDone
            try todo.update(database)
            return todo
        }
    }
    todos.delete(":id") { _, context in
        let id = try context.parameters.require("id", as: Int64.self)
        return try await database.write { try Todo.deleteOne($0, key: id) } ? HTTPResponse.Status.noContent : .notFound
    }
    // All or none: what throws in between takes back what was done.
    todos.put { request, context in
        let list = try await request.decode(as: [NewTodo].self, context: context)
        return try await database.write { database in
            try Todo.deleteAll(database)
            return try list.map { new in
                guard !new.title.isEmpty else { throw HTTPError(.badRequest, message: "A title is needed.") }
                var todo = Todo(title: new.title, isDone: false)
                try todo.insert(database)
                return todo
            }
        }
    }
    return Application(router: router, logger: Logger(label: "todos"))
}

private struct NewTodo: Decodable {
    let title: String
}

private struct Change: Decodable {
    let title: String?
    let isDone: Bool?
}
