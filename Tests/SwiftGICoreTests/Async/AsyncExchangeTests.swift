import Glibc
import HTTPTypes
import SwiftGICore
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1)))
struct AsyncExchangeTests {
    // MARK: Where a handler runs

    @Test("A handler that never waits is done when start returns, on the same thread")
    func immediate() async {
        let request = WaitingTransport()
        let isSameThread = Held<Bool>()
        await onOwnThread {
            let thread = UInt(pthread_self())
            let exchange = AsyncExchange(
                request,
                Handling { _, context, _, sender in
                    _ = await context.variable("REQUEST_METHOD")
                    isSameThread.value = UInt(pthread_self()) == thread
                    try await sender.sendAndFinish(.ok, [1])
                })
            request.adopt()
            let progress = exchange.start()
            if case .finished(nil) = progress {} else { Issue.record("\(progress)") }
            #expect(exchange.conclude(nil) == .completed)
        }
        #expect(isSameThread.value == true)
        #expect(request.pieces == [[1]])
        #expect(request.waits.isEmpty)
    }

    @Test("serve goes on until the end over a transport that waits itself")
    func serve() async {
        let request = WaitingTransport(body: ["in"])
        await onOwnThread {
            request.adopt()
            let exchange = AsyncExchange(
                request,
                Handling { _, _, reader, sender in
                    try await Task.sleep(for: .milliseconds(1))
                    try await sender.sendAndFinish(.ok, try await reader.collect(upTo: 9))
                })
            let outcome = exchange.serve()
            #expect(outcome == .completed)
        }
        #expect(request.text == "in")
    }

    @Test("Behind each wait a handler is on the thread that the request is on", arguments: WaitMode.allCases)
    func thread(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        let notes = Notes()
        request.serve { _, _, reader, sender in
            var reader = reader
            func note() { notes.note("\(request.isCurrent)") }
            note()
            try await Task.sleep(for: .milliseconds(1))
            note()
            _ = try await reader.next()
            note()
            await Task.yield()
            note()
            var writer = try await sender.send(.ok)
            try await writer.write("x")
            note()
            try await writer.write("y")
            note()
            try await writer.finish()
        }
        request.stopTaking()
        await request.waits(for: .readable)
        request.give("x")
        await request.waits(for: .writable)
        request.takeAgain()
        #expect(await request.outcome == .completed)
        #expect(notes.all == Array(repeating: "true", count: 6))
        #expect(request.violations.isEmpty)
    }

    @Test("Child tasks, groups and actors run there too, one at a time", arguments: WaitMode.allCases)
    func children(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        let elsewhere = Count()
        let running = Count()
        let most = Count()
        let work: @Sendable () async -> Void = {
            for _ in 0..<20 {
                if !request.isCurrent { elsewhere.add(1) }
                most.raise(to: running.add(1))
                running.add(-1)
                await Task.yield()
            }
            try? await Task.sleep(for: .milliseconds(1))
            if !request.isCurrent { elsewhere.add(1) }
        }
        let counter = Counter()
        request.serve { _, _, _, sender in
            async let first: Void = work()
            async let second: Void = work()
            await withTaskGroup { group in
                for _ in 0..<8 { group.addTask { await work() } }
                for _ in 0..<8 {
                    group.addTask { if await !counter.increment({ request.isCurrent }) { elsewhere.add(1) } }
                }
            }
            _ = await (first, second)
            try await sender.sendAndFinish(.ok, Array("\(await counter.value)".utf8))
        }
        #expect(await request.outcome == .completed)
        #expect(request.text == "8")
        #expect(elsewhere.value == 0)
        #expect(most.value == 1)
        #expect(request.violations.isEmpty)
    }

