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
        return HostedApplication.Running(.application(application()))
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
    let hosted = HostedApplication { host in try Lifecycle<Hosted>.start(host) { .application($0.application) } }
    return unsafe hosted.makeTable(name: name ?? moduleName(fileID))
}

/// Makes a library with a ``RequestHandler`` an application:
///
/// ```swift
/// @c public func swiftgi_application() -> ApplicationTable { export(handler: Hello()) }
/// ```
///
/// - Parameters:
///   - handler: The handler. The closure is evaluated once, in the process that serves, when the server
///     starts the application.
///   - name: The name in the server's log; by default that of the library's module.
///   - fileID: Where the module's name is taken from; not to be given.
/// - Returns: The table for the server. It lives until the process ends; each call makes another.
public func export(
    handler: @autoclosure @escaping @Sendable () -> any RequestHandler, name: String? = nil,
    fileID: String = #fileID
) -> ApplicationTable {
    let hosted = HostedApplication { host in
        host.bootstrapLogging()
        return HostedApplication.Running(.handler(handler()))
    }
    return unsafe hosted.makeTable(name: name ?? moduleName(fileID))
}

/// Makes a library with an ``AsyncApplication`` an application:
///
/// ```swift
/// @c public func swiftgi_application() -> ApplicationTable {
///     export { request in Response(body: .string("Hello, world!\n")) }
/// }
/// ```
///
/// - Parameters:
///   - name: The name in the server's log; by default that of the library's module.
///   - fileID: Where the module's name is taken from; not to be given.
///   - application: The application.
/// - Returns: The table for the server. It lives until the process ends; each call makes another.
public func export(
    name: String? = nil, fileID: String = #fileID, _ application: @escaping AsyncApplication
) -> ApplicationTable {
    unsafe export(handler: ApplicationHandler(application), name: name, fileID: fileID)
}

/// Makes a library with an ``AsyncGatewayApplication`` an application; see ``GatewayApplication``'s.
///
/// - Parameters:
///   - type: The application's type. One is made in each process that serves.
///   - name: The name in the server's log; by default that of the library's module.
///   - fileID: Where the module's name is taken from; not to be given.
/// - Returns: The table for the server. It lives until the process ends; each call makes another.
public func export<Hosted: AsyncGatewayApplication>(
    _ type: Hosted.Type, name: String? = nil, fileID: String = #fileID
) -> ApplicationTable {
    let hosted = HostedApplication { host in try Lifecycle<Hosted>.start(host) { .handler($0.handler) } }
    return unsafe hosted.makeTable(name: name ?? moduleName(fileID))
}

/// `Module/File.swift` is what the compiler gives for `#fileID`.
private func moduleName(_ fileID: String) -> String {
    String(fileID.prefix { $0 != "/" })
}
