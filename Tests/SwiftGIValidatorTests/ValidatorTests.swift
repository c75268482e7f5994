import Glibc
import HTTPTypes
import SwiftGICore
import SwiftGITesting
import SwiftGIValidator
import Testing

private struct Failure: Error {}

private let html: HTTPFields = [.contentType: "text/html"]

/// An application that breaks a rule, and what the validator says of it.
private struct Breach: Sendable, CustomTestStringConvertible {
    let rule: String
    let message: String
    var request = MemoryRequest()
    let application: Application

    var testDescription: String { "\(rule) \(message)" }
}

private func field(_ name: String, _ value: String) -> HTTPFields {
    var fields: HTTPFields = html
    fields.append(HTTPField(name: HTTPField.Name(name)!, lenientValue: Array(value.utf8)))
    return fields
}

private let breaches = [
    Breach(rule: "A1", message: "without calling startResponse") { _, _ in .string("x") },
    Breach(rule: "A1", message: "a second time") { _, startResponse in
        try startResponse(.ok, html, nil)
        try startResponse(.ok, html, nil)
        return .empty
    },
    Breach(rule: "A1", message: "a second time") { _, startResponse in
        do { try startResponse(.ok, field("Connection", "close"), nil) } catch {}
        try startResponse(.ok, html, nil)
        return .empty
    },
    Breach(rule: "A2", message: "swallowed what startResponse threw: breaks rule A3") { _, startResponse in
        do { try startResponse(.ok, field("Connection", "close"), nil) } catch {}
        return .empty
    },
    Breach(rule: "A3", message: "connection is hop-by-hop") { _, startResponse in
        try startResponse(.ok, field("Connection", "close"), nil)
        return .empty
    },
    Breach(rule: "A3", message: "transfer-encoding is hop-by-hop") { _, startResponse in
        try startResponse(.ok, field("Transfer-Encoding", "chunked"), nil)
        return .empty
    },
    Breach(rule: "A3", message: "Status is no header field") { _, startResponse in
        try startResponse(.ok, field("Status", "200"), nil)
        return .empty
    },
    Breach(rule: "W24", message: "status 99") { _, startResponse in
        try startResponse(HTTPResponse.Status(code: 99), html, nil)
        return .empty
    },
    Breach(rule: "W24", message: "status 103") { _, startResponse in
        try startResponse(HTTPResponse.Status(code: 103), html, nil)
        return .empty
    },
    Breach(rule: "W25", message: "etag has a control character") { _, startResponse in
        try startResponse(.ok, field("ETag", "a\u{1}b"), nil)
        return .empty
    },
    Breach(rule: "W25", message: "Content-Length: many") { _, startResponse in
        try startResponse(.ok, field("Content-Length", "many"), nil)
        return .empty
    },
    Breach(rule: "A4", message: "Content-Length is 4, the body has 5 bytes") { _, startResponse in
        try startResponse(.ok, field("Content-Length", "4"), nil)
        return .string("12345")
    },
    Breach(rule: "A4", message: "Content-Length is 4, the body has 3 bytes") { _, startResponse in
        try startResponse(.ok, field("Content-Length", "4"), nil)
        return .chunks([[1], [2, 3]])
    },
    Breach(rule: "A4", message: "Content-Length is 4, the body has more") { _, startResponse in
        try startResponse(.ok, field("Content-Length", "4"), nil)
        return .push { try $0.write("12345") }
    },
    Breach(rule: "A4", message: "Content-Length is 4, the body has 3 bytes") { _, startResponse in
        try startResponse(.ok, field("Content-Length", "4"), nil)
        var pieces: [[UInt8]] = [[1, 2], [], [3]]
        return .pull { pieces.isEmpty ? nil : pieces.removeFirst() }
    },
    Breach(rule: "A4", message: "the file has 10 bytes") { _, startResponse in
        try startResponse(.ok, field("Content-Length", "11"), nil)
        return .file(descriptor: memoryFile(10))
    },
    Breach(rule: "A5", message: "content with status 200 and no Content-Type") { _, startResponse in
        try startResponse(.ok, [:], nil)
        return .string("x")
    },
    Breach(rule: "A5", message: "no Content-Type") { _, startResponse in
        try startResponse(.ok, [:], nil)
        return .push { try $0.write("x") }
    },
    Breach(rule: "A5", message: "no Content-Type") { _, startResponse in
        try startResponse(.ok, [:], nil)
        return .file(descriptor: memoryFile(1))
    },
    Breach(rule: "A5", message: "no Content-Type", request: MemoryRequest(method: .head)) { _, startResponse in
        try startResponse(.ok, [:], nil)
        return .string("x")
    },
    Breach(rule: "A5", message: "which is no media type") { _, startResponse in
        try startResponse(.ok, [.contentType: "html"], nil)
        return .string("x")
    },
    Breach(rule: "A5", message: "there are 2 fields Content-Type") { _, startResponse in
        try startResponse(.ok, field("Content-Type", "text/plain"), nil)
        return .string("x")
    },
    Breach(rule: "A6", message: "the signal mask of the thread was changed: the next request on it") {
        _, startResponse in
        var mask = sigset_t()
        sigaddset(&mask, SIGUSR1)
        pthread_sigmask(SIG_BLOCK, &mask, nil)
        try startResponse(.ok, html, nil)
        return .empty
    },
    Breach(rule: "A6", message: "the locale of the thread was changed") { _, startResponse in
        uselocale(newlocale(1 << LC_CTYPE, "C", nil))
        try startResponse(.ok, html, nil)
        return .empty
    },
    Breach(rule: "A6", message: "the rounding of numbers of the thread was changed") { _, startResponse in
        fesetround(FE_UPWARD)
        try startResponse(.ok, html, nil)
        return .empty
    },
    Breach(rule: "A8", message: "the working directory was changed") { _, startResponse in
        chdir("/proc")
        try startResponse(.ok, html, nil)
        return .empty
    },
    Breach(rule: "A8", message: "the handler of signal \(SIGUSR2) was changed") { _, startResponse in
        signal(SIGUSR2, SIG_IGN)
        try startResponse(.ok, html, nil)
        return .empty
    },
    Breach(rule: "W46", message: "Content-Type: text/html with status 204") { _, startResponse in
        try startResponse(.noContent, html, nil)
        return .empty
    },
    Breach(rule: "W46", message: "Content-Length: 0 with status 304") { _, startResponse in
        try startResponse(.notModified, [.contentLength: "0"], nil)
        return .empty
    },
    Breach(rule: "W46", message: "a body of 1 bytes with status 204") { _, startResponse in
        try startResponse(.noContent, [:], nil)
        return .string("x")
    },
    Breach(rule: "W46", message: "a file of 3 bytes with status 304") { _, startResponse in
        try startResponse(.notModified, [:], nil)
        return .file(descriptor: memoryFile(3))
    },
]

