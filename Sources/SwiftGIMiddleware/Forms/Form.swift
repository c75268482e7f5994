/// What a browser sent of a form.
public struct Form: Sendable {
    /// A field and its text.
    public struct Field: Sendable, Hashable {
        /// The name.
        public let name: String
        /// The text; bytes that are not UTF-8 are repaired.
        public let value: String

        /// A field.
        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// The fields in their order; names may repeat.
    public internal(set) var fields: [Field] = []

    /// The files in their order.
    public internal(set) var files: [FormFile] = []

    /// The text of the first field of a name, or `nil` if there is none.
    public subscript(name: String) -> String? { fields.first { $0.name == name }?.value }

    /// The texts of all fields of a name, as several check boxes send them.
    public func values(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }

    /// The first file of a name, or `nil` if there is none. An empty choice is a file without name and
    /// content.
    public func file(_ name: String) -> FormFile? { files.first { $0.name == name } }
}

/// How much of a form is taken.
public struct FormLimits: Sendable {
    /// How many bytes the whole body may have.
    public var body: Int

    /// How many bytes a field's text may have.
    public var field: Int

    /// How many bytes of a file are kept in memory; a longer one goes into a file without a name.
    public var fileInMemory: Int

    /// How many fields and files there may be.
    public var count: Int

    /// Where files go: a directory on a disk with room for ``body`` times the requests at a time.
    public var directory: String

    /// Limits.
    public init(
        body: Int = 32 << 20, field: Int = 1 << 20, fileInMemory: Int = 64 << 10, count: Int = 1000,
        directory: String = "/tmp"
    ) {
        self.body = body
        self.field = field
        self.fileInMemory = fileInMemory
        self.count = count
        self.directory = directory
    }
}
