#if !Hummingbird

/// There is nothing here without the package's trait.
///
/// ```swift
/// .package(url: "…", from: "…", traits: ["Hummingbird"]),
/// ```
@available(*, unavailable, message: "enable the trait Hummingbird of the package swiftgi in Package.swift")
public func export<Hosted>(hummingbird application: Hosted) {}

#endif
