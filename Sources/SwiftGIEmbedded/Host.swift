package import CSwiftGI
package import Logging
package import SwiftGICore

/// The server's table, for as long as the process lives.
@safe package final class Host: GatewayHost, @unchecked Sendable {
    // Sendable and safe: the table is constant and valid until the process ends, and those of its functions
    // that are called here may be called on any thread; see swiftgi.h.
    let table: UnsafePointer<swiftgi_server>

    package let traits: ServerTraits
    package let software: String
    /// Whether the server has what asynchronous handlers need.
    let canWait: Bool
    /// Whether the server says in one call what a request begins with.
    let hasLine: Bool
    package let level: Logger.Level

    /// - Returns: `nil` if the table is not of this version.
    package init?(_ pointer: UnsafePointer<swiftgi_server>?) {
        guard let table = unsafe pointer, unsafe swiftgi_server_is_usable(table) else { return nil }
        // Only members of this version are read: a server's table may be shorter than ours.
        unsafe self.table = table
        traits = unsafe ServerTraits(
            mode: table.pointee.mode.text,
            multithread: table.pointee.flags & UInt32(SWIFTGI_MULTITHREAD) != 0,
            multiprocess: table.pointee.flags & UInt32(SWIFTGI_MULTIPROCESS) != 0,
            runOnce: table.pointee.flags & UInt32(SWIFTGI_RUN_ONCE) != 0)
        canWait = unsafe swiftgi_server_can_wait(table)
        hasLine = unsafe swiftgi_server_has_line(table)
        software = unsafe table.pointee.software.text
        level = unsafe LogLevel(rawValue: table.pointee.level.rawValue)?.loggerLevel ?? .trace
    }

    /// A message that concerns no request, or the one that the calling thread serves.
    package func log(_ level: LogLevel, _ message: String) {
        unsafe message.utf8.span.withBytes { bytes in
            unsafe table.pointee.log(table, nil, swiftgi_level(rawValue: level.rawValue), bytes)
        }
    }
}
