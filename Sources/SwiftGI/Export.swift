public import CSwiftGI
public import SwiftGICore
import SwiftGIEmbedded

/// What an application library gives a server; see `swiftgi.h`.
public typealias ApplicationTable = UnsafePointer<swiftgi_application_table>

/// Makes a library an application:
///
/// ```swift
/// @c public func swiftgi_application() -> ApplicationTable { export(hello) }
/// ```
///
/// Every `Logger` of swift-log then writes to the server's error log, on the threads that serve
/// requests with the request's id.
///
/// - Parameters:
///   - application: The application. The closure is evaluated once, in the process that serves,
///     when the server starts the application.
///   - name: The name in the server's log; by default that of the library's module.
///   - fileID: Where the module's name is taken from; not to be given.
/// - Returns: The table for the server. It lives until the process ends; each call makes another.
public func export(
    _ application: @autoclosure @escaping @Sendable () -> Application, name: String? = nil,
    fileID: String = #fileID
) -> ApplicationTable {
    let hosted = HostedApplication { host in
        host.bootstrapLogging()
        return HostedApplication.Running(application: application())
    }
    return unsafe hosted.makeTable(name: name ?? moduleName(fileID))
}

/// Makes a library with a ``GatewayApplication`` an application:
///
/// ```swift
/// @c public func swiftgi_application() -> ApplicationTable { export(Notes.self) }
/// ```
///
/// - Parameters:
///   - type: The application's type. One is made in each process that serves.
///   - name: The name in the server's log; by default that of the library's module.
///   - fileID: Where the module's name is taken from; not to be given.
/// - Returns: The table for the server. It lives until the process ends; each call makes another.
public func export<Hosted: GatewayApplication>(
    _ type: Hosted.Type, name: String? = nil, fileID: String = #fileID
) -> ApplicationTable {
    let hosted = HostedApplication { host in try Lifecycle<Hosted>.start(host) }
    return unsafe hosted.makeTable(name: name ?? moduleName(fileID))
}

/// `Module/File.swift` is what the compiler gives for `#fileID`.
private func moduleName(_ fileID: String) -> String {
    String(fileID.prefix { $0 != "/" })
}
