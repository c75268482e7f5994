import Glibc
import Logging
import SwiftGI
import Synchronization

/// What concerns the process: its log, its state, its resources.
let processRoutes: [String: Application] = [
    "/pid": { _, startResponse in
        try startResponse(.ok, text, nil)
        return .string("\(getpid())\n")
    },
    "/user": { _, startResponse in
        try startResponse(.ok, text, nil)
        return .string("\(getuid()) \(geteuid())\n")
    },
    // Resident memory in KiB.
    "/rss": { _, startResponse in
        try startResponse(.ok, text, nil)
        return .string("\(residentKilobytes())\n")
    },
    // How many requests were in the application at a time, at most: waits for `others`.
    "/together": { environ, startResponse in
        let others = Query(environ).number("others", 1)
        let met = presence.withLock { state in
            state.now += 1
            state.most = max(state.most, state.now)
            return state.most > others
        }
        let together = met || eventually { presence.withLock { $0.most > others } }
        presence.withLock { state in
            state.now -= 1
            if state.now == 0 { state.most = 0 }
        }
        try startResponse(.ok, text, nil)
        return .string(together ? "together\n" : "alone\n")
    },
    "/log": { environ, startResponse in
        let word = Query(environ)["word"] ?? "word"
        environ.errors.write("\(word) from errors\n\(word) from errors, line two\n")
        environ.errors.write("\(word) unfinished")
        print("\(word) from print")
        writeStandardError("\(word) from stderr\n")
        let logger = Logger(label: "behaviour")
        for level in Logger.Level.allCases {
            logger.log(level: level, "\(word) from logger at \(level)", metadata: ["key": "value"])
        }
        try startResponse(.ok, text, nil)
        return .string("\(environ.requestID)\n")
    },
    // Output in more than one write, long, with odd bytes, and without a line's end.
    "/output": { environ, startResponse in
        writeStandardError("torn ")
        writeStandardError("apart\n")
        writeStandardError(String(repeating: "l", count: 10_000) + "\n")
        writeStandardError("tab\there \u{1B}[31mred\u{1B}[0m\n")
        writeStandardError("no line's end")
        try startResponse(.ok, text, nil)
        return .string("output\n")
    },
    "/log-elsewhere": { environ, startResponse in
        let word = Query(environ)["word"] ?? "word"
        var thread = pthread_t()
        let box = Unmanaged.passRetained(Box(word))
        pthread_create(
            &thread, nil,
            { argument in
                let word = Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().word
                Logger(label: "behaviour").notice("\(word) from another thread")
                return nil
            }, box.toOpaque())
        pthread_join(thread, nil)
        try startResponse(.ok, text, nil)
        return .string("logged\n")
    },
]

private final class Box {
    let word: String

    init(_ word: String) { self.word = word }
}

private let presence = Mutex((now: 0, most: 0))

private func writeStandardError(_ text: String) {
    _ = write(STDERR_FILENO, text, text.utf8.count)
}

private func residentKilobytes() -> Int {
    let file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 256)
    let count = read(file, &bytes, bytes.count)
    let fields = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(getpagesize()) / 1024 : 0
}
