import SwiftGIServers

/// A record that the application sent.
package struct ClientRecord: Sendable {
    package let type: FastCGI.RecordType?
    package let id: UInt16
    package let content: [UInt8]
}

/// Speaks FastCGI from the web server's side.
package final class FastCGIClient {
    package let socket: ClientSocket

    package init(path: String) throws { socket = try ClientSocket(path: path) }

    package static func begin(_ id: UInt16, role: UInt16 = 1, keep: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendHeader(.beginRequest, id: id, count: 8)
        bytes += [UInt8(role >> 8), UInt8(role & 255), keep ? 1 : 0, 0, 0, 0, 0, 0]
        return bytes
    }

    package static func params(_ id: UInt16, _ variables: [(String, [UInt8])]) -> [UInt8] {
        var pairs: [UInt8] = []
        for (name, value) in variables { pairs.appendPair(Array(name.utf8).span, value.span) }
        var bytes: [UInt8] = []
        bytes.appendStream(.params, id: id, pairs.span)
        bytes.appendStreamEnd(.params, id: id)
        return bytes
    }

    package static func stdin(_ id: UInt16, _ content: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendStream(.stdin, id: id, content.span)
        return bytes
    }

    package static func stdinEnd(_ id: UInt16) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendStreamEnd(.stdin, id: id)
        return bytes
    }

    /// The next record, or `nil` at the end of the connection.
    package func record() throws -> ClientRecord? {
        guard let record = try rawRecord() else { return nil }
        return ClientRecord(type: FastCGI.RecordType(rawValue: record.type), id: record.id, content: record.content)
    }

    /// The next record, of whatever type.
    package func rawRecord() throws -> (type: UInt8, id: UInt16, content: [UInt8])? {
        guard let header = try socket.receive(exactly: 8) else { return nil }
        let count = Int(header[4]) << 8 | Int(header[5])
        guard header[0] == 1, let content = try socket.receive(exactly: count),
            try socket.receive(exactly: Int(header[6])) != nil
        else { return nil }
        return (header[1], UInt16(header[2]) << 8 | UInt16(header[3]), content)
    }
}

extension [UInt8] {
    /// Appends a name-value pair.
    package mutating func appendPair(_ name: [UInt8], _ value: [UInt8]) { appendPair(name.span, value.span) }
}

/// The response of a CGI-like program, as its bytes come in.
package struct GatewayResponse: Sendable {
    package private(set) var status = 0
    package private(set) var reason = ""
    package private(set) var headers: [(name: String, value: String)] = []
    package private(set) var body: [UInt8] = []
    package private(set) var hasHead = false
    private var headBytes: [UInt8] = []

    package init() {}

    package var text: String { String(decoding: body, as: UTF8.self) }

    package mutating func append(_ bytes: [UInt8]) {
        if hasHead {
            body += bytes
            return
        }
        headBytes += bytes
        guard headBytes.count >= 4 else { return }
        for end in 0...(headBytes.count - 4) where headBytes[end..<end + 4].elementsEqual([13, 10, 13, 10]) {
            body = Array(headBytes[(end + 4)...])
            parse(String(decoding: headBytes[..<end], as: UTF8.self))
            hasHead = true
            return
        }
    }

    private mutating func parse(_ head: String) {
        for line in head.split(separator: "\r\n") {
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { continue }
            let value = parts[1].drop { $0 == " " }
            if parts[0] == "Status" {
                status = Int(value.prefix(3)) ?? 0
                reason = String(value.dropFirst(4))
            } else {
                headers.append((String(parts[0]), String(value)))
            }
        }
    }
}
