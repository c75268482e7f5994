import SwiftGICore
import Testing

struct GatewayErrorTests {
    @Test("Its text is the code, and the detail if there is one")
    func description() {
        #expect("\(GatewayError(.timedOut))" == "timedOut")
        #expect("\(GatewayError(.output, "disk full"))" == "output: disk full")
        #expect("\(GatewayError.Code.lineTooLong)" == "lineTooLong")
    }

    @Test("Codes compare by what they say")
    func codes() {
        #expect(GatewayError(.input, "a").code == GatewayError(.input, "b").code)
        #expect(GatewayError.Code.input != .output)
    }
}
