/// One run of a case: its client, its path, and its journal.
package struct ConformanceSession: Sendable {
    let client: any ConformanceClient
    let path: String
    private let token = String(UInt64.random(in: .min ... .max), radix: 36)

    init(_ client: any ConformanceClient, path: String) {
        self.client = client
        self.path = path
    }

    /// A request to the case's application.
    ///
    /// - Parameter suffix: What follows the case's path: more of it, a query.
    func request(
        _ method: String = "GET", _ suffix: String = "", headers: [(name: String, value: String)] = []
    ) -> ConformanceRequest {
        var request = ConformanceRequest(target: path + suffix)
        request.method = method
        request.headers = [(Journal.field, token)] + headers
        return request
    }

    func send(_ request: ConformanceRequest) async throws -> ConformanceResponse {
        try await client.send(request)
    }

    func get(
        _ suffix: String = "", headers: [(name: String, value: String)] = []
    ) async throws -> ConformanceResponse {
        try await send(request("GET", suffix, headers: headers))
    }

    /// Posts a body, in pieces if there are several.
    func post(
        _ pieces: String..., suffix: String = "", framing: ConformanceRequest.Framing = .contentLength
    ) async throws -> ConformanceResponse {
        var request = request("POST", suffix, headers: [("Content-Type", "text/plain")])
        request.pieces = pieces.map { [UInt8]($0.utf8) }
        request.framing = framing
        return try await send(request)
    }

    /// What the application has noted.
    func journal() async throws -> [String] {
        let response = try await client.send(ConformanceRequest(target: "/journal/\(token)"))
        try require(response.status, equals: 200, "the journal's status")
        return response.text.split(separator: "\n").map { String($0) }
    }

    /// What the application has noted, when it has noted `line`: what it does after the last byte
    /// of a response, the client waits for here.
    func journal(with line: String) async throws -> [String] {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            let lines = try await journal()
            if lines.contains(line) { return lines }
            try require(ContinuousClock.now < deadline, "the application did not note “\(line)” but \(lines)")
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}

extension ConformanceResponse {
    var text: String { String(decoding: body, as: UTF8.self) }

    /// The values of a field, in their order.
    func values(_ name: String) -> [String] {
        headers.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
    }

    /// The lines `name=value` that an application answers with.
    var report: [String: String] {
        var report: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { report[String(parts[0])] = String(parts[1]) }
        }
        return report
    }

    /// A whole response of status 200 with this text.
    func requireText(_ expected: String) throws(ConformanceFailure) {
        try requireStatus(200)
        try require(text, equals: expected, "the body")
    }

    /// A whole response of this status.
    func requireStatus(_ expected: Int) throws(ConformanceFailure) {
        try require(status, equals: expected, "the status")
        try require(!isCut, "the response was cut after \(body.count) bytes")
    }

    /// A response that ended early, or that became a 500 because nothing of it was sent.
    func requireFailure() throws(ConformanceFailure) {
        if !isReplaced, status != 500 { try requireCut() }
    }

    /// A response that began like that and ended early; or what a web server that had passed nothing of it
    /// on has made of that.
    func requireCut(
        _ expected: Int? = nil, text: String? = nil, field: (name: String, value: String)? = nil
    ) throws(ConformanceFailure) {
        if isReplaced { return }
        try require(isCut, "the response looks complete: \(status), \(body.count) bytes")
        if let expected { try require(status, equals: expected, "the status") }
        if let text { try require(self.text, equals: text, "the body") }
        if let field { try require(values(field.name), equals: [field.value], field.name) }
    }

    func requireReport(_ expected: [String: String]) throws(ConformanceFailure) {
        try requireStatus(200)
        let report = self.report
        for (name, value) in expected.sorted(by: { $0.key < $1.key }) {
            try require(report[name] ?? "(absent)", equals: value, name)
        }
    }
}
