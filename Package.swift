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

/// What only the adapter for Hummingbird needs.
func hummingbird(_ name: String, _ package: String) -> Target.Dependency {
    .product(name: name, package: package, condition: .when(traits: ["Hummingbird"]))
}

/// Whether the package is built for what needs the adapters: all traits, and applications that use them.
let withFrameworks = Context.environment["SWIFTGI_APPLICATIONS"] == "frameworks"

let package = Package(
    name: "swiftgi",
    products: [
        .library(name: "SwiftGI", targets: ["SwiftGI"]),
        .library(name: "SwiftGITesting", targets: ["SwiftGITesting"]),
        .library(name: "SwiftGIMiddleware", targets: ["SwiftGIMiddleware"]),
        .library(name: "SwiftGIJSON", targets: ["SwiftGIJSON"]),
        .library(name: "SwiftGIValidator", targets: ["SwiftGIValidator"]),
        .library(name: "SwiftGIHummingbird", targets: ["SwiftGIHummingbird"]),
    ],
    traits: [
        .trait(name: "Hummingbird", description: "SwiftGIHummingbird: applications of Hummingbird."),
        .trait(name: "Sessions", description: "SignedSessions in SwiftGIMiddleware, with swift-crypto."),
        .trait(name: "Metrics", description: "RequestMetrics in SwiftGIMiddleware, with swift-metrics."),
        .trait(name: "Tracing", description: "RequestTracing in SwiftGIMiddleware, with swift-distributed-tracing."),
        .default(enabledTraits: withFrameworks ? ["Hummingbird", "Sessions", "Metrics", "Tracing"] : []),
    ],
    dependencies: [
        // Without its trait for Foundation's URL, which would link Foundation into every application.
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        // Only with their traits.
        .package(url: "https://github.com/apple/swift-crypto.git", "3.12.3"..<"5.0.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing.git", from: "1.7.3"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.35.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    ],
    targets: [
        .target(name: "CSwiftGI"),
        .target(name: "CSwiftGISystem"),
        .target(name: "SwiftGICore", dependencies: ["CSwiftGISystem", httpTypes, logging]),
        .target(name: "CSwiftGILauncher", dependencies: ["CSwiftGI"]),
        .target(name: "SwiftGIServers", dependencies: ["SwiftGICore", "CSwiftGISystem", httpTypes, logging]),
        .target(
            name: "SwiftGIEmbedded",
            dependencies: [
                "SwiftGICore", "SwiftGIServers", "SwiftGIValidator", "CSwiftGI", "CSwiftGISystem", httpTypes, logging,
            ]),
        .target(
            name: "SwiftGI",
            dependencies: ["SwiftGICore", "SwiftGIEmbedded", "CSwiftGI", "CSwiftGILauncher", httpTypes]),
        .target(name: "SwiftGIValidator", dependencies: ["SwiftGICore", httpTypes]),
        .target(name: "SwiftGITesting", dependencies: ["SwiftGICore", "SwiftGIValidator", httpTypes, logging]),
        .target(
            name: "SwiftGIMiddleware",
            dependencies: [
                "SwiftGICore", "CSwiftGISystem", httpTypes, logging,
                .product(name: "Crypto", package: "swift-crypto", condition: .when(traits: ["Sessions"])),
                .product(name: "Metrics", package: "swift-metrics", condition: .when(traits: ["Metrics"])),
                .product(name: "Tracing", package: "swift-distributed-tracing", condition: .when(traits: ["Tracing"])),
            ]),
        .target(name: "SwiftGIJSON", dependencies: ["SwiftGICore", httpTypes]),
        .target(
            name: "SwiftGIHummingbird",
            dependencies: [
                "SwiftGI", "SwiftGICore", "SwiftGIEmbedded", httpTypes, logging,
                hummingbird("Hummingbird", "hummingbird"),
                hummingbird("HummingbirdCore", "hummingbird"),
                hummingbird("NIOCore", "swift-nio"),
                hummingbird("NIOPosix", "swift-nio"),
                hummingbird("NIOHTTPTypes", "swift-nio-extras"),
                hummingbird("ServiceLifecycle", "swift-service-lifecycle"),
            ]),
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
        .testTarget(
            name: "SwiftGIValidatorTests",
            dependencies: ["SwiftGIValidator", "SwiftGITesting", "SwiftGICore", httpTypes]),
        .testTarget(
            name: "SwiftGIMiddlewareTests",
            dependencies: [
                "SwiftGIMiddleware", "SwiftGITesting", "SwiftGIValidator", "SwiftGICore", httpTypes, logging,
            ]),
        .testTarget(
            name: "SwiftGIJSONTests", dependencies: ["SwiftGIJSON", "SwiftGITesting", "SwiftGICore", httpTypes]),
        .testTarget(name: "SwiftGITestingTests", dependencies: ["SwiftGITesting", "SwiftGICore", httpTypes, logging]),
        .testTarget(
            name: "ConformanceTests",
            dependencies: [
                "SwiftGIConformance", "SwiftGITesting", "SwiftGIValidator", "SwiftGIEmbedded", "SwiftGIServers",
                "SwiftGICore", "CSwiftGI", "FakeHost", "GatewayClients", httpTypes,
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

// What needs the adapters for frameworks, apart from the rest: nobody else builds Hummingbird and NIO.
if withFrameworks {
    let others = ["SwiftGIConformance", "SwiftGIJSON", "SwiftGITesting", "FakeHost", "GatewayClients"]
    package.products.removeAll { others.contains($0.name) }
    package.targets.removeAll { $0.type == .test || others.contains($0.name) }
    package.products += [
        .library(name: "HummingbirdEmbedded", type: .dynamic, targets: ["HummingbirdEmbedded"]),
        .executable(name: "HummingbirdServer", targets: ["HummingbirdServer"]),
        .library(name: "Todos", type: .dynamic, targets: ["Todos"]),
        .library(name: "Traits", type: .dynamic, targets: ["Traits"]),
    ]
    package.dependencies.append(.package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"))
    package.targets += [
        .target(
            name: "HummingbirdTemplate",
            dependencies: [
                httpTypes, logging,
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Tests/Frameworks/HummingbirdTemplate"),
        .executableTarget(
            name: "HummingbirdServer",
            dependencies: [
                "HummingbirdTemplate",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Tests/Frameworks/HummingbirdServer"),
        .target(
            name: "HummingbirdEmbedded", dependencies: ["HummingbirdTemplate", "SwiftGIHummingbird"],
            path: "Tests/Frameworks/HummingbirdEmbedded"),
        .target(
            name: "Traits",
            dependencies: [
                "SwiftGI", "SwiftGIMiddleware", logging,
                .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "Tracing", package: "swift-distributed-tracing"),
            ],
            path: "Tests/Frameworks/Traits"),
        .target(
            name: "TodosApp",
            dependencies: [
                logging,
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Hummingbird", package: "hummingbird"),
            ],
            path: "Sources/Samples/Todos/App"),
        .target(
            name: "Todos", dependencies: ["TodosApp", "SwiftGIHummingbird"], path: "Sources/Samples/Todos/Library"),
    ]
}

// With SWIFTGI_APPLICATIONS set, as `make` sets it, the applications are part of the package. For a
// package that depends on this one they are not: their plain names would collide with its own.
if Context.environment["SWIFTGI_APPLICATIONS"] != nil, !withFrameworks {
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
