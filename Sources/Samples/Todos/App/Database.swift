import GRDB
import Glibc

/// Opens the database and brings its tables up to date.
///
/// The server runs the application in several processes. One of them does it, the others wait; later
/// SQLite itself has one write at a time, and each waits for its turn as long as the timeout says.
func openDatabase(_ path: String) throws -> DatabasePool {
    let lock = open(path + ".lock", O_CREAT | O_RDWR | O_CLOEXEC, 0o644)
    defer { close(lock) }
    guard lock >= 0, flock(lock, LOCK_EX) == 0 else { throw DatabaseError(message: "\(path).lock: \(errno)") }
    var configuration = Configuration()
    configuration.busyMode = .timeout(10)
    let database = try DatabasePool(path: path, configuration: configuration)
    try migrations.migrate(database)
    // What is wrong with the file shows now, and not with the first request.
    _ = try database.read { try Todo.fetchCount($0) }
    return database
}

private var migrations: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("todos") { database in
        try database.create(table: "todo") { table in
            table.autoIncrementedPrimaryKey("id")
            table.column("title", .text).notNull().check { length($0) > 0 }
        }
    }
    migrator.registerMigration("done") { database in
        try database.alter(table: "todo") { table in
            table.add(column: "isDone", .boolean).notNull().defaults(to: false)
        }
    }
    return migrator
}