    @Test("Unstructured tasks may use the request from where they run", arguments: WaitMode.allCases)
    func unstructured(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        request.variables["NAME"] = "value"
        request.serve { _, context, reader, sender in
            let body = reader.sequence()
            let read = Task.detached {
                var all: [UInt8] = []
                for try await piece in body { all += piece }
                return all
            }
            let variable = Task { await context.variable("NAME") }
            let environ = Task.detached { try await context.environ["NAME"] }
            let text = "\(await variable.value ?? "") \(try await environ.value ?? "") "
            try await sender.sendAndFinish(.ok, try await Array(text.utf8) + read.value)
        }
        for piece in ["a", "b", "c"] {
            await request.waits(for: .readable)
            request.give(piece)
        }
        request.endInput()
        #expect(await request.outcome == .completed)
        #expect(request.text == "value value abc")
        #expect(request.violations.isEmpty)
    }

    @Test("Two tasks that read the same body get all of it between them", arguments: WaitMode.allCases)
    func readers(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        let got = Count()
        request.serve { _, _, reader, sender in
            let body = reader.sequence()
            try await withThrowingTaskGroup { group in
                for _ in 0..<3 {
                    group.addTask { for try await piece in body { got.add(piece.count) } }
                }
                try await group.waitForAll()
            }
            try await sender.sendAndFinish(.ok)
        }
        await request.waits(for: .readable)
        for number in 1...50 {
            request.give("x")
            await eventually { got.value == number }
        }
        request.endInput()
        #expect(await request.outcome == .completed)
        #expect(got.value == 50)
        #expect(request.violations.isEmpty)
    }

    @Test("Reading and writing go on at once", arguments: WaitMode.allCases)
    func duplex(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        request.serve { _, _, reader, sender in
            var reader = reader
            var writer = try await sender.send(.ok)
            while let piece = try await reader.next() { try await writer.write(piece) }
            try await writer.finish()
        }
        for number in 1...20 {
            request.give("\(number) ")
            await request.holds { $0.text.hasSuffix("\(number) ") }
        }
        request.endInput()
        #expect(await request.outcome == .completed)
        #expect(request.text == (1...20).map { "\($0) " }.joined())
        #expect(request.violations.isEmpty)
    }

    // MARK: The head

    @Test("A head goes out when its handler waits", arguments: WaitMode.allCases)
    func headBeforeWait(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        request.serve { _, _, reader, sender in
            let writer = try await sender.send(HTTPResponse(status: .accepted))
            let bytes = try await reader.collect(upTo: 9)
            try await writer.finish(bytes)
        }
        await request.waits(for: .readable)
        #expect(request.events == [.head(202, [], length: nil), .piece([], flush: true, last: false)])
        request.give("x")
        request.endInput()
        #expect(await request.outcome == .completed)
        #expect(request.events.count == 3)
        #expect(request.violations.isEmpty)
    }

