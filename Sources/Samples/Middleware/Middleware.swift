import SwiftGI

/// Two applications, mounted below two paths, in an error page, in a timer.
let application = timed(
    withErrorPage(
        mounted([
            ("/hello", hello),
            ("/failing", failing),
        ])))

@c public func swiftgi_application() -> ApplicationTable { export(application) }

private let html: HTTPFields = [.contentType: "text/html; charset=utf-8"]

// MARK: The middleware

/// Adds how long the application took until it began its response.
private let timed: Middleware = { application in
    { environ, startResponse in
        let start = ContinuousClock.now
        return try application(&environ) { status, headers, error in
            var headers = headers
            let duration = (ContinuousClock.now - start) / .milliseconds(1)
            if let name = HTTPField.Name("Server-Timing") { headers[name] = "app;dur=\(duration)" }
            try startResponse(status, headers, error)
        }
    }
}

/// Gives the client a page where an application fails, and the log the reason.
///
/// An error of the gateway is not the application's: the server knows the status for it. One that
/// is thrown while the body is sent comes too late for a page; the server then aborts the response.
private let withErrorPage: Middleware = { application in
    { environ, startResponse in
        do {
            return try application(&environ, startResponse)
        } catch let error as GatewayError {
            throw error
        } catch {
            environ.errors.write("\(environ.scriptName): \(error)\n")
            // The error says that this head is to replace one that the application may have given.
            try startResponse(.internalServerError, html, error)
            return .string("<!DOCTYPE html><title>Sorry</title><p>That did not work. We were told.\n")
        }
    }
}

/// Hands a request to the application whose path it begins with, which sees that path as a part of
/// its `SCRIPT_NAME` and what follows as `PATH_INFO`.
private func mounted(_ applications: [(path: String, application: Application)]) -> Application {
    { environ, startResponse in
        let rest = environ.pathInfo
        for (path, application) in applications where rest == path || rest.hasPrefix(path + "/") {
            environ.scriptName += path
            environ.pathInfo = String(rest.dropFirst(path.count))
            return try application(&environ, startResponse)
        }
        guard ["", "/"].contains(rest) else {
            try startResponse(.notFound, html, nil)
            return .string("<!DOCTYPE html><title>Not found</title><p>Nothing is here.\n")
        }
        let base = percentEncoded(environ.scriptName)
        let links = applications.map { "<li><a href=\"\(base)\($0.path)\">\($0.path)</a></li>\n" }
        try startResponse(.ok, html, nil)
        return .string("<!DOCTYPE html><title>Middleware</title><ul>\n\(links.joined())</ul>\n")
    }
}

// MARK: What it wraps

private let hello: Application = { environ, startResponse in
    try startResponse(.ok, [.contentType: "text/plain; charset=utf-8"], nil)
    return .string("SCRIPT_NAME is \(environ.scriptName), PATH_INFO is \"\(environ.pathInfo)\"\n")
}

private struct Failure: Error {}

private let failing: Application = { _, _ in throw Failure() }

/// A path as it is written in a URL.
private func percentEncoded(_ path: String) -> String {
    path.utf8.map { byte in
        switch UnicodeScalar(byte) {
        case "a"..."z", "A"..."Z", "0"..."9", "-", ".", "_", "~", "/": String(UnicodeScalar(byte))
        default: (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
        }
    }.joined()
}
