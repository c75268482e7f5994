import HTTPTypes
import SwiftGICore
import SwiftGITesting
import SwiftGIValidator
import Testing

private struct Failure: Error {}

private struct Breach: Sendable, CustomTestStringConvertible {
    let rule: String
    let message: String
    let handler: ClosureHandler

    init(rule: String, message: String, _ closure: @escaping ClosureHandler.Closure) {
        self.rule = rule
        self.message = message
        handler = ClosureHandler(closure)
    }

    var testDescription: String { "\(rule) \(message)" }
}

private func head(
    _ fields: HTTPFields = [.contentType: "text/plain"], _ status: HTTPResponse.Status = .ok
) -> HTTPResponse {
    HTTPResponse(status: status, headerFields: fields)
}

private let breaches = [
    Breach(rule: "A1", message: "without having sent a response") { _, _, _, _ in },
    Breach(rule: "W28", message: "without having finished its response") { _, _, _, sender in
        var writer = try await sender.send(head())
        try await writer.write("x")
    },
    Breach(rule: "A3", message: "connection is hop-by-hop") { _, _, _, sender in
        try await sender.sendAndFinish(head([.connection: "close"]))
    },
    Breach(rule: "A3", message: "connection is hop-by-hop") { _, _, _, sender in
        let writer = try await sender.send(head([.connection: "close"]))
        try await writer.finish()
    },
    Breach(rule: "W24", message: "status 600") { _, _, _, sender in
        try await sender.sendAndFinish(head([:], HTTPResponse.Status(code: 600)))
    },
    Breach(rule: "A4", message: "Content-Length is 4, the body has 3 bytes") { _, _, _, sender in
        try await sender.sendAndFinish(head([.contentType: "text/plain", .contentLength: "4"]), Array("abc".utf8))
    },
    Breach(rule: "A4", message: "Content-Length is 4, the body has more") { _, _, _, sender in
        var writer = try await sender.send(head([.contentType: "text/plain", .contentLength: "4"]))
        try await writer.write("abcde")
        try await writer.finish()
    },
    // Found even if the handler does not want to know.
    Breach(rule: "A4", message: "Content-Length is 4, the body has more") { _, _, _, sender in
        var writer = try await sender.send(head([.contentType: "text/plain", .contentLength: "4"]))
        try? await writer.write("abcde")
        try? await writer.finish()
    },
    Breach(rule: "A5", message: "no Content-Type") { _, _, _, sender in
        try await sender.sendAndFinish(head([:]), Array("abc".utf8))
    },
    Breach(rule: "W46", message: "a body of 3 bytes with status 204") { _, _, _, sender in
        try await sender.sendAndFinish(head([:], .noContent), Array("abc".utf8))
    },
    Breach(rule: "W46", message: "Content-Type: text/plain with status 304") { _, _, _, sender in
        try await sender.sendAndFinish(head([.contentType: "text/plain"], .notModified))
    },
]

@Suite struct HandlerValidatorTests {
    @Test("A breach is found and named", arguments: breaches)
    fileprivate func breach(_ breach: Breach) {
        let response = MemoryGateway(handler: Validator().wrap(breach.handler)).respond(to: MemoryRequest())
        let log = response.log.map(\.message).joined(separator: "\n")
        #expect(log.contains("breaks rule \(breach.rule): "), "\(log)")
        #expect(log.contains(breach.message), "\(log)")
        #expect(response.status == .internalServerError || response.isAborted)
    }

    @Test("What keeps the rules passes unchanged", arguments: [HTTPRequest.Method.post, .head])
    func sound(_ method: HTTPRequest.Method) {
        let sound = [
            ClosureHandler { _, _, reader, sender in
                let body = try await reader.collect(upTo: 10)
                try await sender.sendAndFinish(head(), body, trailers: [.eTag: "x"])
            },
            ClosureHandler { _, _, _, sender in
                var writer = try await sender.send(head([.contentType: "text/plain", .contentLength: "2"]))
                try await writer.write("a")
                try await writer.finish(Array("b".utf8))
            },
            ClosureHandler { _, _, _, sender in try await sender.sendAndFinish(head([:], .noContent)) },
            ClosureHandler { _, _, _, sender in
                var sender = sender
                try await sender.sendInformational(HTTPResponse(status: .earlyHints))
                try await sender.sendAndFinish(head([:]))
            },
        ]
        for handler in sound {
            let request = MemoryRequest(method: method, body: "body")
            let bare = MemoryGateway(handler: handler).respond(to: request)
            let validated = MemoryGateway(handler: Validator().wrap(handler)).respond(to: request)
            #expect(validated.status == bare.status)
            #expect(validated.headers == bare.headers)
            #expect(validated.body == bare.body)
            #expect(validated.informational == bare.informational)
            #expect(validated.trailers == bare.trailers)
            #expect(validated.log == bare.log)
        }
    }

    @Test("An application behind a bridge owes what applications owe")
    func bridge() {
        let application: Application = { _, startResponse in
            try startResponse(.ok, [:], nil)
            return .string("x")
        }
        let response = MemoryGateway(handler: Validator().wrap(GatewayHandler(application))).respond(
            to: MemoryRequest())
        #expect(response.log.contains { $0.message.contains("breaks rule A5") })
    }
}
