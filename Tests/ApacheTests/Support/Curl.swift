import Foundation

/// curl, for what is not worth doing by hand: TLS, HTTP/2, uploads.
struct Curl {
    /// What curl's exit code and `-w` say.
    struct Transfer {
        let exitCode: Int32
        let status: Int
        /// `1.1` or `2`.
        let version: String
        let body: String
        let errors: String
    }

    static func run(_ url: String, _ arguments: [String] = []) throws -> Transfer {
        let result = try Command.run(
            "curl",
            [
                "--silent", "--show-error", "--insecure", "--max-time", "60", "--write-out",
                "\n%{http_code} %{http_version}",
            ]
                + arguments + [url],
            seconds: 70)
        let end = result.output.lastIndex(of: "\n") ?? result.output.startIndex
        let facts = result.output[end...].split(whereSeparator: { " \n".contains($0) })
        return Transfer(
            exitCode: result.status, status: facts.first.flatMap { Int($0) } ?? 0,
            version: facts.count > 1 ? String(facts[1]) : "", body: String(result.output[..<end]), errors: result.errors
        )
    }
}

/// A key and a certificate for localhost that nobody trusts.
enum Certificate {
    static func make(in directory: String) throws {
        let result = try Command.run(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                "-addext", "basicConstraints=critical,CA:FALSE",
                "-keyout", "\(directory)/key.pem", "-out", "\(directory)/certificate.pem",
            ])
        guard result.status == 0 else { throw Command.Failure(description: "openssl: \(result)") }
    }
}
