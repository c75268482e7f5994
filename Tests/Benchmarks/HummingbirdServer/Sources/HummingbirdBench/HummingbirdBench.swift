import BenchApplication
import SwiftGIHummingbird

@c public func swiftgi_application() -> ApplicationTable {
    export(hummingbird: { try buildApplication() })
}
