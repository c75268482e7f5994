import HTTPTypes
import SwiftGICore

/// Responses that have no body whatever the handler sends: W45 and W46.
let asyncStatusCases: [ConformanceCase] = [
    ConformanceCase(async: "W45", "HEAD gets no body", at: "head") { request, _, sender in
        try await send(await request.query, [[97], [98]], textHead, sender)
    } check: { session in
        for kind in ["whole", "last", "written"] {
            let response = try await session.send(session.request("HEAD", "?" + kind))
            try response.requireStatus(200)
            try require(response.body, equals: [], "the body of \(kind)")
            try require(
                response.values("Content-Type"), equals: ["text/plain; charset=utf-8"], "Content-Type of \(kind)")
            if kind == "whole" { try require(response.values("Content-Length"), equals: ["2"], "Content-Length") }
        }
    },

    ConformanceCase(async: "W45", "HEAD gets the handler's Content-Length", at: "length") { _, _, sender in
        try await sender.sendAndFinish(
            HTTPResponse(status: .ok, headerFields: [.contentType: "text/plain", .contentLength: "1234"]))
    } check: { session in
        let response = try await session.send(session.request("HEAD"))
        try response.requireStatus(200)
        try require(response.body, equals: [], "the body")
        try require(response.values("Content-Length"), equals: ["1234"], "Content-Length")
    },

    ConformanceCase(async: "W46", "204 and 304 have no body and nothing that describes one", at: "no-content") {
        request, _, sender in
        let parts = await request.query.split(separator: ",").map { String($0) }
        let status = parts.first.flatMap { Int($0) } ?? 0
        var fields: HTTPFields = [.contentType: "text/plain", .eTag: "\"v1\""]
        if parts.last == "length" { fields[.contentLength] = "2" }
        let head = HTTPResponse(status: .init(code: status), headerFields: fields)
        try await send(parts.last ?? "", parts.last == "empty" ? [] : [[97], [98]], head, sender)
    } check: { session in
        for status in [204, 304] {
            for kind in ["whole", "last", "written", "empty", "length"] {
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

    ConformanceCase(async: "W46", "An informational status is no response", at: "informational", log: ["SGI0208"]) {
        request, _, sender in
        if await request.query == "informational" {
            // As such it is good, and what is no such thing is refused.
            var sender = sender
            try await sender.sendInformational(HTTPResponse(status: .init(code: 103)))
            do {
                try await sender.sendInformational(textHead)
            } catch {
                return try await reply(sender, code(of: error))
            }
        } else {
            try await sender.sendAndFinish(HTTPResponse(status: .continue))
        }
    } check: { session in
        try await session.get().requireStatus(500)
        try await session.get("?informational").requireText("invalidStatus")
    },
]
