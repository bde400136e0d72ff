// swift-tools-version: 6.2
// The rooms of the house and who may call whom: docs/decisions/0001-rooms.md.
import PackageDescription

let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")

let package = Package(
    name: "pqvpn",
    dependencies: [
        // Exact: CPacketAEAD calls functions of the BoringSSL inside it (docs/decisions/0002-packet-aead.md).
        .package(url: "https://github.com/apple/swift-crypto.git", exact: "4.5.2")
    ],
    targets: [
        .systemLibrary(name: "CLibcrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .target(name: "CPacketAEAD", dependencies: [crypto]),
        .target(name: "VPNCrypto", dependencies: ["CPacketAEAD", "CLibcrypto", crypto]),
        .testTarget(name: "VPNCryptoTests", dependencies: ["VPNCrypto"]),
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
