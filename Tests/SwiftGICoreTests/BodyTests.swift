import SwiftGICore
import Testing

struct BodyTests {
    @Test("The length is known of what is in memory")
    func knownLength() {
        #expect(Body.empty.knownLength == 0)
        #expect(Body.bytes([1, 2, 3]).knownLength == 3)
        #expect(Body.string("äöü").knownLength == 6)
        #expect(Body.chunks([[1], [], [2, 3]]).knownLength == 3)
        #expect(Body.chunks([]).knownLength == 0)
        #expect(Body.pull { nil }.knownLength == nil)
        #expect(Body.push { _ in }.knownLength == nil)
        #expect(Body.file(descriptor: -1, closing: false).knownLength == nil)
    }

    @Test("Close actions run in the order in which they were added, when the body goes")
    func order() {
        var order: [Int] = []
        do {
            let body = Body.empty.onClose { order.append(1) }.onClose { order.append(2) }.onClose { order.append(3) }
            #expect(body.knownLength == 0)
            #expect(order.isEmpty)
            _ = consume body
        }
        #expect(order == [1, 2, 3])
    }

    @Test("Serving closes a body once, and before the actions of the request's end", arguments: 0..<7)
    func closing(_ kind: Int) throws {
        let (exchange, _) = makeExchange()
        var order: [String] = []
        exchange.onFinish { order.append("finished") }
        let outcome = withoutActuallyEscaping({ (event: String) in order.append(event) }) { note in
            serve(exchange, kind, note)
        }
        #expect(outcome == (kind < 5 ? .completed : .failed))
        #expect(order == (kind == 3 ? ["run", "closed", "finished"] : ["closed", "finished"]))
    }

    private func serve(_ exchange: Exchange, _ kind: Int, _ note: @escaping (String) -> Void) -> Outcome {
        nonisolated(unsafe) let note = note
        return exchange.serve { _, startResponse in
            if kind != 6 { try startResponse(.ok, [:], nil) }
            let body: Body =
                switch kind {
                case 0: .empty
                case 1: .bytes([1])
                case 2: .chunks([[1], [2]])
                case 3: .push { _ in note("run") }
                case 4: .pull { nil }
                case 5: .pull { throw ApplicationError() }
                default: .empty
                }
            return body.onClose { note("closed") }
        }
    }

    @Test("A body that an application drops is closed")
    func dropped() {
        let (exchange, _) = makeExchange()
        nonisolated(unsafe) var closed = 0
        let outcome = exchange.serve { _, startResponse in
            _ = Body.string("dropped").onClose { closed += 1 }
            #expect(closed == 1)
            try startResponse(.ok, [:], nil)
            return .empty
        }
        #expect(outcome == .completed)
        #expect(closed == 1)
    }

    @Test("A body that was made before an error is closed")
    func thrown() {
        let (exchange, _) = makeExchange()
        nonisolated(unsafe) var closed = 0
        let outcome = exchange.serve { _, startResponse in
            let body = Body.string("made").onClose { closed += 1 }
            if body.knownLength == 4 { throw ApplicationError() }
            return body
        }
        #expect(outcome == .failed)
        #expect(closed == 1)
    }
}
