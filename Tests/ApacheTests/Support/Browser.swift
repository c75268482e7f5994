import Foundation

/// A headless Chromium, driven by WebDriver (W3C WebDriver, section 8 and following).
final class Browser {
    private let driver: Command
    private let base: String
    private let session: String

    /// Starts one, with a profile of its own.
    init() throws {
        let driver = try Command("chromedriver", ["--port=0"], environment: ["HOME": Paths.temporary])
        var failure: (any Error)?
        defer { if failure != nil { kill(driver.pid, SIGTERM) } }
        do {
            let port = try wait("chromedriver's port", for: 120) { () -> Int? in
                driver.output.firstMatch(of: /started successfully on port (\d+)/).flatMap { Int($0.output.1) }
            }
            let base = "http://127.0.0.1:\(port)/session"
            let options: [String: Any] = [
                "args": ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
            ]
            let answer = try Self.call(
                base, ["capabilities": ["alwaysMatch": ["browserName": "chrome", "goog:chromeOptions": options]]])
            guard let session = (answer as? [String: Any])?["sessionId"] as? String else {
                throw Command.Failure(description: "chromedriver: no session but \(String(describing: answer))")
            }
            self.driver = driver
            self.base = base
            self.session = session
        } catch {
            failure = error
            throw error
        }
    }

    /// Opens a page and waits until it is loaded.
    func open(_ url: String) throws { _ = try Self.call("\(base)/\(session)/url", ["url": url]) }

    /// What a JavaScript expression comes to, as text.
    func text(of expression: String) throws -> String {
        let value = try Self.call(
            "\(base)/\(session)/execute/sync", ["script": "return String(\(expression))", "args": [String]()])
        return value as? String ?? ""
    }

    /// Ends it and all of its processes.
    func close() {
        guard !driver.hasEnded else { return }
        _ = try? Command.run("curl", ["--silent", "--request", "DELETE", "\(base)/\(session)"])
        kill(driver.pid, SIGTERM)
        _ = try? driver.finish()
    }

    private static func call(_ url: String, _ body: [String: Any]) throws -> Any? {
        let file = "\(Paths.temporary)/webdriver-\(UUID().uuidString)"
        defer { unlink(file) }
        try writeFile(file, JSONSerialization.data(withJSONObject: body))
        let result = try Command.run(
            "curl",
            [
                "--silent", "--show-error", "--max-time", "60", "--header", "Content-Type: application/json",
                "--data-binary", "@\(file)", url,
            ], seconds: 70)
        let answer = try? JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
        guard result.status == 0, let answer, (answer["value"] as? [String: Any])?["error"] == nil else {
            throw Command.Failure(description: "WebDriver \(url): \(result)")
        }
        return answer["value"]
    }
}
