import CSwiftGI
import Glibc
import HTTPTypes
import SwiftGICore
import SwiftGITesting

/// A request as a server has it, and the record of what its application called.
package final class FakeRequest {
    /// A call that makes the response.
    package enum Call: Equatable {
        case start(status: Int, reason: String, length: Int64)
        case field(name: String, value: [UInt8])
        case write(piece: [UInt8], flags: Int)
        case sendFile(offset: Int64, length: Int64, flags: Int)
    }

    package private(set) var calls: [Call] = []

    /// What breaks the rules of the interface: a call from another thread or behind the end.
    package private(set) var violations: [String] = []

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
    private var isHeadSent = false
    private var isLastSent = false
    private var writeCount = 0
    private var thread: pthread_t?
    private var lent: [UnsafeMutableBufferPointer<UInt8>] = []

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
            default: .failed
            }
        return transport.finish(outcome)
    }

    static func at(_ pointer: OpaquePointer?) -> FakeRequest {
        Unmanaged<FakeRequest>.fromOpaque(UnsafeRawPointer(pointer!)).takeUnretainedValue()
    }

    func begin() { thread = pthread_self() }

    func end() {
        thread = nil
        for buffer in lent {
            // Who looks at it now sees that it is gone.
            buffer.update(repeating: 0xDD)
            buffer.deallocate()
        }
        lent = []
    }

    func noteCall(_ name: String) {
        guard let thread else { return violations.append("\(name) behind the end") }
        if pthread_equal(thread, pthread_self()) == 0 { violations.append("\(name) on another thread") }
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

    private func visit(
        _ all: [([UInt8], [UInt8])], _ visit: swiftgi_visitor?, _ context: UnsafeMutableRawPointer?
    ) {
        for (name, value) in all { visit?(context, lend(name), lend(value)) }
    }

    func read(
        _ buffer: UnsafeMutableRawPointer?, _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
    ) -> swiftgi_status {
        noteCall("read")
        if capacity < 1 { violations.append("read of \(capacity) bytes") }
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
        guard !isHeadSent, (200...599).contains(status), length >= -1 else { return SWIFTGI_MISUSE }
        head = (Int(status), text, length)
        headFields = [:]
        return SWIFTGI_OK
    }

    func field(_ name: swiftgi_bytes, _ value: swiftgi_bytes) -> swiftgi_status {
        noteCall("field")
        calls.append(.field(name: String(decoding: name.buffer, as: UTF8.self), value: value.array))
        if let fieldStatus { return fieldStatus }
        guard head != nil, !isHeadSent, HTTPField.isValidValue(value.array),
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
        return send(piece.array, flags)
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
