import HTTPTypes
import Testing

@testable import SwiftGICore

/// What one request's head lends the next one's.
@Suite struct RequestMemoryTests {
    private typealias Field = (name: String, value: String)

    private func transport(_ fields: [Field], target: String? = "/", method: String = "GET") -> ScriptedTransport {
        let transport = ScriptedTransport()
        transport.fields = fields.map { (Array($0.name.utf8), Array($0.value.utf8)) }
        transport.variables = ["REQUEST_METHOD": Array(method.utf8), "REQUEST_SCHEME": Array("https".utf8)]
        if let target { transport.variables["REQUEST_URI"] = Array(target.utf8) }
        return transport
    }

    private func makeAnew(_ transport: ScriptedTransport) -> HTTPRequest {
        var memory = RequestMemory(isUsed: false)
        return memory.makeRequest(transport)
    }

    /// All orders of a few fields, one after the other with the same memory.
    @Test("A head is the same with a memory as without, whatever came before it")
    func sameAsAnew() {
        let choice: [Field] = [
            ("Host", "a.example"), ("Host", "b.example"), ("Accept", "*/*"), ("Accept", "text/html"),
            ("X-One", "1"), ("X-One", ""), ("x-one", "1"), ("Cookie", "id=1"), ("Authorization", "Basic eA=="),
            ("no name", "x"), ("X-Text", "übel"), ("X-Long", String(repeating: "l", count: 900)),
            ("X-Longer", String(repeating: "l", count: 3000)), (String(repeating: "n", count: 300), "x"),
        ]
        var generator = Sequencer(state: 7)
        var memory = RequestMemory(isUsed: true)
        var fields: [Field] = []
        for number in 0..<20_000 {
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: fields = []
            case 1 where !fields.isEmpty: fields.removeLast()
            case 2 where !fields.isEmpty:
                fields[Int.random(in: fields.indices, using: &generator)] = choice.randomElement(using: &generator)!
            case 3: break
            default: fields.append(choice.randomElement(using: &generator)!)
            }
            if fields.count > 9 { fields.removeFirst() }
            let transport = transport(
                fields, target: [nil, "/", "/a", "/b?c"].randomElement(using: &generator)!,
                method: ["GET", "GET", "POST", "PURGE"].randomElement(using: &generator)!)
            let request = memory.makeRequest(transport)
            let anew = makeAnew(transport)
            guard request != anew || Array(request.headerFields) != Array(anew.headerFields) else { continue }
            Issue.record("request \(number): \(request) \(request.headerFields), not \(anew) \(anew.headerFields)")
            return
        }
    }

    @Test("A handler that changes its request changes nobody else's")
    func changesAreItsOwn() {
        var memory = RequestMemory(isUsed: true)
        let transport = transport([("Host", "a.example"), ("Accept", "*/*")])
        var first = memory.makeRequest(transport)
        first.path = "/other"
        first.authority = "other.example"
        first.headerFields[.accept] = nil
        #expect(memory.makeRequest(transport) == makeAnew(transport))
    }

    @Test(
        "Credentials are not kept, nor is what is behind them",
        arguments: ["Cookie", "Authorization", "Proxy-Authorization"])
    func credentials(_ name: String) {
        var memory = RequestMemory(isUsed: true)
        _ = memory.makeRequest(transport([("X-Public", "public"), (name, "secret"), ("X-Behind", "behind")]))
        let kept = "\(memory)"
        // As text, and as numbers of bytes.
        for (text, isKept) in [("public", true), ("secret", false), ("behind", false)] {
            let bytes = text.utf8.map { "\($0)" }.joined(separator: ", ")
            #expect((kept.contains(text) || kept.contains(bytes)) == isKept, "\(text): \(kept)")
        }
    }

    @Test("What is kept has bounds")
    func bounds() {
        var memory = RequestMemory(isUsed: true)
        for _ in 0..<3 {
            _ = memory.makeRequest(transport((0..<100).map { ("X-\($0)", String(repeating: "x", count: 100)) }))
        }
        #expect("\(memory)".utf8.count < 40_000)
        var unused = RequestMemory(isUsed: false)
        let before = "\(unused)"
        _ = unused.makeRequest(transport([("Accept", "*/*")]))
        #expect(!"\(unused)".contains("*/*"), "\(before)")
    }
}

/// The same numbers each time.
private struct Sequencer: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state >> 29
    }
}
