import SwiftGICore
import Testing

struct AsyncTransportTests {
    @Test("A waker that was used ends the next wait, once for each use")
    func waker() async {
        let waker = SignalWaker()
        #expect(!waker.wait(milliseconds: 0))
        waker.wake()
        #expect(waker.wait(milliseconds: 0))
        #expect(!waker.wait(milliseconds: 0))
        await onOwnThread { waker.wake() }
        #expect(waker.wait(milliseconds: 10_000))
    }

    @Test("Terminal events are those behind which the request is over")
    func terminal() {
        #expect(WaitEvents.terminal == [.gone, .expired, .stopped])
        for event in [WaitEvents.woken, .readable, .writable, .stalled, .stopping] {
            #expect(event.isDisjoint(with: .terminal))
        }
    }
}
