// swift-tools-version: 6.2
import PackageDescription

// Each is a dynamic library of its own: lib<Name>.so, what a server loads.
let samples = [
    "Index", "Hello", "Variables", "Echo", "Stream", "Download", "Form", "Middleware", "Guestbook", "Events",
]
let testApplications = [
    "Behaviour", "AsyncHello", "ExecutorCost", "Waiting", "Conformance", "AsyncConformance", "Mirror", "ThrowsAtStart",
    "WithLifecycle",
    "TwinA", "TwinB",
]

let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")

let package = Package(
    name: "swiftgi",
    products: [
        .library(name: "SwiftGI", targets: ["SwiftGI"]),
        .library(name: "SwiftGITesting", targets: ["SwiftGITesting"]),
    ],
    dependencies: [
        // Without its trait for Foundation's URL, which would link Foundation into every application.
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
    ],
    targets: [
        .target(name: "CSwiftGI"),
        .target(name: "CSwiftGISystem"),
        .target(name: "SwiftGICore", dependencies: [httpTypes, logging]),
        .target(name: "CSwiftGILauncher", dependencies: ["CSwiftGI"]),
        .target(name: "SwiftGIServers", dependencies: ["SwiftGICore", "CSwiftGISystem", httpTypes, logging]),
        .target(
            name: "SwiftGIEmbedded",
            dependencies: ["SwiftGICore", "SwiftGIServers", "CSwiftGI", "CSwiftGISystem", httpTypes, logging]),
        .target(
            name: "SwiftGI",
            dependencies: ["SwiftGICore", "SwiftGIEmbedded", "CSwiftGI", "CSwiftGILauncher", httpTypes]),
        .target(name: "SwiftGITesting", dependencies: ["SwiftGICore", httpTypes, logging]),
        .target(name: "SwiftGIConformance", dependencies: ["SwiftGICore", httpTypes, logging]),
        .target(
            name: "FakeHost", dependencies: ["CSwiftGI", "SwiftGICore", "SwiftGITesting", httpTypes, logging],
            path: "Tests/FakeHost"),
        .testTarget(
            name: "SwiftGICoreTests", dependencies: ["SwiftGICore", "SwiftGITesting", httpTypes, logging]),
        .testTarget(
            name: "SwiftGIEmbeddedTests",
            dependencies: [
                "SwiftGICore", "SwiftGIEmbedded", "SwiftGITesting", "CSwiftGI", "FakeHost", httpTypes, logging,
            ]),
        .target(
            name: "GatewayClients", dependencies: ["SwiftGICore", "SwiftGIServers", httpTypes],
            path: "Tests/GatewayClients"),
        .testTarget(
            name: "SwiftGIServersTests",
            dependencies: ["SwiftGIServers", "SwiftGICore", "GatewayClients", httpTypes, logging]),
        .testTarget(name: "SwiftGITests", dependencies: ["SwiftGI", "FakeHost"], exclude: ["Misuse"]),
        .testTarget(name: "SwiftGITestingTests", dependencies: ["SwiftGITesting", "SwiftGICore", httpTypes, logging]),
        .testTarget(
            name: "ConformanceTests",
            dependencies: [
                "SwiftGIConformance", "SwiftGITesting", "SwiftGIEmbedded", "SwiftGIServers", "SwiftGICore", "CSwiftGI",
                "FakeHost", "GatewayClients", httpTypes,
            ]),
        .testTarget(name: "ApacheTests", dependencies: ["SwiftGIConformance"], exclude: ["Libraries"]),
    ]
)

// Settings of our own modules; applications and tests take the defaults, as their authors' do.
for target in package.targets where target.type == .regular && target.name.hasPrefix("SwiftGI") {
    target.swiftSettings = [
        .strictMemorySafety(),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
        .enableUpcomingFeature("InferIsolatedConformances"),
        .treatAllWarnings(as: .error),
    ]
}

// With SWIFTGI_APPLICATIONS set, as `make` sets it, the applications are part of the package. For a
// package that depends on this one they are not: their plain names would collide with its own.
if Context.environment["SWIFTGI_APPLICATIONS"] != nil {
    for (names, directory) in [(samples, "Sources/Samples"), (testApplications, "Tests/Applications")] {
        for name in names {
            package.products.append(.library(name: name, type: .dynamic, targets: [name]))
            package.targets.append(
                .target(name: name, dependencies: ["SwiftGI", logging], path: "\(directory)/\(name)"))
        }
    }
    for target in package.targets where ["Conformance", "AsyncConformance"].contains(target.name) {
        target.dependencies.append("SwiftGIConformance")
    }
    // A program, not a library.
    package.targets.append(
        .executableTarget(name: "Standalone", dependencies: ["SwiftGI"], path: "Tests/Applications/Standalone"))
    for target in package.targets where target.name == "ExecutorCost" {
        target.dependencies.append("SwiftGICore")
    }
    // What only `make bench` builds: the same answers by both contracts, and zlib for their checksum.
    if Context.environment["SWIFTGI_APPLICATIONS"] == "bench" {
        package.targets.append(.systemLibrary(name: "CZlib", path: "Tests/Benchmarks/CZlib"))
        for (name, directory) in [("Bench", "Gateway"), ("AsyncBench", "Async")] {
            package.products.append(.library(name: name, type: .dynamic, targets: [name]))
            package.targets.append(
                .target(name: name, dependencies: ["SwiftGI", "CZlib"], path: "Tests/Benchmarks/\(directory)"))
        }
    }
    // Two libraries with the same module name, which SwiftPM itself refuses: the compiler's last
    // -module-name counts.
    for target in package.targets where ["TwinA", "TwinB"].contains(target.name) {
        target.swiftSettings = [.unsafeFlags(["-module-name", "Twin"])]
    }
}

// The tool behind `make bench`, which nobody else needs: it brings a package of its own.
if Context.environment["SWIFTGI_BENCH"] != nil {
    package.dependencies.append(.package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"))
    package.targets.append(
        .executableTarget(
            name: "SwiftGIBench",
            dependencies: [.product(name: "ArgumentParser", package: "swift-argument-parser")]))
}
