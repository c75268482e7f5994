import CSwiftGI
import SwiftGICore

/// Every conversion between the interface's bytes and spans.
extension swiftgi_bytes {
    /// Calls `body` with the bytes, which the server keeps valid at least as long.
    func withSpan<Result>(_ body: (Span<UInt8>) -> Result) -> Result {
        let bytes = unsafe UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count)
        return unsafe body(bytes.bindMemory(to: UInt8.self).span)
    }

    /// A copy as text.
    var text: String { unsafe withSpan { String(repairing: $0) } }
}

extension Span where Element == UInt8 {
    /// Calls `body` with the span as the interface's bytes, valid during the call.
    func withBytes<Result>(_ body: (swiftgi_bytes) -> Result) -> Result {
        unsafe withUnsafeBytes { unsafe body(swiftgi_bytes(start: $0.baseAddress, count: $0.count)) }
    }
}
