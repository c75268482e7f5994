// swift-tools-version: 6.2
import PackageDescription

// A package of its own: nobody who builds SwiftGI builds Hummingbird and NIO.
let package = Package(
    name: "bench-hummingbird",
    dependencies: [
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1")
    ],
    targets: [
        .systemLibrary(name: "CZlib"),
        .executableTarget(
            name: "BenchHummingbird",
            dependencies: [.product(name: "Hummingbird", package: "hummingbird"), "CZlib"]),
    ]
)
