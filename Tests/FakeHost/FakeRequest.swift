import CSwiftGI
import Glibc
import HTTPTypes
import SwiftGICore
import SwiftGITesting
import Synchronization

/// A request as a server has it, and the record of what its application called.
package final class FakeRequest: @unchecked Sendable {
    // Sendable: one thread at a time has it; what others post is behind the waker's mutex.
    /// A call that makes the response.
    package enum Call: Equatable {
        case start(status: Int, reason: String, length: Int64)
        case field(name: String, value: [UInt8])
        case write(piece: [UInt8], flags: Int)
        case sendFile(offset: Int64, length: Int64, flags: Int)
        case inform
        case trailer(name: String, value: String)
        case wait(interest: Int)
    }

    package private(set) var calls: [Call] = []

    /// What breaks the rules of the interface: a call from another thread or behind the end.
    package var violations: [String] { broken + waker.violations }

    private var broken: [String] = []

    /// What the functions give instead of what they would; `nil` lets them work.
    package var readStatus: swiftgi_status?
    package var startStatus: swiftgi_status?
    package var fieldStatus: swiftgi_status?
    package var sendFileStatus: swiftgi_status?
    /// Takes the number of the write, from 0.
    package var writeStatus: (Int) -> swiftgi_status? = { _ in nil }
    /// What read() claims to have read.
    package var readCount: Int?
    /// Whether empty bytes come as NULL.
    package var givesNull = true

    private let transport: MemoryTransport
    private var head: (status: Int, reason: String, length: Int64)?
    private var headFields = HTTPFields()
    private var responseTrailers = HTTPFields()
    private var isHeadSent = false
    private var isLastSent = false
    private var writeCount = 0
    private var thread: pthread_t?
    private var lent: [UnsafeMutableBufferPointer<UInt8>] = []

    /// Whether each piece of input has to be waited for.
    package var delaysInput = false
    /// Whether each piece of output has to leave before the next.
    package var delaysOutput = false
    /// Whether there is no waker to be had.
    package var hasNoWaker = false
    /// What wait() gives instead of waiting.
    package var waitStatus: swiftgi_status?
    private var waiting: FakeHost.Waiting?
    private var interim: Int?
    private var isInputDue = false
    private var isInputEnded = false
    private var isOutputDue = false
    private var interest = 0
    private var task: UInt?
    package let waker = FakeWaker()

    package init(_ request: MemoryRequest = MemoryRequest()) {
        let id = "\(UInt64.random(in: .min ... .max))"
        transport = MemoryTransport(request, server: ServerTraits(), id: id, software: "FakeHost/1.0")
    }

    /// What the client has got.
    package func response(_ status: swiftgi_status) -> MemoryResponse {
        let outcome: Outcome =
            switch status {
            case SWIFTGI_OK: isLastSent ? .completed : .failed
            case SWIFTGI_CLIENT_GONE: .clientGone
            case SWIFTGI_TOO_LARGE: .tooLarge
            case SWIFTGI_BAD_REQUEST: .badRequest
            case SWIFTGI_TIMED_OUT: .timedOut
            case SWIFTGI_EXPIRED: .expired
            case SWIFTGI_STOPPED: .stopped
            default: .failed
            }
        return transport.finish(outcome)
    }

    static func at(_ pointer: OpaquePointer?) -> FakeRequest {
        Unmanaged<FakeRequest>.fromOpaque(UnsafeRawPointer(pointer!)).takeUnretainedValue()
    }

    func begin(_ waiting: FakeHost.Waiting?) {
        self.waiting = waiting
        thread = pthread_self()
    }

    func end() {
        thread = nil
        for buffer in lent {
            // Who looks at it now sees that it is gone.
            buffer.update(repeating: 0xDD)
            buffer.deallocate()
        }
        lent = []
    }

    package func violate(_ what: String) { broken.append(what) }

    func noteCall(_ name: String) {
        guard let thread else { return broken.append("\(name) behind the end") }
        if pthread_equal(thread, pthread_self()) == 0 { broken.append("\(name) on another thread") }
    }

    // MARK: The request

    private func lend(_ bytes: [UInt8]) -> swiftgi_bytes {
        if bytes.isEmpty && givesNull { return swiftgi_bytes() }
        let buffer = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
        _ = buffer.initialize(from: bytes)
        lent.append(buffer)
        return swiftgi_bytes(start: buffer.baseAddress, count: buffer.count)
    }

    func variable(_ name: swiftgi_bytes, _ value: UnsafeMutablePointer<swiftgi_bytes>?) -> Bool {
        noteCall("variable")
        var found: [UInt8]?
        name.array.withUnsafeBufferPointer { name in
            _ = transport.withVariable(name.span) { found = [UInt8](copying: $0) }
        }
        guard let found else { return false }
        value?.pointee = lend(found)
        return true
    }

    func variables(_ visit: swiftgi_visitor?, _ context: UnsafeMutableRawPointer?) {
        noteCall("variables")
        var all: [([UInt8], [UInt8])] = []
        transport.forEachVariable { all.append(([UInt8](copying: $0), [UInt8](copying: $1))) }
        self.visit(all, visit, context)
    }

    func fields(_ visit: swiftgi_visitor?, _ context: UnsafeMutableRawPointer?) {
        noteCall("fields")
        var all: [([UInt8], [UInt8])] = []
        transport.forEachField { all.append(([UInt8](copying: $0), [UInt8](copying: $1))) }
        self.visit(all, visit, context)
    }

    func line(_ line: UnsafeMutablePointer<swiftgi_line>) {
        for (name, part) in [
            ("REQUEST_METHOD", \swiftgi_line.method), ("REQUEST_SCHEME", \.scheme), ("REQUEST_URI", \.target),
        ] {
            _ = variable(immortal(name), &line.pointee[keyPath: part])
        }
    }

    private func visit(
        _ all: [([UInt8], [UInt8])], _ visit: swiftgi_visitor?, _ context: UnsafeMutableRawPointer?
    ) {
        for (name, value) in all { visit?(context, lend(name), lend(value)) }
    }

    func read(
        _ buffer: UnsafeMutableRawPointer?, _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
    ) -> swiftgi_status {
        noteCall("read")
        if capacity < 1 { broken.append("read of \(capacity) bytes") }
        if let readStatus { return readStatus }
        return Self.status {
            let received = try transport.receive(into: UnsafeMutableRawBufferPointer(start: buffer, count: capacity))
            count?.pointee = readCount ?? received
        }
    }

    // MARK: The response

    func start(_ status: UInt16, _ reason: swiftgi_bytes, _ length: Int64) -> swiftgi_status {
        noteCall("start")
        let text = String(decoding: reason.buffer, as: UTF8.self)
        calls.append(.start(status: Int(status), reason: text, length: length))
        if let startStatus { return startStatus }
        interim = nil
        if waiting != nil, !isHeadSent, (100...199).contains(status), status != 101 {
            interim = Int(status)
            headFields = [:]
            return SWIFTGI_OK
        }
        guard !isHeadSent, (200...599).contains(status), length >= -1 else { return SWIFTGI_MISUSE }
        head = (Int(status), text, length)
        headFields = [:]
        return SWIFTGI_OK
    }

    func field(_ name: swiftgi_bytes, _ value: swiftgi_bytes) -> swiftgi_status {
        noteCall("field")
        calls.append(.field(name: String(decoding: name.buffer, as: UTF8.self), value: value.array))
        if let fieldStatus { return fieldStatus }
        guard head != nil || interim != nil, !isHeadSent, HTTPField.isValidValue(value.array),
            let name = HTTPField.Name(String(decoding: name.buffer, as: UTF8.self))
        else { return SWIFTGI_MISUSE }
        headFields.append(HTTPField(name: name, value: value.array))
        return SWIFTGI_OK
    }

    func write(_ piece: swiftgi_bytes, _ flags: UInt32) -> swiftgi_status {
        noteCall("write")
        calls.append(.write(piece: piece.array, flags: Int(flags)))
        defer { writeCount += 1 }
        if let status = writeStatus(writeCount) { return status }
        let isWaiting = Int(flags) & SWIFTGI_NONBLOCKING == 0
        if isOutputDue, !isWaiting { broken.append("a piece before the last one has left") }
        isOutputDue = false
        let status = send(piece.array, flags)
        guard delaysOutput, !isWaiting, !isLastSent, status == SWIFTGI_OK else { return status }
        isOutputDue = true
        return SWIFTGI_AGAIN
    }

    func sendFile(_ descriptor: Int32, _ offset: Int64, _ length: Int64, _ flags: UInt32) -> swiftgi_status {
        noteCall("send_file")
        calls.append(.sendFile(offset: offset, length: length, flags: Int(flags)))
        defer { if Int(flags) & SWIFTGI_OWNED != 0 { close(descriptor) } }
        if let sendFileStatus { return sendFileStatus }
        guard offset >= 0, length > 0 else { return SWIFTGI_MISUSE }
        var bytes = [UInt8](repeating: 0, count: Int(length))
        guard pread(descriptor, &bytes, bytes.count, off_t(offset)) == bytes.count else { return SWIFTGI_SERVER_ERROR }
        return send(bytes, flags)
    }

    private func send(_ piece: [UInt8], _ flags: UInt32) -> swiftgi_status {
        let isLast = Int(flags) & SWIFTGI_LAST != 0
        guard let head, !isLastSent else { return SWIFTGI_MISUSE }
        return Self.status {
            if !isHeadSent {
                try transport.sendHead(
                    HTTPResponse.Status(code: head.status, reasonPhrase: head.reason), headFields,
                    length: head.length < 0 ? nil : head.length)
                isHeadSent = true
            }
            try transport.sendPiece(piece.span, flush: Int(flags) & SWIFTGI_FLUSH != 0, last: isLast)
            isLastSent = isLast
        }
    }

    // MARK: Waiting

    func tryRead(
        _ buffer: UnsafeMutableRawPointer?, _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
    ) -> swiftgi_status {
        if delaysInput, !isInputDue, !isInputEnded {
            noteCall("try_read")
            isInputDue = true
            return SWIFTGI_AGAIN
        }
        isInputDue = false
        let status = read(buffer, capacity, count)
        isInputEnded = status == SWIFTGI_OK && count?.pointee == 0
        return status
    }

    func inform() -> swiftgi_status {
        noteCall("inform")
        calls.append(.inform)
        guard let interim else { return SWIFTGI_MISUSE }
        self.interim = nil
        return Self.status { try transport.sendInformational(HTTPResponse.Status(code: interim), headFields) }
    }

    func trailer(_ name: swiftgi_bytes, _ value: swiftgi_bytes) -> swiftgi_status {
        noteCall("trailer")
        let (text, value) = (
            String(decoding: name.buffer, as: UTF8.self), String(decoding: value.buffer, as: UTF8.self)
        )
        calls.append(.trailer(name: text, value: value))
        guard head != nil, !isLastSent, let name = HTTPField.Name(text) else { return SWIFTGI_MISUSE }
        responseTrailers.append(HTTPField(name: name, value: value))
        return Self.status { try transport.sendTrailers(responseTrailers) }
    }

    func trailers(_ visit: swiftgi_visitor?, _ context: UnsafeMutableRawPointer?) {
        noteCall("trailers")
        if !isInputEnded { return }
        var all: [([UInt8], [UInt8])] = []
        transport.forEachTrailer { all.append(([UInt8](copying: $0), [UInt8](copying: $1))) }
        self.visit(all, visit, context)
    }

    func makeWaker() -> OpaquePointer? {
        noteCall("waker")
        return hasNoWaker ? nil : waker.retain()
    }

    func wait(
        _ task: UnsafeMutableRawPointer?, _ interest: UInt32, _ events: UnsafeMutablePointer<UInt32>?
    ) -> swiftgi_status {
        noteCall("wait")
        calls.append(.wait(interest: Int(interest)))
        if waker.count == 0, !hasNoWaker { broken.append("wait without a waker") }
        if Int(interest) & ~(SWIFTGI_READABLE | SWIFTGI_WRITABLE) != 0 { broken.append("interest \(interest)") }
        if let waitStatus { return waitStatus }
        self.interest = Int(interest)
        guard waiting == .suspended else {
            events?.pointee = awaitEvents()
            return SWIFTGI_OK
        }
        self.task = UInt(bitPattern: task)
        thread = nil
        return SWIFTGI_SUSPENDED
    }

    /// What resume() is to be called with, if the request is aside.
    func takeTask(_ status: swiftgi_status) -> UInt? {
        defer { task = nil }
        if (task != nil) != (status == SWIFTGI_SUSPENDED) {
            broken.append("\(status) from a request that \(task == nil ? "does not wait" : "is aside")")
        }
        return task
    }

    /// Returns when there is something, with what it is.
    func awaitEvents() -> UInt32 {
        while true {
            var events = waker.take()
            if isInputDue, interest & SWIFTGI_READABLE != 0 { events |= SWIFTGI_READABLE }
            if isOutputDue, interest & SWIFTGI_WRITABLE != 0 {
                isOutputDue = false
                events |= SWIFTGI_WRITABLE
            }
            if transport.isClientGone { events |= SWIFTGI_GONE }
            if events != 0 { return UInt32(events) }
            waker.sleep()
        }
    }

    /// How often the request came back.
    package private(set) var turns = 0

    /// The calling thread is the request's from now on.
    func takeUp() {
        thread = pthread_self()
        turns += 1
    }

    func isClientGone() -> Bool {
        noteCall("is_client_gone")
        return transport.isClientGone
    }

    private static func status(_ body: () throws -> Void) -> swiftgi_status {
        do {
            try body()
            return SWIFTGI_OK
        } catch let error as GatewayError {
            switch error.code {
            case .clientGone: return SWIFTGI_CLIENT_GONE
            case .bodyTooLarge: return SWIFTGI_TOO_LARGE
            case .malformedBody: return SWIFTGI_BAD_REQUEST
            case .timedOut: return SWIFTGI_TIMED_OUT
            default: return SWIFTGI_SERVER_ERROR
            }
        } catch {
            return SWIFTGI_SERVER_ERROR
        }
    }
}

