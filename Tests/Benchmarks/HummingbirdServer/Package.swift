// swift-tools-version: 6.2
import PackageDescription

// A package of its own: nobody who builds SwiftGI builds Hummingbird and NIO. It depends on SwiftGI as
// an application's author does.
let package = Package(
    name: "bench-hummingbird",
    products: [.library(name: "HummingbirdBench", type: .dynamic, targets: ["HummingbirdBench"])],
    dependencies: [
        .package(name: "swiftgi", path: "../../..", traits: ["Hummingbird"]),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1"),
    ],
    targets: [
        .systemLibrary(name: "CZlib"),
        .target(
            name: "BenchApplication",
            dependencies: [.product(name: "Hummingbird", package: "hummingbird"), "CZlib"]),
        .executableTarget(
            name: "BenchHummingbird",
            dependencies: ["BenchApplication", .product(name: "Hummingbird", package: "hummingbird")]),
        .target(
            name: "HummingbirdBench",
            dependencies: ["BenchApplication", .product(name: "SwiftGIHummingbird", package: "swiftgi")]),
    ]
)
