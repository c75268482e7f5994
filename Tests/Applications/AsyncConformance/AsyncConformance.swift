import SwiftGI
import SwiftGIConformance

@c public func swiftgi_application() -> ApplicationTable { export(handler: ConformanceHandler()) }
