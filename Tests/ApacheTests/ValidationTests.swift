import Foundation
import Testing

/// Applications under the validator, which the environment of httpd asks for.
@Suite struct ValidationTests {
    /// What is asked of each sample, and the status of the answer.
    private static let requests: [(method: String, path: String, body: String?, status: Int)] = [
        ("GET", "/index", nil, 200), ("GET", "/hello", nil, 200), ("HEAD", "/hello", nil, 200),
        ("GET", "/variables", nil, 200), ("POST", "/echo", "body", 200), ("GET", "/stream", nil, 200),
        ("GET", "/download", nil, 200), ("HEAD", "/download", nil, 200), ("GET", "/form", nil, 200),
        ("POST", "/form", "name=x", 200), ("GET", "/middleware", nil, 200), ("GET", "/middleware/hello", nil, 200),
        ("GET", "/middleware/failing", nil, 500), ("GET", "/guestbook", nil, 200),
        ("POST", "/guestbook", "entry=x", 303), ("DELETE", "/guestbook", nil, 405), ("GET", "/events", nil, 200),
    ]

    @Test(arguments: Configuration.MPM.allCases)
    func samplesKeepTheRules(_ mpm: Configuration.MPM) async throws {
        let samples = Set(Self.requests.map { String($0.path.split(separator: "/")[0]) })
        let lines = samples.map { "SwiftGIScriptAlias /\($0) ${apps}/lib\($0.capitalized).so\n" }.joined()
        let configuration = Configuration(lines, mpm: mpm, environment: ["SWIFTGI_VALIDATE": "1"])
        try await withServer(configuration, expecting: ["/middleware"]) { server in
            for (method, path, body, status) in Self.requests {
                let response = try server.request(
                    method, path, ["Content-Type: application/x-www-form-urlencoded"], body: body.map { Array($0.utf8) }
                )
                #expect(response.status == status, "\(method) \(path): \(response)")
            }
            #expect(server.errorLog.lines(with: "breaks rule").isEmpty)
        }
    }

    /// A breach is a 500 with the rule in the log, and none without the validator.
    @Test(arguments: [true, false])
    func breachesAreNamed(_ isValidated: Bool) async throws {
        let configuration = Configuration(
            "SwiftGIScriptAlias /conformance ${apps}/libConformance.so",
            environment: isValidated ? ["SWIFTGI_VALIDATE": "1"] : [:])
        try await withServer(configuration, expecting: isValidated ? ["breaks rule W46"] : []) { server in
            let response = try server.get("/conformance/w46/no-content?204")
            #expect(response.status == (isValidated ? 500 : 204), "\(response)")
        }
    }
}