    @Test("Until then a handler may throw and have its client get 500")
    func throwsBeforeWait() async {
        let request = WaitingTransport()
        let outcome = await request.outcome { _, _, _, sender in
            _ = try await sender.send(HTTPResponse(status: .accepted))
            throw ApplicationError()
        }
        #expect(outcome == .failed)
        #expect(request.events == [])
        #expect(
            request.log == [
                .init(
                    level: .error, message: "SGI0201: application failed, status 500: ApplicationError()",
                    isFinished: false)
            ])
    }

    @Test("Behind the head what is thrown aborts the response", arguments: WaitMode.allCases)
    func throwsAfterWait(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        let outcome = await request.outcome { _, _, _, sender in
            _ = try await sender.send(.ok)
            // The head leaves while the handler waits, if that takes long enough.
            while request.events.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
            throw ApplicationError()
        }
        #expect(outcome == .failed)
        #expect(request.log.map(\.message) == ["SGI0201: application failed, response aborted: ApplicationError()"])
    }

    @Test("A handler that returns without having finished fails", arguments: 0...2)
    func unfinished(_ progress: Int) async {
        let request = WaitingTransport()
        let outcome = await request.outcome { _, _, _, sender in
            if progress == 0 { return }
            var writer = try await sender.send(.ok)
            if progress == 2 { try await writer.write("x") }
        }
        #expect(outcome == .failed)
        let consequence = progress == 2 ? "response aborted" : "status 500"
        #expect(
            request.log.map(\.message) == [
                "SGI0208: application broke the gateway contract, \(consequence): responseNotFinished"
            ])
        #expect(request.text == (progress == 2 ? "x" : ""))
    }

    // MARK: Pieces

    @Test(
        "What is written leaves in pieces of at most 32 KiB, in order", arguments: WaitMode.allCases,
        [0, 1, 32768, 32769, 100_000])
    func pieces(_ mode: WaitMode, _ count: Int) async {
        let request = WaitingTransport(mode)
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 / 7) }
        let outcome = await request.outcome { _, _, _, sender in
            var writer = try await sender.send(.ok)
            try await writer.write(bytes)
            try await writer.finish(bytes)
        }
        #expect(outcome == .completed)
        #expect(request.pieces.flatMap { $0 } == bytes + bytes)
        #expect(request.pieces.allSatisfy { $0.count <= AsyncExchange.pieceSize })
        let lasts = request.events.map { if case .piece(_, _, true) = $0 { true } else { false } }
        #expect(lasts.lastIndex(of: true) == lasts.count - 1 && lasts.filter { $0 }.count == 1)
        #expect(request.violations.isEmpty)
    }

    @Test("A client that takes nothing has one piece outstanding, and its writer waits", arguments: WaitMode.allCases)
    func slow(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        request.stopTaking()
        request.serve { _, _, _, sender in
            var writer = try await sender.send(.ok)
            for _ in 0..<3 { try await writer.write([UInt8](repeating: 0x78, count: 100_000)) }
            try await writer.finish([UInt8](repeating: 0x78, count: 100_000))
        }
        await request.waits(for: .writable)
        #expect(request.text.utf8.count == 32768)
        request.takeAgain()
        #expect(await request.outcome == .completed)
        #expect(request.text.utf8.count == 400_000)
        #expect(request.violations.isEmpty)
    }

    @Test("Whether output has left is asked while a handler waits for something else", arguments: WaitMode.allCases)
    func outstanding(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        request.stopTaking()
        request.serve { _, _, reader, sender in
            var reader = reader
            var writer = try await sender.send(.ok)
            try await writer.write("x")
            _ = try await reader.next()
            try await writer.finish()
        }
        await request.waits(for: [.readable, .writable])
        request.takeAgain()
        await request.holds { $0.waits.last == .readable }
        request.give("x")
        #expect(await request.outcome == .completed)
        #expect(request.violations.isEmpty)
    }

    @Test("What the transport throws is thrown, again and again", arguments: 0...2)
    func output(_ number: Int) async {
        let request = WaitingTransport()
        request.failure = { $0 == number ? GatewayError(.output, "disk full") : nil }
        let notes = Notes()
        let outcome = await request.outcome { _, _, _, sender in
            var writer = try await sender.send(.ok)
            for _ in 0..<3 { notes.note(await thrown { try await writer.write("x") }) }
            try await writer.finish()
        }
        #expect(outcome == .failed)
        let good = max(0, number - 1)
        #expect(notes.all == Array(repeating: "none", count: good) + Array(repeating: "output", count: 3 - good))
        #expect(request.log.map(\.message).count == 1)
        #expect(request.log.first?.message.hasPrefix("SGI0209") == true)
    }

    // MARK: What ends a request

    enum Waiting: String, CaseIterable { case reading, writing, sleeping, stopping, child, forever }

    /// Waits, and notes how that ended.
    private static func wait(
        _ waiting: Waiting, _ notes: Notes, _ context: RequestContext, _ reader: consuming sending RequestReader,
        _ sender: consuming sending ResponseSender
    ) async throws {
        var reader = reader
        do {
            switch waiting {
            case .reading: _ = try await reader.next()
            case .writing:
                var writer = try await sender.send(.ok)
                while true { try await writer.write("x") }
            case .sleeping: try await Task.sleep(for: .seconds(600))
            case .stopping: try await context.waitUntilServerStops()
            case .child:
                let body = reader.sequence()
                try await withThrowingTaskGroup { group in
                    group.addTask { for try await _ in body {} }
                    try await group.waitForAll()
                }
            case .forever:
                let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
                for await _ in stream {}
                withExtendedLifetime(continuation) {}
                try Task.checkCancellation()
            }
        } catch {
            notes.note(await thrown { throw error })
            notes.note("\(Task.isCancelled)")
            throw error
        }
    }

    private func interest(_ waiting: Waiting) -> WaitEvents {
        switch waiting {
        case .reading, .child: .readable
        case .writing: .writable
        case .sleeping, .stopping, .forever: []
        }
    }

    @Test(
        "When the client goes, the time is over or the server ends, whoever waits throws and is cancelled",
        arguments: WaitMode.allCases, Waiting.allCases)
    func terminal(_ mode: WaitMode, _ waiting: Waiting) async {
        let cases: [(WaitEvents, String, Outcome, String)] = [
            (.gone, "clientGone", .clientGone, "SGI0202"), (.expired, "deadlineExceeded", .expired, "SGI0216"),
            (.stopped, "serverStopped", .stopped, "SGI0217"),
        ]
        for (event, code, outcome, id) in cases {
            let request = WaitingTransport(mode)
            if waiting == .writing { request.stopTaking() }
            let notes = Notes()
            request.serve { _, context, reader, sender in
                try await Self.wait(waiting, notes, context, reader, sender)
            }
            await request.waits(for: interest(waiting))
            request.post(event)
            #expect(await request.outcome == outcome)
            let isInput = [.reading, .writing, .stopping, .child].contains(waiting)
            #expect(notes.all == [isInput ? code : "cancelled", "true"])
            #expect(request.log.count == 1)
            #expect(request.log.first?.message.hasPrefix(id) == true, "\(request.log)")
            #expect(request.violations.isEmpty)
        }
    }

    @Test("Of several the client's going counts first, then the deadline", arguments: WaitMode.allCases)
    func several(_ mode: WaitMode) async {
        let others: WaitEvents = [.woken, .readable, .writable, .stalled, .stopping]
        let cases: [(WaitEvents, Outcome)] = [
            ([.gone, .expired, .stopped], .clientGone), ([.expired, .stopped], .expired), (.stopped, .stopped),
        ]
        for (events, outcome) in cases {
            for isWith in [false, true] {
                let request = WaitingTransport(mode)
                request.serve { _, _, reader, sender in
                    var reader = reader
                    _ = try await reader.next()
                    try await sender.sendAndFinish(.ok)
                }
                await request.waits(for: .readable)
                request.post(isWith ? events.union(others) : events)
                #expect(await request.outcome == outcome)
                #expect(request.violations.isEmpty)
            }
        }
    }

    @Test("What a handler does about its end no longer reaches the client", arguments: WaitMode.allCases)
    func behindTheEnd(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        let notes = Notes()
        request.serve { _, _, reader, sender in
            var reader = reader
            var writer = try await sender.send(.ok)
            notes.note(await thrown { _ = try await reader.next() })
            notes.note(await thrown { _ = try await reader.next() })
            notes.note(await thrown { try await writer.write("late") })
            do {
                try await writer.finish(Array("late".utf8), trailers: [.eTag: "x"])
            } catch {
                notes.note(name(of: error))
            }
        }
        await request.waits(for: .readable)
        request.post(.expired)
        #expect(await request.outcome == .expired)
        #expect(notes.all == Array(repeating: "deadlineExceeded", count: 4))
        #expect(request.text == "")
        #expect(!request.events.contains(.trailers(["ETag: x"])))
        #expect(
            request.log.map(\.message) == [
                "SGI0216: request was not done in time and is cancelled, response aborted"
            ])
        #expect(request.violations.isEmpty)
    }

    @Test("A response that is complete stays one, whatever comes behind it", arguments: WaitMode.allCases)
    func completeBefore(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        request.serve { _, _, _, sender in
            try await sender.sendAndFinish(.ok, Array("whole".utf8))
            try await Task.sleep(for: .seconds(600))
        }
        await request.holds { $0.text == "whole" }
        await request.waits(for: [])
        request.post(.expired)
        #expect(await request.outcome == .expired)
        #expect(request.events.last == .piece(Array("whole".utf8), flush: false, last: true))
        #expect(
            request.log.map(\.message) == [
                "SGI0216: request was not done in time and is cancelled, after its response"
            ])
    }

    @Test("Reading gives up when nothing came for too long", arguments: WaitMode.allCases)
    func stalledInput(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        let notes = Notes()
        request.serve { _, _, reader, _ in
            var reader = reader
            notes.note(await thrown { _ = try await reader.next() })
            notes.note("\(Task.isCancelled)")
            _ = try await reader.next()
        }
        await request.waits(for: .readable)
        request.post(.stalled)
        #expect(await request.outcome == .timedOut)
        #expect(notes.all == ["timedOut", "false"])
    }

    @Test("Writing gives up when nothing left for too long", arguments: WaitMode.allCases, [false, true])
    func stalledOutput(_ mode: WaitMode, _ isWriting: Bool) async {
        let request = WaitingTransport(mode)
        request.stopTaking()
        let notes = Notes()
        request.serve { _, context, _, sender in
            var writer = try await sender.send(.ok)
            try await writer.write("x")
            if !isWriting { try await context.waitUntilServerStops() }
            notes.note(await thrown { try await writer.write("y") })
            try await writer.finish()
        }
        await request.waits(for: .writable)
        request.post(.stalled)
        if !isWriting {
            await request.waits(for: [])
            request.post(.stopping)
        }
        #expect(await request.outcome == .timedOut)
        #expect(notes.all == ["timedOut"])
        #expect(request.text == "x")
        #expect(request.violations.isEmpty)
    }

    @Test("A handler that waits for nothing of the client's does not stall", arguments: WaitMode.allCases)
    func stalledElsewhere(_ mode: WaitMode) async {
        let request = WaitingTransport(mode, body: ["body"])
        request.serve { _, context, reader, sender in
            try await context.waitUntilServerStops()
            try await sender.sendAndFinish(.ok, try await reader.collect(upTo: 9))
        }
        await request.waits(for: [])
        request.post(.stalled)
        await request.holds { $0.waits.count > 1 }
        request.post(.stopping)
        #expect(await request.outcome == .completed)
        #expect(request.text == "body")
    }

    @Test("A server that wants to end is no end", arguments: WaitMode.allCases)
    func stopping(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        let notes = Notes()
        request.serve { _, context, reader, sender in
            var reader = reader
            notes.note("\(await context.isServerStopping)")
            async let told: Void = context.waitUntilServerStops()
            async let toldToo: Void = context.waitUntilServerStops()
            _ = try await (told, toldToo)
            notes.note("\(await context.isServerStopping) \(Task.isCancelled)")
            try await context.waitUntilServerStops()
            _ = try await reader.next()
            try await sender.sendAndFinish(.ok)
        }
        await request.waits(for: [])
        request.post(.stopping)
        await request.waits(for: .readable)
        request.give("x")
        #expect(await request.outcome == .completed)
        #expect(notes.all == ["false", "true false"])
        #expect(request.violations.isEmpty)
    }

    // MARK: Cancellation by the handler

    @Test("A child that is cancelled while it waits throws, and the request goes on", arguments: WaitMode.allCases)
    func cancelledChild(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        let notes = Notes()
        request.serve { _, context, reader, sender in
            let body = reader.sequence()
            await withTaskGroup { group in
                group.addTask { notes.note(await thrown { for try await _ in body {} }) }
                group.addTask { notes.note(await thrown { try await context.waitUntilServerStops() }) }
                try? await Task.sleep(for: .milliseconds(2))
                group.cancelAll()
            }
            var rest = body.makeAsyncIterator()
            try await sender.sendAndFinish(.ok, try await rest.next() ?? [])
        }
        await eventually { notes.all.count == 2 }
        request.give("more")
        #expect(await request.outcome == .completed)
        #expect(notes.all == ["cancelled", "cancelled"])
        #expect(request.text == "more")
        #expect(request.violations.isEmpty)
    }

    @Test("A task that is cancelled from elsewhere wakes up", arguments: WaitMode.allCases)
    func cancelledFromElsewhere(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        let reading = Held<Task<Void, Never>>()
        let notes = Notes()
        request.serve { _, _, reader, sender in
            let body = reader.sequence()
            let task = Task { notes.note(await thrown { for try await _ in body {} }) }
            reading.value = task
            await task.value
            try await sender.sendAndFinish(.ok)
        }
        await request.waits(for: .readable)
        reading.value?.cancel()
        #expect(await request.outcome == .completed)
        #expect(notes.all == ["cancelled"])
        #expect(request.violations.isEmpty)
    }

    @Test("A writer that is cancelled while it waits can go on", arguments: WaitMode.allCases)
    func cancelledWriter(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        request.stopTaking()
        let notes = Notes()
        request.serve { _, _, _, sender in
            let writer = Box(try await sender.send(.ok))
            try await writer.write("x")
            await withTaskGroup { group in
                group.addTask { notes.note(await thrown { try await writer.write("lost") }) }
                try? await Task.sleep(for: .milliseconds(2))
                group.cancelAll()
            }
            try await writer.finish("y")
        }
        await eventually { notes.all.count == 1 }
        request.takeAgain()
        #expect(await request.outcome == .completed)
        #expect(notes.all == ["cancelled"])
        #expect(request.text == "xy")
        #expect(request.violations.isEmpty)
    }

    @Test("What is there is read and written by a task that is cancelled already")
    func alreadyCancelled() async {
        let request = WaitingTransport(body: ["there"])
        let outcome = await request.outcome { _, _, reader, sender in
            let body = reader.sequence()
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await body.collect(upTo: 9)
            }
            try await sender.sendAndFinish(.ok, try await task.value)
        }
        #expect(outcome == .completed)
        #expect(request.text == "there")
    }

    // MARK: Handlers that do not end

    @Test("A handler that ignores its end is left behind, and reported", arguments: WaitMode.allCases)
    func ignores(_ mode: WaitMode) async {
        for (event, outcome) in [(WaitEvents.gone, Outcome.clientGone), (.expired, .expired), (.stopped, .stopped)] {
            let request = WaitingTransport(mode)
            let release = Gate()
            let notes = Notes()
            request.serve { _, context, reader, sender in
                var reader = reader
                var sender = sender
                await release.wait()
                // Its request is over by now.
                notes.note("\(request.isCurrent) \(Task.isCancelled)")
                notes.note(await thrown { _ = try await reader.next() })
                notes.note(await thrown { _ = try await context.environ })
                notes.note(await thrown { try await sender.sendInformational(HTTPResponse(status: .earlyHints)) })
                do { try await sender.sendAndFinish(.ok) } catch { notes.note(name(of: error)) }
                notes.note("end")
            }
            await request.waits(for: [])
            request.post(event)
            #expect(await request.outcome == outcome)
            #expect(
                request.log.first
                    == .init(
                        level: .warning, message: "SGI0215: handler goes on after its request was cancelled",
                        isFinished: false))
            #expect(request.log.count == 2)
            #expect(notes.all == [])
            await release.open()
            await eventually { notes.all.last == "end" }
            #expect(notes.all.first == "false true")
            #expect(notes.all.dropFirst().dropLast().allSatisfy { $0 != "none" })
            #expect(request.events == [])
            #expect(request.violations.isEmpty)
        }
    }

    @Test("A handler that yields without end notices its end", arguments: WaitMode.allCases)
    func yields(_ mode: WaitMode) async {
        for (event, outcome) in [(WaitEvents.gone, Outcome.clientGone), (.expired, .expired), (.stopped, .stopped)] {
            let request = WaitingTransport(mode)
            let rounds = Count()
            request.serve { _, _, _, _ in
                let never = ContinuousClock.now + .seconds(10)
                while !Task.isCancelled {
                    rounds.add(1)
                    await Task.yield()
                    if ContinuousClock.now > never { throw ApplicationError() }
                }
                throw CancellationError()
            }
            await eventually { rounds.value > 100 }
            request.post(event)
            #expect(await request.outcome == outcome)
            #expect(request.violations.isEmpty)
        }
    }

    // MARK: Tasks that outlive their request

    @Test("Behind the end of the request all is refused, and the server is left alone", arguments: WaitMode.allCases)
    func outlives(_ mode: WaitMode) async {
        let request = WaitingTransport(mode, body: ["rest"])
        let release = Gate()
        let notes = Notes()
        request.serve { _, context, reader, sender in
            let body = reader.sequence()
            Task.detached {
                await release.wait()
                notes.note(await thrown { _ = try await body.collect(upTo: 9) })
                notes.note(await thrown { for try await _ in body {} })
                notes.note(await thrown { _ = try await context.environ })
                notes.note(await thrown { try await context.waitUntilServerStops() })
                notes.note("\(await context.variable("REQUEST_METHOD") == nil) \(await context.requestID.isEmpty)")
                notes.note("\(try await body.trailers)")
                context.logger.notice("late")
                notes.note("end")
            }
            try await sender.sendAndFinish(.ok)
        }
        #expect(await request.outcome == .completed)
        await release.open()
        await eventually { notes.all.last == "end" }
        #expect(notes.all == Array(repeating: "finished", count: 4) + ["true true", "[]", "end"])
        #expect(request.log == [.init(level: .notice, message: "request: late", isFinished: true)])
        #expect(request.violations.isEmpty)
    }

    @Test("A writer that outlives its request writes nothing", arguments: WaitMode.allCases, [false, true])
    func writerOutlives(_ mode: WaitMode, _ withTrailers: Bool) async {
        let request = WaitingTransport(mode)
        let release = Gate()
        let notes = Notes()
        request.serve { _, _, _, sender in
            let writer = Box(try await sender.send(.ok))
            Task.detached {
                await release.wait()
                notes.note(await thrown { try await writer.write("late") })
                notes.note(
                    await thrown { try await writer.finish("late", trailers: withTrailers ? [.eTag: "x"] : nil) })
                notes.note("end")
            }
        }
        #expect(await request.outcome == .failed)
        await release.open()
        await eventually { notes.all.last == "end" }
        #expect(notes.all == ["finished", "finished", "end"])
        #expect(request.events == [])
        #expect(request.violations.isEmpty)
    }

    @Test("Who waits when the request ends does not wait for ever", arguments: WaitMode.allCases, 0...2)
    func waitsAtTheEnd(_ mode: WaitMode, _ side: Int) async {
        let request = WaitingTransport(mode)
        let notes = Notes()
        if side == 1 { request.stopTaking() }
        request.serve { _, context, reader, sender in
            let body = reader.sequence()
            let writer = Box(try await sender.send(.ok))
            Task.detached {
                notes.note(
                    await thrown {
                        switch side {
                        case 0: for try await _ in body {}
                        case 1: while true { try await writer.write("x") }
                        default: try await context.waitUntilServerStops()
                        }
                    })
            }
            // Until it waits.
            let interest: WaitEvents = side == 0 ? .readable : side == 1 ? .writable : []
            var rounds = 0
            while rounds < 20 || !request.waits.contains(where: { $0.isSuperset(of: interest) }) {
                rounds += 1
                try await Task.sleep(for: .milliseconds(1))
            }
            throw ApplicationError()
        }
        #expect(await request.outcome == .failed)
        await eventually { !notes.all.isEmpty }
        #expect(notes.all == ["finished"])
        #expect(request.violations.isEmpty)
    }

    @Test("A request and what it refers to is freed behind its end", arguments: WaitMode.allCases)
    func freed(_ mode: WaitMode) async {
        final class Witness: Sendable {
            let deinits: Notes
            init(_ deinits: Notes) { self.deinits = deinits }
            deinit { deinits.note("freed") }
        }
        let notes = Notes()
        do {
            let witness = Witness(notes)
            let request = WaitingTransport(mode)
            let outcome = await request.outcome { [witness] _, context, reader, sender in
                try await Task.sleep(for: .milliseconds(1))
                _ = await context.variable("REQUEST_METHOD")
                try await sender.sendAndFinish(.ok)
                withExtendedLifetime(witness) {}
            }
            #expect(outcome == .completed)
        }
        await eventually { notes.all == ["freed"] }
    }

    // MARK: What a swallowed error comes to

    @Test("An error that its handler swallows is no success", arguments: WaitMode.allCases)
    func swallowed(_ mode: WaitMode) async {
        let request = WaitingTransport(mode)
        request.failure = { $0 == 2 ? GatewayError(.clientGone) : nil }
        let outcome = await request.outcome { _, _, _, sender in
            var writer = try await sender.send(.ok)
            for _ in 0..<5 { try? await writer.write("x") }
            try? await writer.finish()
        }
        #expect(outcome == .clientGone)
        #expect(request.log.map(\.level) == [.debug])
    }

    @Test("A body that was cut is reported, though its handler swallows the error")
    func swallowedLength() async {
        let request = WaitingTransport()
        let outcome = await request.outcome { _, _, _, sender in
            var writer = try await sender.send(HTTPResponse(status: .ok, headerFields: [.contentLength: "2"]))
            try? await writer.write("four")
            try? await writer.finish()
        }
        #expect(outcome == .completed)
        #expect(request.text == "fo")
        #expect(request.log.first?.message.hasPrefix("SGI0203") == true, "\(request.log)")
    }

    // MARK: Every order

    @Test("In every order of what may happen a request ends once, by the rules")
    func orders() async {
        // What happens at once: the handler's end, a wake, the client, the time, the server.
        let events: [WaitEvents] = [.gone, .expired, .stopped, .stopping, .stalled]
        for round in 0..<400 {
            let mode = WaitMode.allCases[round % 2]
            let request = WaitingTransport(mode)
            let ended = Notes()
            let reading = Held<Task<Void, any Error>>()
            request.serve { _, context, reader, sender in
                let body = reader.sequence()
                let task = Task { for try await _ in body {} }
                reading.value = task
                defer { ended.note("ended") }
                async let other: Void = context.waitUntilServerStops()
                switch round / 2 % 3 {
                case 0: try? await task.value
                case 1: try? await Task.sleep(for: .microseconds(50))
                default: try? await other
                }
                task.cancel()
                try await sender.sendAndFinish(.ok)
            }
            await withTaskGroup { group in
                let event = events[round / 6 % events.count]
                group.addTask { request.post(event) }
                group.addTask { request.give("x") }
                group.addTask { request.endInput() }
                group.addTask { request.post(.stopping) }
                group.addTask { reading.value?.cancel() }
            }
            let outcome = await request.outcome
            let possible: [Outcome?] = [.completed, .clientGone, .expired, .stopped, .timedOut]
            #expect(possible.contains(outcome))
            await eventually { ended.all == ["ended"] }
            #expect(request.violations.isEmpty)
        }
    }
}

/// Holds those that wait until it is opened.
actor Gate {
    private var isOpen = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func wait() async {
        if !isOpen { await withCheckedContinuation { waiting.append($0) } }
    }

    func open() {
        isOpen = true
        for continuation in waiting { continuation.resume() }
        waiting = []
    }
}

private actor Counter {
    private(set) var value = 0

    func increment(_ condition: @Sendable () -> Bool) -> Bool {
        value += 1
        return condition()
    }
}

/// A writer that several tasks share, as a careless handler might.
final class Box: @unchecked Sendable {
    private var writer: ResponseWriter?

    init(_ writer: consuming ResponseWriter) { self.writer = consume writer }

    func write(_ text: String) async throws { try await writer?.write(text) }

    func finish(_ text: String, trailers: HTTPFields? = nil) async throws {
        guard let writer = writer.take() else { return }
        try await writer.finish(Array(text.utf8), trailers: trailers)
    }
}

/// Runs a closure on a thread of its own.
func onOwnThread(_ body: @escaping @Sendable () -> Void) async {
    await withCheckedContinuation { continuation in
        do {
            try DetachedThread.start {
                body()
                continuation.resume()
            }
        } catch {
            Issue.record(error)
            continuation.resume()
        }
    }
}
