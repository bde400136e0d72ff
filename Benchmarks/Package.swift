// swift-tools-version: 6.2
// What is measured of the library, apart from the product: docs/benchmarks.md. scripts/bench and scripts/budgets build and run
// it.
import PackageDescription

let core: Target.Dependency = .product(name: "PQVPNCore", package: "pqvpn")

let package = Package(
    name: "Benchmarks",
    dependencies: [.package(name: "pqvpn", path: "..")],
    targets: [
        .target(name: "Nodes", dependencies: [core]),
        .executableTarget(name: "Benchmarks", dependencies: ["Nodes", core]),
        // Thousands of peers of one daemon, for scripts/soak.
        .executableTarget(name: "Crowd", dependencies: ["Nodes", core]),
        // A program of its own: its allocator counts, which would slow what is measured in time.
        .target(name: "CCounters"),
        .executableTarget(name: "Budgets", dependencies: ["CCounters", core]),
        // Whether failures take a time that tells something: docs/side-channels.md.
        .executableTarget(name: "Timing", dependencies: [core]),
    ]
)

for target in package.targets {
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
