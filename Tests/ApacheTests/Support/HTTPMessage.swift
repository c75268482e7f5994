import Foundation

/// A response as it came.
struct Response: CustomStringConvertible {
    struct Field {
        let name: String
        let value: String
    }

    var status = 0
    var reason = ""
    var version = ""
    var fields: [Field] = []
    var body: [UInt8] = []
    /// Interim responses before it: 100, 103.
    var interim: [Int] = []

    /// The field's values, joined as HTTP permits.
    subscript(name: String) -> String? {
        let values = all(name)
        return values.isEmpty ? nil : values.joined(separator: ", ")
    }

    func all(_ name: String) -> [String] {
        fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
    }

    var text: String { String(decoding: body, as: UTF8.self) }

    /// The body's lines, for bodies of `NAME=value` lines.
    var variables: [String: String] {
        var variables: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { variables[String(parts[0])] = String(parts[1]) }
        }
        return variables
    }

    var description: String {
        let head = fields.map { "\($0.name): \($0.value)" }.joined(separator: "\n")
        return "\(version) \(status) \(reason)\n\(head)\n\n\(text.prefix(2000))"
    }
}

/// How a connection disappointed.
enum WireError: Error, Equatable {
    case timedOut
    case reset
    /// The connection ended before a head did.
    case noHead(received: String)
    /// The body is shorter than Content-Length.
    case shortBody(received: Int, of: Int)
    /// The connection ended inside a chunked body: there was no last chunk.
    case noLastChunk(received: Int)
    case malformed(String)
    case system(String)
}
