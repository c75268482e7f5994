import Glibc
import HummingbirdTemplate
import SwiftGIHummingbird

@c public func swiftgi_application() -> ApplicationTable {
    export(hummingbird: { try await buildApplication(directory: String(cString: getenv("UPLOADS"))) })
}
