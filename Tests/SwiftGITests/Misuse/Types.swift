// What the type checker refuses: each line that is wrong says so, and the rest is right.
import SwiftGI

func right(_ sender: consuming ResponseSender, _ context: RequestContext) async throws {
    let kept: [RequestContext] = [context]
    try await sender.sendAndFinish(HTTPResponse(status: .ok), Array(await kept[0].requestID.utf8))
}

struct RightKeeper: ~Copyable {
    let reader: RequestReader
}

func makesAList(_ writer: consuming ResponseWriter) {
    _ = [writer]  // expected-error {{conform to 'Copyable'}}
}

func makesAnyOfIt(_ writer: consuming ResponseWriter) -> Any {
    writer  // expected-error {{does not conform to 'Copyable'}}
}

struct KeepsAWriter {  // expected-note {{consider adding '~Copyable'}}
    var writer: ResponseWriter  // expected-error {{has non-Copyable type 'ResponseWriter'}}
}

struct KeepsAReader {  // expected-note {{consider adding '~Copyable'}}
    var reader: RequestReader  // expected-error {{has non-Copyable type 'RequestReader'}}
}

struct KeepsASender {  // expected-note {{consider adding '~Copyable'}}
    var sender: ResponseSender  // expected-error {{has non-Copyable type 'ResponseSender'}}
}

struct KeepsAnEnviron {  // expected-note {{consider adding '~Copyable'}}
    var environ: Environ  // expected-error {{has non-Copyable type 'Environ'}}
}

func blocks(_ writer: consuming ResponseWriter) throws {  // expected-note {{add 'async'}}
    var writer = writer
    try writer.write("x")  // expected-error {{'async' call in a function that does not support concurrency}}
}

final class Mutable: RequestHandler {
    var count = 0  // expected-error {{stored property 'count' of 'Sendable'-conforming class 'Mutable' is mutable}}

    func handle(
        request: HTTPRequest, requestContext: consuming RequestContext,
        reader: consuming sending RequestReader, responseSender: consuming sending ResponseSender
    ) async throws { count += 1 }
}