/// Brings a request that waits back: what the interface counts references of.
package final class FakeWaker: Sendable {
    private struct State {
        var count = 0
        var events = 0
        var violations: [String] = []
    }

    private let state = Mutex(State())
    private let changed = Signal()

    /// How many references there are.
    package var count: Int { state.withLock { $0.count } }

    /// What was wrong with them.
    package var violations: [String] { state.withLock { $0.violations } }

    /// Lets events come to the request.
    package func post(_ events: Int) {
        state.withLock { $0.events |= events }
        changed.post()
    }

    static func at(_ pointer: OpaquePointer?) -> FakeWaker {
        Unmanaged<FakeWaker>.fromOpaque(UnsafeRawPointer(pointer!)).takeUnretainedValue()
    }

    func retain() -> OpaquePointer {
        state.withLock { $0.count += 1 }
        return OpaquePointer(Unmanaged.passRetained(self).toOpaque())
    }

    static func release(_ pointer: OpaquePointer?) {
        let reference = Unmanaged<FakeWaker>.fromOpaque(UnsafeRawPointer(pointer!))
        let waker = reference.takeUnretainedValue()
        let isTooOften = waker.state.withLock { state in
            state.count -= 1
            if state.count < 0 { state.violations.append("released too often") }
            return state.count < 0
        }
        if !isTooOften { reference.release() }
    }

    func wake() {
        state.withLock { state in
            if state.count < 1 { state.violations.append("used behind its release") }
        }
        post(SWIFTGI_WOKEN)
    }

    /// What has come, and no longer is there.
    func take() -> Int {
        state.withLock { state in
            defer { state.events = 0 }
            return state.events
        }
    }

    /// Waits a while for more.
    func sleep() { _ = changed.wait(milliseconds: 20) }
}
