// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.treatAllWarnings(as: .error), .swiftLanguageMode(.v6)]

/// A library target of this package: one folder of `Sources/`, one job.
func layer(_ name: String, on dependencies: [Target.Dependency], embedding files: [String] = []) -> Target {
  .target(
    name: name, dependencies: dependencies, resources: files.map { .embedInCode($0) }, swiftSettings: strict)
}

func tests(of name: String, with more: [Target.Dependency] = []) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: [.init(stringLiteral: name), "TestSupport"] + more,
    swiftSettings: strict)
}

let package = Package(
  name: "ckbackup",
  products: [.executable(name: "ckbackup", targets: ["ckbackup"])],
  targets: [
    .systemLibrary(
      name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CExpat", pkgConfig: "expat", providers: [.apt(["libexpat1-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .target(name: "CPlatform"),
    // Optimised in debug builds too: tests and simulations hash what they move.
    .target(
      name: "CDigests", dependencies: ["COpenSSL"],
      cSettings: [.unsafeFlags(["-O2"], .when(configuration: .debug))]),
    .target(name: "CToml"),

    layer("Platform", on: ["CPlatform"]),
    layer("Digests", on: ["Platform", "CDigests", "COpenSSL"]),
    layer("HTTP", on: ["Platform", "CCurl"]),
    layer("ObjectStore", on: ["Platform", "Digests", "HTTP", "CExpat"]),
    layer("Checkpoints", on: ["Platform", "CZlib"]),
    layer(
      "Repository", on: ["Platform", "Digests", "ObjectStore", "CZlib"],
      embedding: ["Recovery/recover.py", "Recovery/README.txt"]),
    layer("Engine", on: ["Platform", "Digests", "ObjectStore", "Repository", "Checkpoints"]),
    layer(
      "Commands",
      on: ["Platform", "Digests", "HTTP", "ObjectStore", "Repository", "Checkpoints", "Engine", "CToml"]
    ),
    .executableTarget(name: "ckbackup", dependencies: ["Commands", "CPlatform"], swiftSettings: strict),
    .executableTarget(
      name: "simulate",
      dependencies: ["Platform", "Digests", "ObjectStore", "Repository", "Engine", "TestSupport"],
      path: "Simulation", swiftSettings: strict),
    .executableTarget(
      name: "fuzz",
      dependencies: [
        "Platform", "Digests", "HTTP", "ObjectStore", "Checkpoints", "Repository", "Engine", "Commands",
        "TestSupport",
      ],
      path: "Fuzzing", swiftSettings: strict),
    .executableTarget(
      name: "digest-speed", dependencies: ["Platform", "Digests", "CDigests"], path: "Benchmarks/Digests",
      swiftSettings: strict),
    .executableTarget(
      name: "manifest-speed", dependencies: ["Repository"], path: "Benchmarks/Manifest", swiftSettings: strict
    ),

    // Empty but under the thread sanitizer.
    .target(name: "MutexOrder", path: "Tests/Sanitizers", publicHeadersPath: "."),
    .target(
      name: "TestSupport", dependencies: ["Platform", "MutexOrder"], path: "Tests/Support",
      swiftSettings: strict),
    tests(of: "Platform"),
    tests(of: "Digests", with: ["Platform"]),
    tests(of: "HTTP", with: ["Platform"]),
    tests(of: "ObjectStore", with: ["Platform", "Digests", "HTTP"]),
    tests(of: "Checkpoints", with: ["Platform"]),
    tests(of: "Repository", with: ["Platform", "Digests", "ObjectStore"]),
    tests(
      of: "Engine", with: ["Platform", "Digests", "ObjectStore", "Repository", "Checkpoints"]),
    tests(of: "Commands", with: ["Engine", "Repository", "ObjectStore", "Checkpoints"]),
  ],
  cLanguageStandard: .c11,
  cxxLanguageStandard: .cxx17
)
