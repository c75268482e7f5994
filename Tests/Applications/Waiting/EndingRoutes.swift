import Glibc
import SwiftGI
import Synchronization

/// Requests that do not end by themselves, and what they hear of the end.
let endingRoutes: [String: Route] = [
    // Waits before the head, and tells how the wait ended and what writing comes to then.
    "/hold": { call, _, sender in
        call.journal("waiting")
        let wait = await outcome { try await Task.sleep(for: .seconds(3600)) }
        let isCancelled = Task.isCancelled
        let box = await box(sender)
        let writing = await outcome { try await box.write("late") }
        call.journal("held: \(wait), cancelled \(isCancelled), writing \(writing)")
    },
    // As above, with the head and a piece on their way.
    "/hold-midway": { call, reader, sender in
        let body = reader.sequence()
        let writer = WriterBox(try await sender.send(plain))
        try await writer.write("begin\n")
        call.journal("waiting")
        let wait = await outcome { try await Task.sleep(for: .seconds(3600)) }
        let writing = await outcome { try await writer.write("late") }
        let reading = await outcome { for try await _ in body {} }
        call.journal("held: \(wait), cancelled \(Task.isCancelled), writing \(writing), reading \(reading)")
    },
    // Takes no notice of its cancellation.
    "/stubborn": { call, _, sender in
        call.journal("waiting")
        await passStubbornly(call)
        let box = await box(sender)
        let writing = await outcome { try await box.write("late") }
        call.journal("stubborn: cancelled \(Task.isCancelled), writing \(writing)")
    },
    // Has something to do all the time, until the gate opens.
    "/spin": { call, _, sender in
        call.journal("spinning")
        var rounds = 0
        while rounds % 100 != 0 || access(call["gate"] ?? "", F_OK) != 0 {
            await Task.yield()
            rounds += 1
        }
        let box = await box(sender)
        let writing = await outcome { try await box.write("late") }
        call.journal("spun: cancelled \(Task.isCancelled), writing \(writing)")
    },
    // Sends events until the server stops, and then says goodbye.
    "/until-stop": { call, _, sender in
        var writer = try await sender.send(plain)
        try await writer.write("begin\n")
        call.journal("waiting")
        async let stopped: Void = call.context.waitUntilServerStops()
        try await stopped
        call.journal("told of the stop")
        if call["gate"] != nil { try await call.passGate() }
        try await writer.finish(Array("goodbye\n".utf8))
    },
    // Leaves this process without descriptors, until they are given back.
    // All but a few: without any libdispatch ends the process.
    "/take-descriptors": { _, _, sender in
        taken.withLock { taken in
            while case let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC), descriptor >= 0 {
                taken.append(descriptor)
            }
            for descriptor in taken.suffix(8) { close(descriptor) }
            taken.removeLast(min(8, taken.count))
        }
        try await sender.sendAndFinish(plain, Array("taken\n".utf8))
    },
    "/give-descriptors": { _, _, sender in
        taken.withLock { taken in
            for descriptor in taken { close(descriptor) }
            taken = []
        }
        try await sender.sendAndFinish(plain, Array("given\n".utf8))
    },
    // Waits for what nobody ever does.
    "/forgotten": { call, _, _ in
        call.journal("waiting")
        await withUnsafeContinuation { continuation in forgotten.withLock { $0.append(continuation) } }
    },
]

private let taken = Mutex<[Int32]>([])
private let forgotten = Mutex<[UnsafeContinuation<Void, Never>]>([])

/// The writer, or none if the head can't be sent.
private func box(_ sender: consuming sending ResponseSender) async -> WriterBox {
    do {
        return WriterBox(try await sender.send(plain))
    } catch {
        return WriterBox(failing: error)
    }
}

private func passStubbornly(_ call: Call) async {
    await Task.detached { try? await call.passGate() }.value
}
