// swift-tools-version: 6.2
// The rooms of the house and who may call whom: docs/decisions/0001-rooms.md.
import PackageDescription

let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let collections: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let metrics: Target.Dependency = .product(name: "CoreMetrics", package: "swift-metrics")
let http: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let nio: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore: Target.Dependency = .product(name: "HummingbirdCore", package: "hummingbird")
let signals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "pqvpn",
    products: [.executable(name: "pqvpn", targets: ["pqvpn"])],
    dependencies: [
        // Exact: CPacketAEAD calls functions of the BoringSSL inside it (docs/decisions/0002-packet-aead.md).
        .package(url: "https://github.com/apple/swift-crypto.git", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.2"),
        // No traits: its configuration files and their readers are not ours (docs/decisions/0017-metrics.md).
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1", traits: []),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    ],
    targets: [
        .systemLibrary(name: "CLibcrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .target(name: "CPacketAEAD", dependencies: [crypto]),
        .target(name: "CLinux"),
        .target(name: "VPNLock"),
        .target(name: "VPNCrypto", dependencies: ["CPacketAEAD", "CLibcrypto", "VPNLock", crypto]),
        .target(name: "VPNCore", dependencies: ["VPNCrypto", "VPNLock", collections]),
        .target(name: "VPNTesting", dependencies: ["VPNCore", "VPNCrypto", "VPNLock"]),
        .target(name: "VPNEngine", dependencies: ["VPNCore", "VPNLock", "CLinux"]),
        .target(
            name: "VPNNode",
            dependencies: ["VPNEngine", "VPNCore", "VPNCrypto", "CLinux", yams, logging, metrics, lifecycle, signals]),
        .target(
            name: "VPNManagement",
            dependencies: ["VPNNode", "VPNCore", hummingbird, hummingbirdCore, http, nio, logging]),
        .executableTarget(
            name: "pqvpn", dependencies: ["VPNNode", "VPNManagement", arguments],
            // The dynamic linker, where it looks a function up at its first call, leaves the vector registers on the stack, pieces of keys
            // in them; so all are looked up at the start (RetiredKeyTests).
            linkerSettings: [.unsafeFlags(["-Xlinker", "-z", "-Xlinker", "now"])]),
        .testTarget(name: "VPNCryptoTests", dependencies: ["VPNCrypto"]),
        .testTarget(name: "VPNCoreTests", dependencies: ["VPNCore", "VPNCrypto", "VPNTesting"]),
        .testTarget(
            name: "VPNEngineTests", dependencies: ["VPNEngine", "VPNCore", "VPNCrypto", "VPNLock", "VPNTesting"]),
        .testTarget(
            name: "VPNNodeTests",
            dependencies: ["VPNManagement", "VPNNode", "VPNCrypto", "VPNCore", "VPNTesting", metrics, logging],
            exclude: ["Fixtures"]),
        // What is measured, apart from the product: docs/benchmarks.md. Here, so that each change is held against it, and nothing is
        // built twice; pqvpn takes none of it along.
        .target(name: "Nodes", dependencies: ["VPNCore", "VPNCrypto"], path: "Benchmarks/Sources/Nodes"),
        .executableTarget(
            name: "Benchmarks", dependencies: ["Nodes", "VPNCore", "VPNCrypto"], path: "Benchmarks/Sources/Benchmarks"),
        // Thousands of peers of one daemon, for scripts/crowd.
        .executableTarget(
            name: "Crowd", dependencies: ["Nodes", "VPNCore", "VPNCrypto"], path: "Benchmarks/Sources/Crowd"),
        // A program of its own: its allocator counts, which would slow what is measured in time.
        .target(name: "CCounters", path: "Benchmarks/Sources/CCounters"),
        .executableTarget(
            name: "Budgets", dependencies: ["CCounters", "VPNCore", "VPNCrypto"], path: "Benchmarks/Sources/Budgets"),
        // Whether failures take a time that tells something: docs/side-channels.md.
        .executableTarget(
            name: "Timing", dependencies: ["VPNCore", "VPNCrypto"], path: "Benchmarks/Sources/Timing"),
    ]
)

// One loop, so that no target can be laxer than another.
for target in package.targets where target.type != .system {
    target.swiftSettings = [
        .swiftLanguageMode(.v6),
        .strictMemorySafety(),
        .treatAllWarnings(as: .error),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ]
}

// What is tested is optimised as it is shipped; optimising the tests themselves took longer than running them.
for target in package.targets where target.type == .test {
    target.swiftSettings?.append(.unsafeFlags(["-Onone"]))
}

// In a build of the tests, undefined behaviour of our own C ends the process where it happens: scripts/test.
if Context.environment["PQVPN_TRAP_UNDEFINED"] == "1" {
    for target in package.targets where ["CLinux", "CPacketAEAD"].contains(target.name) {
        target.cSettings = [.unsafeFlags(["-fsanitize=undefined", "-fsanitize-trap=undefined"])]
    }
}

// The rooms with threads of their own and nothing above them, for `scripts/sanitize threads`: under a sanitizer the rest takes minutes.
if Context.environment["PQVPN_THREADS"] == "1" {
    let kept: Set = [
        "CLibcrypto", "CPacketAEAD", "CLinux", "VPNLock", "VPNCrypto", "VPNCore", "VPNTesting", "VPNEngine",
        "VPNEngineTests",
    ]
    package.targets.removeAll { !kept.contains($0.name) }
    package.products.removeAll { $0.name == "pqvpn" }
}
