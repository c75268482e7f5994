import HTTPTypes
import SwiftGICore

/// Responses that have no body whatever the application returns: W45 and W46.
let statusCases: [ConformanceCase] = [
    ConformanceCase("W45", "HEAD gets no body, and the body is closed", at: "head") { environ, startResponse in
        let journal = try Journal(environ)
        let kind = environ.queryString
        try startResponse(.ok, textType, nil)
        let body: Body
        switch kind {
        case "pull":
            var pieces: [[UInt8]] = [[97], [98]]
            body = .pull { pieces.popLast() }
        case "push": body = .push { try $0.write("ab") }
        case "chunks": body = .chunks([[97], [98]])
        case "file": body = .file(descriptor: try journal.openFile([97, 98]), offset: 0)
        default: body = .string("ab")
        }
        return body.onClose { journal.note("closed \(kind)") }
    } check: { session in
        for kind in ["string", "chunks", "file", "pull", "push"] {
            let response = try await session.send(session.request("HEAD", "?" + kind))
            try response.requireStatus(200)
            try require(response.body, equals: [], "the body of \(kind)")
            try require(
                response.values("Content-Type"), equals: ["text/plain; charset=utf-8"], "Content-Type of \(kind)")
            if ["string", "chunks", "file"].contains(kind) {
                try require(response.values("Content-Length"), equals: ["2"], "Content-Length of \(kind)")
            }
            _ = try await session.journal(with: "closed \(kind)")
        }
    },

    ConformanceCase("W45", "HEAD gets the application's Content-Length", at: "length") { environ, startResponse in
        try startResponse(.ok, [.contentType: "text/plain", .contentLength: "1234"], nil)
        return .empty
    } check: { session in
        let response = try await session.send(session.request("HEAD"))
        try response.requireStatus(200)
        try require(response.body, equals: [], "the body")
        try require(response.values("Content-Length"), equals: ["1234"], "Content-Length")
    },

    ConformanceCase("W46", "204 and 304 have no body and nothing that describes one", at: "no-content") {
        environ, startResponse in
        let parts = environ.queryString.split(separator: ",")
        let status = parts.first.flatMap { Int($0) } ?? 0
        var fields: HTTPFields = [.contentType: "text/plain", .eTag: "\"v1\""]
        if parts.last == "length" { fields[.contentLength] = "2" }
        try startResponse(.init(code: status), fields, nil)
        switch parts.last {
        case "push": return .push { try $0.write("ab") }
        case "file": return .file(descriptor: try Journal(environ).openFile([97, 98]), offset: 0)
        case "empty": return .empty
        default: return .string("ab")
        }
    } check: { session in
        for status in [204, 304] {
            for kind in ["string", "push", "file", "empty", "length"] {
                let response = try await session.get("?\(status),\(kind)")
                try response.requireStatus(status)
                try require(response.body, equals: [], "the body of \(status) \(kind)")
                try require(response.values("ETag"), equals: ["\"v1\""], "ETag")
                for name in ["Content-Type", "Content-Length", "Transfer-Encoding"] {
                    try require(response.values(name), equals: [], "\(name) of \(status) \(kind)")
                }
            }
        }
    },

    ConformanceCase("W46", "An informational status is no response", at: "informational", log: ["SGI0208"]) {
        environ, startResponse in
        try startResponse(.continue, textType, nil)
        return .empty
    } check: { session in
        try await session.get().requireStatus(500)
    },
]
