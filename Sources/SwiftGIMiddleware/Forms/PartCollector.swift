import SwiftGICore

/// Makes fields and files of the parts of a form.
struct PartCollector {
    let limits: FormLimits
    private(set) var form = Form()

    private var head: PartHead?
    private var bytes: [UInt8] = []
    private var file: FileStorage?
    private var count = 0

    init(limits: FormLimits) { self.limits = limits }

    /// Takes a field that is there as a whole.
    mutating func add(_ name: String, _ value: String) throws {
        try requireRoom()
        if value.utf8.count > limits.field {
            throw GatewayError(.bodyTooLarge, "a field of a form has more than \(limits.field) bytes")
        }
        form.fields.append(Form.Field(name: name, value: value))
    }

    mutating func take(_ event: MultipartParser.Event) throws {
        switch event {
        case .head(let head):
            try requireRoom()
            self.head = head
            bytes = []
            file = nil
            count = 0
        case .content(let piece):
            count += piece.count
            if head?.filename == nil {
                if count > limits.field {
                    throw GatewayError(.bodyTooLarge, "a field of a form has more than \(limits.field) bytes")
                }
                bytes += piece
            } else {
                try store(piece)
            }
        case .end:
            guard let head else { return }
            if let filename = head.filename {
                form.files.append(
                    FormFile(
                        name: head.name, filename: filename, contentType: head.contentType, count: count,
                        storage: file ?? FileStorage(bytes: bytes)))
            } else {
                form.fields.append(Form.Field(name: head.name, value: String(decoding: bytes, as: UTF8.self)))
            }
            self.head = nil
            file = nil
            bytes = []
        }
    }

    private mutating func store(_ piece: ArraySlice<UInt8>) throws {
        if file == nil, count <= limits.fileInMemory {
            bytes += piece
            return
        }
        if file == nil {
            let opened = FileStorage(descriptor: try FileStorage.open(in: limits.directory))
            file = opened
            try opened.descriptor.map { try FileStorage.write($0, bytes) }
            bytes = []
        }
        if let descriptor = file?.descriptor { try FileStorage.write(descriptor, Array(piece)) }
    }

    private func requireRoom() throws {
        if form.fields.count + form.files.count >= limits.count {
            throw GatewayError(.bodyTooLarge, "a form of more than \(limits.count) parts")
        }
    }
}
