import SwiftGI
import Synchronization

/// Requests whose end the stress test sets against their client's leaving, their deadline and a restart.
let raceRoutes: [String: Route] = [
    "/race": { call, reader, sender in
        let id = call["id"] ?? ""
        let duration = Duration.microseconds(call.number("us"))
        switch call["way"] {
        case "before":
            try await Task.sleep(for: duration)
            try await sender.sendAndFinish(plain, Array("\(id)\n".utf8))
        case "midway":
            var writer = try await sender.send(plain)
            try await writer.write("begin \(id)\n")
            try await Task.sleep(for: duration)
            try await writer.finish(Array("end \(id)\n".utf8))
        case "hops":
            for _ in 0..<5 { await Task.detached { try? await Task.sleep(for: duration / 5) }.value }
            try await sender.sendAndFinish(plain, Array("\(id)\n".utf8))
        case "group":
            try await withThrowingTaskGroup(of: Void.self) { group in
                for part in 1...4 { group.addTask { try await Task.sleep(for: duration / part) } }
                try await group.waitForAll()
            }
            try await sender.sendAndFinish(plain, Array("\(id)\n".utf8))
        case "write":
            var writer = try await sender.send(plain)
            for _ in 0..<8 {
                try await writer.write([UInt8](repeating: 0x78, count: 20_000))
                try await Task.sleep(for: duration / 8)
            }
            try await writer.finish(Array("\(id)\n".utf8))
        case "read":
            var reader = reader
            var count = 0
            while let piece = try await reader.next() { count += piece.count }
            try await sender.sendAndFinish(plain, Array("\(id) \(count)\n".utf8))
        default:
            try await sender.sendAndFinish(HTTPResponse(status: .badRequest))
        }
    },
    // How many handlers of this process are running, but for this one.
    "/running": { _, _, sender in
        let count = running.withLock { $0 }
        try await sender.sendAndFinish(plain, Array("\(count - 1)".utf8))
    },
]

private let running = Mutex(0)

/// A handler of this process begins.
func begin() { running.withLock { $0 += 1 } }

/// A handler of this process ends.
func end() { running.withLock { $0 -= 1 } }
