import HTTPTypes
import SwiftGICore
import Testing

struct ApplicationTests {
    private let marking: Middleware = { application in
        { environ, startResponse in
            try application(&environ) { status, headers, error in
                var headers = headers
                headers.append(HTTPField(name: .via, value: "outer"))
                try startResponse(status, headers, error)
            }
        }
    }

    @Test("Middleware wraps the head")
    func head() {
        let (exchange, transport) = makeExchange()
        #expect(exchange.serve(marking(marking(answering { .empty }))) == .completed)
        #expect(transport.response.first == .head(200, ["Via: outer", "Via: outer"], length: 0))
    }

    @Test("Middleware answers for an application that fails")
    func failure() {
        let rescuing: Middleware = { application in
            { environ, startResponse in
                do {
                    return try application(&environ, startResponse)
                } catch {
                    try startResponse(.serviceUnavailable, [:], error)
                    return .string("sorry")
                }
            }
        }
        let (exchange, transport) = makeExchange()
        let outcome = exchange.serve(
            rescuing { _, startResponse in
                try startResponse(.ok, [.eTag: "x"], nil)
                throw ApplicationError()
            })
        #expect(outcome == .completed)
        #expect(transport.response.first == .head(503, [], length: 5))
        #expect(transport.log == [])
    }
}
