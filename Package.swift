// swift-tools-version: 6.2
import PackageDescription

// Each is a dynamic library of its own: lib<Name>.so, what a server loads.
let samples = [
    "Index", "Hello", "Variables", "Echo", "Stream", "Download", "Form", "Middleware", "Guestbook",
]
let testApplications = [
    "Behaviour", "AsyncHello", "Waiting", "Conformance", "Mirror", "ThrowsAtStart", "WithLifecycle", "TwinA", "TwinB",
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
        .target(name: "SwiftGICore", dependencies: [httpTypes, logging]),
        .target(name: "CSwiftGISystem"),
        .target(name: "CSwiftGILauncher", dependencies: ["CSwiftGI"]),
        .target(name: "SwiftGIServers", dependencies: ["SwiftGICore", "CSwiftGISystem", httpTypes, logging]),
        .target(
            name: "SwiftGIEmbedded",
            dependencies: ["SwiftGICore", "SwiftGIServers", "CSwiftGI", "CSwiftGISystem", httpTypes, logging]),
        .target(
            name: "SwiftGI",
            dependencies: ["SwiftGICore", "SwiftGIEmbedded", "CSwiftGI", "CSwiftGILauncher", httpTypes]),
        .target(name: "SwiftGITesting", dependencies: ["SwiftGICore", httpTypes, logging]),
        .target(name: "SwiftGIConformance", dependencies: ["SwiftGICore", httpTypes]),
        .target(
            name: "FakeHost", dependencies: ["CSwiftGI", "SwiftGICore", "SwiftGITesting", httpTypes, logging],
            path: "Tests/FakeHost"),
        .testTarget(name: "SwiftGICoreTests", dependencies: ["SwiftGICore", httpTypes, logging]),
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
        .testTarget(name: "SwiftGITests", dependencies: ["SwiftGI", "FakeHost"]),
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
    for target in package.targets where target.name == "Conformance" {
        target.dependencies.append("SwiftGIConformance")
    }
    // Two libraries with the same module name, which SwiftPM itself refuses: the compiler's last
    // -module-name counts.
    for target in package.targets where ["TwinA", "TwinB"].contains(target.name) {
        target.swiftSettings = [.unsafeFlags(["-module-name", "Twin"])]
    }
}
