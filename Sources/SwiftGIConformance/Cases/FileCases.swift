import Glibc
import HTTPTypes
import SwiftGICore

private let largeContent: [UInt8] = (0..<500_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }

/// Bodies out of files: W44.
let fileCases: [ConformanceCase] = [
    ConformanceCase("W44", "A file is sent from its current position to its end", at: "position") {
        environ, startResponse in
        let file = try Journal(environ).openFile(Array("0123456789".utf8))
        lseek(file, 3, SEEK_SET)
        try startResponse(.ok, textType, nil)
        return .file(descriptor: file)
    } check: { session in
        let response = try await session.get()
        try response.requireText("3456789")
        try require(response.values("Content-Length"), equals: ["7"], "Content-Length")
    },

    ConformanceCase("W44", "A part of a file is sent", at: "part") { environ, startResponse in
        let file = try Journal(environ).openFile(Array("0123456789".utf8))
        let numbers = environ.queryString.split(separator: ",").map { Int64($0) }
        try startResponse(.ok, textType, nil)
        return .file(descriptor: file, offset: numbers.first ?? nil, length: numbers.count > 1 ? numbers[1] : nil)
    } check: { session in
        try await session.get("?2").requireText("23456789")
        try await session.get("?2,3").requireText("234")
        try await session.get("?8,100").requireText("89")
        try await session.get("?10").requireText("")
        try await session.get("?5,0").requireText("")
        try await session.get("?\(Int64.max),\(Int64.max)").requireText("")
        try await session.get("?0,\(Int64.max)").requireText("0123456789")
    },

    ConformanceCase("W44", "A negative offset or length is a 500", at: "negative", log: ["SGI0209"]) {
        environ, startResponse in
        let file = try Journal(environ).openFile(Array("0123456789".utf8))
        let number = Int64(environ.queryString.dropFirst(7)) ?? 0
        try startResponse(.ok, textType, nil)
        if environ.queryString.hasPrefix("offset") { return .file(descriptor: file, offset: number) }
        return .file(descriptor: file, offset: 0, length: number)
    } check: { session in
        for number in [-1, Int64.min] {
            try await session.get("?offset=\(number)").requireStatus(500)
            try await session.get("?length=\(number)").requireStatus(500)
        }
    },

    ConformanceCase("W44", "A file ends at Content-Length", at: "cut") { environ, startResponse in
        let file = try Journal(environ).openFile(Array("0123456789".utf8))
        try startResponse(.ok, [.contentType: "text/plain", .contentLength: "4"], nil)
        return .file(descriptor: file, offset: 0)
    } check: { session in
        try await session.get().requireText("0123")
    },

    ConformanceCase("W44", "A file short of Content-Length does not look complete", at: "short", log: ["SGI0204"]) {
        environ, startResponse in
        let file = try Journal(environ).openFile(environ.queryString == "empty" ? [] : Array("0123".utf8))
        try startResponse(.ok, [.contentType: "text/plain", .contentLength: "10"], nil)
        return .file(descriptor: file, offset: 0)
    } check: { session in
        try await session.get().requireFailure()
        try await session.get("?empty").requireFailure()
    },

    ConformanceCase("W44", "An empty file is a body without bytes", at: "empty") { environ, startResponse in
        let file = try Journal(environ).openFile([])
        try startResponse(.ok, textType, nil)
        return .file(descriptor: file)
    } check: { session in
        let response = try await session.get()
        try response.requireText("")
        try require(response.values("Content-Length"), equals: ["0"], "Content-Length")
    },

    ConformanceCase("W44", "A large file arrives whole", at: "large") { environ, startResponse in
        let file = try Journal(environ).openFile(largeContent)
        try startResponse(.ok, [.contentType: "application/octet-stream"], nil)
        return .file(descriptor: file, offset: 0)
    } check: { session in
        let response = try await session.get()
        try response.requireStatus(200)
        try require(response.body == largeContent, "\(response.body.count) bytes that are not the file's")
    },

    ConformanceCase("W44", "A file is named by its path", at: "path") { environ, startResponse in
        let journal = try Journal(environ)
        journal.note("content")
        let body = try Body.file(path: journal.path)
        try startResponse(.ok, textType, nil)
        return body
    } check: { session in
        try await session.get().requireText("content\n")
    },

    ConformanceCase("W44", "A file that is not there can be answered", at: "absent") { environ, startResponse in
        let journal = try Journal(environ)
        let codes = [journal.path + ".absent", "", "/\u{0}"].map { path in code { _ = try Body.file(path: path) } }
        return try reply(startResponse, Set(codes).joined())
    } check: { session in
        try await session.get().requireText("output")
    },

    ConformanceCase("W44", "What is no regular file is read to its end", at: "pipe") { environ, startResponse in
        var ends: [Int32] = [-1, -1]
        // Room for both ends.
        let made = unsafe ends.withUnsafeMutableBufferPointer { unsafe pipe($0.baseAddress) }
        guard made == 0 else { throw ApplicationError("pipe") }
        let content = Array("through a pipe".utf8)
        _ = unsafe content.withUnsafeBytes { unsafe Glibc.write(ends[1], $0.baseAddress, $0.count) }
        let writing = ends[1]
        let isOpen = environ.queryString == "open"
        if !isOpen { close(writing) }
        try startResponse(.ok, isOpen ? [.contentLength: "9"] : textType, nil)
        return .file(descriptor: ends[0], length: environ.queryString == "part" ? 7 : nil)
            .onClose { if isOpen { close(writing) } }
    } check: { session in
        try await session.get().requireText("through a pipe")
        try await session.get("?part").requireText("through")
        // Nothing is read behind Content-Length, where it would wait for ever.
        try await session.get("?open").requireText("through a")
    },

    ConformanceCase("W44", "Nothing of a file is sent before it is returned", at: "unused", log: ["SGI0201"]) {
        environ, startResponse in
        try startResponse(.ok, textType, nil)
        let file = Body.file(descriptor: try Journal(environ).openFile(Array("not for you".utf8)), offset: 0)
        if environ.queryString == "throw" {
            _ = consume file
            throw ApplicationError()
        }
        return .string("something else")
    } check: { session in
        try await session.get().requireText("something else")
        try await session.get("?throw").requireStatus(500)
    },

    ConformanceCase("W44", "A file is closed with its body unless it is to stay open", at: "closing") {
        environ, startResponse in
        let journal = try Journal(environ)
        let file = try journal.openFile(Array("0123".utf8))
        environ.onFinish {
            journal.note(fcntl(file, F_GETFD) >= 0 ? "open" : "closed")
            close(file)
        }
        try startResponse(.ok, textType, nil)
        return .file(descriptor: file, offset: 0, closing: false)
    } check: { session in
        try await session.get().requireText("0123")
        try require(try await session.journal(with: "open"), equals: ["open"], "the journal")
    },
]
