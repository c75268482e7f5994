import Glibc
import SwiftGICore

/// What of the process is the server's: A8.
struct ProcessState {
    private struct File: Equatable {
        let device: dev_t
        let inode: ino_t
    }

    private let directory: File?
    private let descriptors: [File?]
    private let user: uid_t
    private let group: gid_t
    private let handlers: [Handler?]

    private struct Handler: Equatable {
        let signal: Int32
        let address: UInt
    }

    /// The process as it is.
    init() {
        directory = unsafe Self.status { unsafe stat(".", $0) }
        descriptors = (0...2).map { descriptor in unsafe Self.status { unsafe fstat(Int32(descriptor), $0) } }
        user = geteuid()
        group = getegid()
        handlers = Self.signals.map { signal in
            var action = sigaction()
            // Only asks.
            guard unsafe sigaction(signal, nil, &action) == 0 else { return nil }
            return Handler(
                signal: signal, address: unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: UInt.self))
        }
    }

    /// Without those of ``Traps``: the validator of another library of the process may set these meanwhile.
    private static let signals = [
        SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGCHLD, SIGWINCH,
    ]

    private static func status(_ ask: (UnsafeMutablePointer<stat>) -> Int32) -> File? {
        var status = stat()
        guard unsafe ask(&status) == 0 else { return nil }
        return File(device: status.st_dev, inode: status.st_ino)
    }

    /// What is different now.
    var change: String? {
        let now = ProcessState()
        if now.directory != directory { return "the working directory was changed" }
        if now.user != user || now.group != group { return "the process's user was changed" }
        for (index, name) in ["input", "output", "error"].enumerated()
        where now.descriptors[index] != descriptors[index] {
            return "the standard \(name) was changed"
        }
        for (before, after) in zip(handlers, now.handlers) where before != after {
            return "the handler of signal \(before?.signal ?? 0) was changed"
        }
        return nil
    }
}

/// Logs who uses what belongs to a request elsewhere than where it belongs: A7.
func observeUse(of exchange: Exchange) {
    let thread = UInt(pthread_self())
    exchange.onUse = { [unowned exchange] what, isFinished in
        if isFinished {
            exchange.logApart(.error, "\(ValidationError("A7", "\(what) of a request that is over"))")
        } else if UInt(pthread_self()) != thread {
            exchange.logApart(.error, "\(ValidationError("A7", "\(what) on another thread than the request's"))")
        }
    }
}
