// swift-tools-version: 6.2
// What is measured of the library, apart from the product: docs/benchmarks.md. scripts/bench builds and runs it.
import PackageDescription

let package = Package(
    name: "Benchmarks",
    dependencies: [.package(name: "pqvpn", path: "..")],
    targets: [
        .executableTarget(
            name: "Benchmarks", dependencies: [.product(name: "PQVPNCore", package: "pqvpn")],
            swiftSettings: [
                .swiftLanguageMode(.v6),
                .strictMemorySafety(),
                .treatAllWarnings(as: .error),
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("InternalImportsByDefault"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
            ])
    ]
)
