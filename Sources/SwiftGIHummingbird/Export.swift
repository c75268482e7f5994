#if Hummingbird

public import Hummingbird
public import Logging
public import SwiftGI
import SwiftGICore
import SwiftGIEmbedded

/// Makes a library with an application of Hummingbird a SwiftGI application:
///
/// ```swift
/// import SwiftGIHummingbird
///
/// @c public func swiftgi_application() -> ApplicationTable {
///     export(hummingbird: { try await buildApplication() })
/// }
/// ```
///
/// The application itself is unchanged. It is made once in each process that serves. Its services and the
/// processes before its start run beside the requests; its own server does not, and the address in its
/// configuration is not used. Every `Logger` of swift-log writes to the server's error log.
///
/// - Parameters:
///   - application: Makes the application. It is called once, in the process that serves, when the server
///     starts the application; what it throws fails that start.
///   - metadataProvider: What adds metadata of the current task to each line of the log, as the ids of a
///     trace.
///   - name: The name in the server's log; by default that of the library's module.
///   - fileID: Where the module's name is taken from; not to be given.
/// - Returns: The table for the server. It lives until the process ends; each call makes another.
public func export<Hosted: ApplicationProtocol>(
    hummingbird application: @escaping @Sendable () async throws -> Hosted,
    metadataProvider: Logger.MetadataProvider? = nil, name: String? = nil, fileID: String = #fileID
) -> ApplicationTable {
    let name = name ?? String(fileID.prefix { $0 != "/" })
    let hosted = HostedApplication { host in
        host.bootstrapLogging(metadataProvider: metadataProvider)
        return try LivingApplication.start(host, label: name) { _ in
            try await HummingbirdRuntime.start(try await application())
        }
    }
    return unsafe hosted.makeTable(name: name)
}

#endif