private func memoryFile(_ count: Int) -> Int32 {
    var template = Array("/tmp/swiftgi-validator-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    unlink(template)
    ftruncate(descriptor, off_t(count))
    return descriptor
}

@Suite(.serialized) struct ValidatorTests {
    @Test("A breach is found and named", arguments: breaches)
    fileprivate func breach(_ breach: Breach) {
        let directory = open(".", O_RDONLY)
        defer {
            fchdir(directory)
            close(directory)
            signal(SIGUSR2, SIG_DFL)
            var mask = sigset_t()
            sigaddset(&mask, SIGUSR1)
            pthread_sigmask(SIG_UNBLOCK, &mask, nil)
            uselocale(locale_t(bitPattern: -1))
            fesetround(FE_TONEAREST)
        }
        let response = MemoryGateway(Validator().wrap(breach.application)).respond(to: breach.request)
        let log = response.log.map(\.message).joined(separator: "\n")
        #expect(log.contains("breaks rule \(breach.rule): "), "\(log)")
        #expect(log.contains(breach.message), "\(log)")
        #expect(response.status == .internalServerError || response.isAborted)
    }

    @Test("A breach of a body behind its head is found and named", arguments: [true, false])
    func lateBreach(_ isPush: Bool) {
        let directory = open(".", O_RDONLY)
        defer {
            fchdir(directory)
            close(directory)
        }
        let application: Application = { _, startResponse in
            try startResponse(.ok, html, nil)
            if isPush {
                return .push { writer in
                    chdir("/")
                    try writer.write("x")
                }
            }
            var pieces: [[UInt8]] = [[1], [2]]
            return .pull {
                chdir("/")
                return pieces.popLast()
            }
        }
        let response = MemoryGateway(Validator().wrap(application)).respond(to: MemoryRequest())
        #expect(response.status == .ok && !response.isAborted)
        #expect(response.log.contains { $0.message.contains("breaks rule A8: ") }, "\(response.log)")
    }

    @Test("What keeps the rules passes unchanged")
    func sound() {
        let sound: [Application] = [
            { _, startResponse in
                try startResponse(.noContent, [:], nil)
                return .empty
            },
            { _, startResponse in
                try startResponse(.ok, [.contentType: "text/plain", .contentLength: "4"], nil)
                return .push {
                    try $0.write("ab")
                    try $0.write("cd")
                }
            },
            { environ, startResponse in
                let body = try environ.input.collect(upTo: 10)
                let errors = environ.errors
                errors.write("read\n")
                try startResponse(.ok, html, nil)
                return .bytes(body).onClose { errors.write("closed\n") }
            },
            // The head is replaced because of an error.
            { _, startResponse in
                try startResponse(.ok, html, nil)
                try startResponse(.internalServerError, html, Failure())
                return .string("Sorry")
            },
            // What is behind Content-Length of a file is not meant.
            { _, startResponse in
                try startResponse(.ok, field("Content-Length", "4"), nil)
                return .file(descriptor: memoryFile(10))
            },
            { _, startResponse in
                try startResponse(.seeOther, [.location: "/"], nil)
                return .empty
            },
        ]
        for application in sound {
            for method in [HTTPRequest.Method.post, .head] {
                let request = MemoryRequest(method: method, body: "body")
                let bare = MemoryGateway(application).respond(to: request)
                let validated = MemoryGateway(Validator().wrap(application)).respond(to: request)
                #expect(validated.status == bare.status)
                #expect(validated.headers == bare.headers)
                #expect(validated.body == bare.body)
                #expect(validated.log == bare.log)
                #expect(!validated.isAborted)
            }
        }
    }

    @Test("The application's own errors pass")
    func errors() {
        let response = MemoryGateway(Validator().wrap { _, _ in throw Failure() }).respond(to: MemoryRequest())
        #expect(response.status == .internalServerError)
        #expect(response.log.map(\.message).allSatisfy { !$0.contains("breaks rule") })
    }

    @Test(
        "What a server gives is checked",
        arguments: [
            ("W5", "SERVER_NAME is \"\"", "SERVER_NAME", ""),
            ("W5", "SERVER_PORT is \"http\"", "SERVER_PORT", "http"),
            ("W6", "SCRIPT_NAME is \"/\"", "SCRIPT_NAME", "/"),
            ("W6", "PATH_INFO is \"path\"", "PATH_INFO", "path"),
            ("W6", "both empty", "PATH_INFO", ""),
            ("W6", "CONTENT_LENGTH is \"-1\"", "CONTENT_LENGTH", "-1"),
            ("W6", "REQUEST_SCHEME is \"ftp\"", "REQUEST_SCHEME", "ftp"),
            ("W7", "HTTP_PROXY is \"http://evil\"", "HTTP_PROXY", "http://evil"),
            ("W7", "HTTP_CONTENT_LENGTH is \"1\"", "HTTP_CONTENT_LENGTH", "1"),
            ("W8", "REMOTE_USER is \"\"", "REMOTE_USER", ""),
        ])
    func server(_ rule: String, _ message: String, _ name: String, _ value: String) {
        var request = MemoryRequest()
        request.variables[name] = value
        let sound: Application = { _, startResponse in
            try startResponse(.noContent, [:], nil)
            return .empty
        }
        let handler = ClosureHandler { _, _, _, sender in
            try await sender.sendAndFinish(HTTPResponse(status: .noContent))
        }
        for response in [
            MemoryGateway(Validator().wrap(sound)).respond(to: request),
            MemoryGateway(handler: Validator().wrap(handler)).respond(to: request),
        ] {
            #expect(response.status == .internalServerError)
            let log = response.log.map(\.message).joined()
            #expect(log.contains("breaks rule \(rule): ") && log.contains(message), "\(log)")
        }
    }

    @Test("What middleware makes of the gateway's entries is checked")
    func entries() {
        let sound: Application = { _, startResponse in
            try startResponse(.noContent, [:], nil)
            return .empty
        }
        let validated = Validator().wrap(sound)
        let response = MemoryGateway { environ, startResponse in
            environ["swiftgi.multithread"] = "yes"
            return try validated(&environ, startResponse)
        }.respond(to: MemoryRequest())
        #expect(
            response.log.contains { $0.message.contains("W10: swiftgi.multithread is \"yes\", but has to be a Bool") })
    }

    /// In a process of its own: other tests have the same environment.
    @Test("What is kept in the environment is found, in both contracts")
    func environment() async {
        await #expect(processExitsWith: .success) {
            let application: Application = { environ, startResponse in
                if environ.pathInfo == "/set" { setenv("VALIDATOR_TEST", "of a client", 1) }
                if environ.pathInfo == "/remove" { unsetenv("VALIDATOR_TEST") }
                try startResponse(.noContent, [:], nil)
                return .empty
            }
            let handler = ClosureHandler { request, _, _, sender in
                if request.path == "/set" { setenv("VALIDATOR_TEST", "of a client", 1) }
                if request.path == "/remove" { unsetenv("VALIDATOR_TEST") }
                try await sender.sendAndFinish(HTTPResponse(status: .noContent))
            }
            for gateway in [
                MemoryGateway(Validator().wrap(application)), MemoryGateway(handler: Validator().wrap(handler)),
            ] {
                for (path, message) in [
                    ("/set", "A6: the environment variable VALIDATOR_TEST was changed: the next request may come to"),
                    ("/remove", "A6: an environment variable was removed: the next request may come to"),
                ] {
                    let log = gateway.respond(to: MemoryRequest(path: path)).log.map(\.message).joined()
                    #expect(log.contains(message), "\(log)")
                }
                let sound = gateway.respond(to: MemoryRequest(path: "/"))
                #expect(sound.log.isEmpty)
            }
        }
    }

    @Test("A trap names the requests that end with it")
    func trap() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let validated = Validator().wrap { environ, startResponse in
                if environ.pathInfo == "/over" {
                    try startResponse(.noContent, [:], nil)
                    return .empty
                }
                try startResponse(.ok, html, nil)
                return .push { _ in abort() }
            }
            _ = MemoryGateway(validated).respond(to: MemoryRequest(path: "/over"))
            _ = MemoryGateway(validated).respond(to: MemoryRequest(path: "/trap"))
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        let line = "breaks rule A10: the process traps (SIGABRT), and with it every request that it serves: GET /trap\n"
        #expect(text.contains(line), "\(text)")
    }

    @Test("A handler that traps is named")
    func handlerThatTraps() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let handler = ClosureHandler { request, _, _, _ in precondition(request.path == "/", "no such path") }
            _ = MemoryGateway(handler: Validator().wrap(handler)).respond(to: MemoryRequest(path: "/trap"))
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("breaks rule A10: the process traps (SIG"), "\(text)")
        #expect(text.contains(" that it serves: GET /trap\n"), "\(text)")
    }

    @Test("A life that does not end is noticed")
    func life() async throws {
        let (messages, log) = AsyncStream.makeStream(of: String.self)
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let own = LivingApplication(
            .application { _, _ in .empty },
            // Not cancelled with its task.
            run: { await Task.detached { for await _ in gate { break } }.value },
            shutdown: { await Task.detached { for await _ in gate { break } }.value })
        let life = Validator().observed(own, patience: .milliseconds(20)) { log.yield($0) }
        var said = messages.makeAsyncIterator()
        let run = Task { try await life.run() }
        run.cancel()
        let first = await said.next()
        #expect(first == "breaks rule A9: run() has not returned 0.02 seconds after its task was cancelled")
        open.yield()
        try await run.value
        let shutdown = Task { try await life.shutdown() }
        let second = await said.next()
        #expect(second == "breaks rule A9: shutdown() has not returned within 0.02 seconds")
        shutdown.cancel()
        open.finish()
        try await shutdown.value
    }

    @Test("A life that ends in time is sound")
    func shortLife() async throws {
        let (messages, log) = AsyncStream.makeStream(of: String.self)
        let own = LivingApplication(
            .application { _, _ in .empty }, run: { try await Task.sleep(for: .seconds(600)) }, shutdown: {})
        let life = Validator().observed(own, patience: .milliseconds(20)) { log.yield($0) }
        let run = Task { try await life.run() }
        run.cancel()
        await #expect(throws: CancellationError.self) { try await run.value }
        try await life.shutdown()
        try await Task.sleep(for: .milliseconds(100))
        log.finish()
        for await message in messages { Issue.record("\(message)") }
    }

    @Test("Input that was kept is found in use")
    func late() {
        var kept: Input?
        let gateway = MemoryGateway(
            Validator().wrap { environ, startResponse in
                nonisolated(unsafe) let input = environ.input
                environ.onFinish { Late.input = input }
                try startResponse(.noContent, [:], nil)
                return .empty
            })
        let first = gateway.respond(to: MemoryRequest(body: "body"))
        kept = Late.input
        #expect(throws: GatewayError.self) { try kept?.read(upTo: 1) }
        #expect(first.status == .noContent)
        // The log of the request is closed; the server's has it.
        Late.input = nil
    }
}

private enum Late {
    nonisolated(unsafe) static var input: Input?
}
