import GRDB
import Hummingbird

/// Something to be done.
struct Todo: ResponseCodable, FetchableRecord, MutablePersistableRecord {
    var id: Int64?
    var title: String
    var isDone: Bool

    static let databaseTableName = "todo"

    mutating func didInsert(_ inserted: InsertionSuccess) { id = inserted.rowID }
}
