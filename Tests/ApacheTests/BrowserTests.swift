import Foundation
import Testing

/// What a browser makes of the samples' pages.
@Suite(.embedded("The pages name httpd's child.")) struct BrowserTests {
    @Test func eventsArriveInThePage() async throws {
        try await withServer(Configuration("SwiftGIScriptAlias /events ${apps}/libEvents.so")) { server in
            let browser = try Browser()
            defer { browser.close() }
            try browser.open("http://127.0.0.1:\(server.port)/events")
            try wait("three events in the page") {
                try browser.text(of: "document.querySelectorAll('#events li').length >= 3") == "true"
            }
            #expect(try browser.text(of: "document.getElementById('state').textContent") == "Connected")
            // The newest is on top, and each arrived as soon as it was sent.
            let child = try #require(server.children.first)
            let items = try browser.text(of: "[...document.querySelectorAll('#events li')].map(e => e.textContent)")
            #expect(items.hasSuffix("tick 2 from process \(child),tick 1 from process \(child)"))
            // The stream went on while the page was there, and its request is over when it is not.
            #expect(server.errorLog.lines(with: "SGI0202").isEmpty)
            browser.close()
            try wait("the end of the stream's request") { !server.errorLog.lines(with: "SGI0202").isEmpty }
        }
    }

    /// A browser that has lost its server connects anew, and goes on behind the last event.
    @Test func streamGoesOnAfterARestart() async throws {
        try await withServer(Configuration("SwiftGIScriptAlias /events ${apps}/libEvents.so")) { server in
            let browser = try Browser()
            defer { browser.close() }
            try browser.open("http://127.0.0.1:\(server.port)/events")
            func top() throws -> String { try browser.text(of: "document.querySelector('#events li')?.textContent") }
            let before = try #require(server.children.first)
            try wait("an event") { try top().hasSuffix("process \(before)") }
            server.graceful()
            // The old process ends its stream when it is told to stop; the browser waits some seconds.
            try wait("an event of the new process") {
                let text = try top()
                return text.hasPrefix("tick ") && !text.hasSuffix("process \(before)")
            }
            #expect(try !top().hasPrefix("tick 1 "))
        }
    }
}
