#if Hummingbird

// Not all of SwiftGI: its Request and Response would get into Hummingbird's way.
@_exported public import typealias SwiftGI.ApplicationTable

#endif
