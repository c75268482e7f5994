import Glibc
import SwiftGIHummingbird
import TodosApp

@c public func swiftgi_application() -> ApplicationTable {
    export(hummingbird: {
        // SetEnv is for requests; this comes from the environment that httpd was started with.
        try await buildApplication(
            database: getenv("TODOS").map { String(cString: $0) } ?? "/var/lib/todos/todos.sqlite")
    })
}
