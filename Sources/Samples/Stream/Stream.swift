import Glibc
import SwiftGI

/// Sends one line a step. Each write reaches the client at once: `curl --no-buffer` shows it.
///
/// When the client goes away, the next write throws and the loop ends with it.
let stream: Application = { environ, startResponse in
    let headers: HTTPFields = [.contentType: "text/plain; charset=utf-8", .xContentTypeOptions: "nosniff"]
    try startResponse(.ok, headers, nil)
    return .push { body in
        let steps = 10
        for step in 1...steps {
            try body.write("step \(step) of \(steps)\n")
            if step < steps { usleep(300_000) }
        }
    }
}

@c public func swiftgi_application() -> ApplicationTable { export(stream) }
