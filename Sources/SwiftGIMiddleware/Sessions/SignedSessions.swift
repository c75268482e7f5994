#if Sessions

import HTTPTypes
public import SwiftGICore

/// Sessions in a signed cookie: no storage on the server, and all its processes know them.
///
/// ```swift
/// let sessions = try SignedSessions(keys: [key])
/// let application = sessions.wrap { environ, startResponse in
///     let session = environ[.session]
///     session?["visits"] = String((session?["visits"].flatMap { Int($0) } ?? 0) + 1)
///     …
/// }
/// ```
///
/// The signature is HMAC with SHA-256 over name, content and end of the cookie. It is not encrypted: what
/// the client may not know does not belong there. A cookie without a valid signature, or behind its end,
/// is as none. The cookie is `HttpOnly` and `SameSite=Lax`, and `Secure` under HTTPS.
///
/// To change keys, put the new one before the old: it signs, both are accepted; take the old one out
/// when its cookies have ended.
public struct SignedSessions: CommonMiddleware {
    private let codec: SessionCodec
    private let lifetime: Int64
    private let path: String

    /// The largest cookie that browsers keep.
    private static let largestCookie = 4096

    /// What is wrong with the settings, or with a session.
    public struct Failure: Error, CustomStringConvertible {
        /// What is wrong.
        public let description: String
    }

    /// Sessions.
    ///
    /// - Parameters:
    ///   - keys: The keys, of 32 bytes or more each: the first signs, all are accepted.
    ///   - cookie: The cookie's name, an HTTP token.
    ///   - lifetime: How long a session lasts behind its last change. One that is used is prolonged when
    ///     half of it is over.
    ///   - path: The path that the cookie is for.
    /// - Throws: ``Failure`` if there is no key, one is too short, or name or path can't be sent.
    public init(
        keys: [[UInt8]], cookie: String = "session", lifetime: Duration = .seconds(14 * 24 * 3600),
        path: String = "/"
    ) throws {
        guard !keys.isEmpty else { throw Failure(description: "SignedSessions: there is no key") }
        guard keys.allSatisfy({ $0.count >= 32 }) else {
            throw Failure(description: "SignedSessions: a key is shorter than 32 bytes")
        }
        guard HTTPField.Name(cookie) != nil else {
            throw Failure(description: "SignedSessions: \"\(cookie)\" can't be a cookie's name")
        }
        guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ";") }) else {
            throw Failure(description: "SignedSessions: \"\(path)\" can't be a cookie's path")
        }
        codec = SessionCodec(name: cookie, keys: keys)
        self.lifetime = max(1, lifetime.components.seconds)
        self.path = path
    }

    /// The application, with the entry `environ[.session]`.
    public func wrap(_ application: @escaping Application) -> Application {
        { environ, startResponse in
            let now = secondsSinceEpoch()
            let (session, end) = open(environ["HTTP_COOKIE"], now)
            environ[.session] = session
            let isSecure = environ.urlScheme == "https"
            return try application(&environ) { status, fields, error in
                var fields = fields
                try close(session, end, now, isSecure, &fields)
                try startResponse(status, fields, error)
            }
        }
    }

    /// The handler, with the entry `requestContext[.session]`.
    public func wrap(_ handler: any RequestHandler) -> any RequestHandler {
        ClosureHandler { request, context, reader, sender in
            let now = secondsSinceEpoch()
            let (session, end) = open(request.headerFields[.cookie], now)
            var context = context
            context[.session] = session
            let isSecure = request.scheme == "https"
            try await handler.handle(
                request: request, requestContext: context, reader: reader,
                responseSender: sender.transforming { response in
                    do {
                        try close(session, end, now, isSecure, &response.headerFields)
                        return nil
                    } catch {
                        return FailedResponse(error: error)
                    }
                })
        }
    }

    /// The session that the request brings, and when it ends.
    private func open(_ cookies: String?, _ now: Int64) -> (Session, Int64?) {
        guard let value = cookies.flatMap({ cookie(codec.name, in: $0) }), let (values, end) = codec.decode(value),
            end > now
        else { return (Session([:]), nil) }
        return (Session(values), end)
    }

    /// Sends the session back, if there is something to send.
    private func close(
        _ session: Session, _ end: Int64?, _ now: Int64, _ isSecure: Bool, _ fields: inout HTTPFields
    ) throws {
        // A cache must not give one client's answer to another.
        if session.isUsed { fields.append(HTTPField(name: .vary, value: "Cookie")) }
        let values = session.values
        let isAging = end.map { session.isUsed && $0 - now < lifetime / 2 } ?? false
        guard session.isChanged || isAging else { return }
        var attributes = "; Path=\(path); HttpOnly; SameSite=Lax"
        if isSecure { attributes += "; Secure" }
        if values.isEmpty {
            if end != nil {
                fields.append(HTTPField(name: .setCookie, value: "\(codec.name)=; Max-Age=0\(attributes)"))
            }
            return
        }
        let cookie = "\(codec.name)=\(codec.encode(values, end: now + lifetime))"
        guard cookie.utf8.count <= Self.largestCookie else {
            throw Failure(
                description:
                    "the session's cookie would have \(cookie.utf8.count) bytes, more than \(Self.largestCookie)")
        }
        fields.append(HTTPField(name: .setCookie, value: "\(cookie); Max-Age=\(lifetime)\(attributes)"))
    }
}

/// A response that can't be sent.
private struct FailedResponse: BodyFilter {
    let error: any Error

    func transform(_ bytes: [UInt8]) throws -> [UInt8] { throw error }
    func finish() throws -> [UInt8] { throw error }
}

/// The value of a cookie in the field `Cookie`.
private func cookie(_ name: String, in field: String) -> String? {
    for pair in field.utf8.split(separator: UInt8(ascii: ";")) {
        let pair = pair.drop { $0 == 0x20 }
        guard pair.starts(with: name.utf8), pair.dropFirst(name.utf8.count).first == UInt8(ascii: "=") else {
            continue
        }
        return String(Substring(pair.dropFirst(name.utf8.count + 1)))
    }
    return nil
}

#endif
