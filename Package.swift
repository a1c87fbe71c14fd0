// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

/// Every module of ours: Swift 6 mode, no warning left standing, unsafe constructs marked where they are used.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6), .treatAllWarnings(as: .error), .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"), .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    // For properties that return spans; SwiftNIO relies on it in the same way.
    .enableExperimentalFeature("Lifetimes"),
]

/// The same for what is generated, which marks nothing.
let generatedSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v6), .treatAllWarnings(as: .error), .enableUpcomingFeature("InternalImportsByDefault"),
]

/// Modules that no request passes are made small: what they do takes place once, or a few times a second.
let small: [SwiftSetting] = [.unsafeFlags(["-Osize"], .when(configuration: .release))]

/// How a release is linked.
///
/// The static standard library exports all functions, and so keeps them, for plug-ins that nobody has. Relocations are
/// written short, which needs glibc 2.36 where it runs. By its id a binary knows the file of its symbols. libstdc++,
/// libgcc and zlib are linked in: the folder, which scripts/setup fills, has their archives alone, and is looked at first.
let linking =
    ["-use-ld=lld", "-L", "\(Context.packageDirectory)/.build/archives", "-Xclang-linker", "-static-libgcc"]
    + ["--no-export-dynamic", "-z", "pack-relative-relocs", "--build-id"].flatMap { ["-Xlinker", $0] }

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let asyncHTTPClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let basicContainers = Target.Dependency.product(name: "BasicContainers", package: "swift-collections")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let coreMetrics = Target.Dependency.product(name: "CoreMetrics", package: "swift-metrics")
let dequeModule = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let grpcCore = Target.Dependency.product(name: "GRPCCore", package: "grpc-swift-2")
let grpcTransport = Target.Dependency.product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioHPACK = Target.Dependency.product(name: "NIOHPACK", package: "swift-nio-http2")
let nioHTTP2 = Target.Dependency.product(name: "NIOHTTP2", package: "swift-nio-http2")
let nioHTTPCompression = Target.Dependency.product(name: "NIOHTTPCompression", package: "swift-nio-extras")
let nioHTTPTypes = Target.Dependency.product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let nioWebSocket = Target.Dependency.product(name: "NIOWebSocket", package: "swift-nio")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let swiftASN1 = Target.Dependency.product(name: "SwiftASN1", package: "swift-asn1")
let swiftProtobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let x509 = Target.Dependency.product(name: "X509", package: "swift-certificates")

let package = Package(
    name: "mesher",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "mesher", targets: ["Mesher"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        // Without traits: they ask for the whole of Foundation.
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
        // Without traits: by default it asks for the whole of Foundation, and for a reader of settings.
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // RE2 by its static archive, so that the binary needs no library beside those of C and C++.
        .target(name: "CRE2", linkerSettings: [.linkedLibrary(":libre2.a"), .linkedLibrary("stdc++")]),
        // libyaml likewise.
        .target(name: "CYAML", linkerSettings: [.linkedLibrary(":libyaml.a")]),
        .target(name: "CMesher", linkerSettings: [.linkedLibrary("z")]),
        // Nobody imports it: what is linked with it reads and writes sockets in another way.
        .target(name: "CSocketIO"),
        .target(
            name: "Common",
            dependencies: ["CMesher", "CRE2", "CYAML", dequeModule, logging, nioCore, serviceLifecycle, unixSignals],
            swiftSettings: settings),
        .target(
            name: "TLS", dependencies: ["CMesher", "Common", logging, nioCore, nioSSL], swiftSettings: settings),
        .target(
            name: "Proxy",
            dependencies: ["Common", "TLS", basicContainers, logging, nioCore, nioPosix, nioSSL, nioTLS],
            swiftSettings: settings),
        // Named by everybody who serves or calls HTTP off the request path.
        .target(
            name: "Serving",
            dependencies: [
                "Common", asyncHTTPClient, httpTypes, hummingbird, logging, nioCore, nioHTTP1, nioHTTPCompression,
                nioHTTPTypes, nioPosix, nioSSL,
            ],
            swiftSettings: settings),
        .target(name: "Ingress", dependencies: ["Common", "Proxy", logging, nioCore], swiftSettings: settings),
        .target(name: "Egress", dependencies: ["Common", "Proxy", logging, nioCore], swiftSettings: settings),
        // What the control plane says in protobuf: generated by scripts/generate-messages.
        .target(
            name: "IstioMessages", dependencies: [swiftProtobuf], exclude: ["Protos"],
            swiftSettings: generatedSettings + small),
        .target(
            name: "RegistryBridge",
            dependencies: [
                "Common", "IstioMessages", "Serving", "TLS", asyncHTTPClient, crypto, grpcCore, grpcTransport, logging,
                nioCore, nioHTTP1, nioPosix, nioSSL, nioWebSocket, swiftASN1, swiftProtobuf, x509,
            ],
            swiftSettings: settings),
        .target(
            name: "HealthAgent",
            dependencies: [
                "Common", "Serving", asyncHTTPClient, logging, nioCore, nioHPACK, nioHTTP1, nioHTTP2, nioPosix,
            ],
            swiftSettings: settings + small),
        .target(
            name: "AdminAPI",
            dependencies: [
                "CMesher", "Common", "Serving", asyncHTTPClient, httpTypes, hummingbird, logging, nioCore, nioHTTP1,
            ],
            resources: [
                "dev.html", "Page/page.html", "Page/page.css", "Page/page-basis.js", "Page/page-map.js",
                "Page/page-address.js", "Page/page-detail.js", "Page/page-services.js", "Page/page-failures.js",
                "Page/page-explain.js", "Page/page-certificates.js", "Page/page-operations.js", "Page/page-live.js",
            ].map { .embedInCode("Resources/\($0)") },
            swiftSettings: settings),
        .target(
            name: "LocalRegistry",
            dependencies: [
                "Common", "Serving", httpTypes, hummingbird, logging, nioCore, nioHTTP1, nioHTTPCompression,
                nioHTTPTypes, nioWebSocket,
            ],
            swiftSettings: settings + small),
        .target(
            name: "Injector",
            dependencies: [
                "Common", "Serving", "TLS", asyncHTTPClient, crypto, httpTypes, hummingbird, logging, nioCore, nioHTTP1,
                nioHTTPTypes, nioSSL, swiftASN1, x509,
            ],
            swiftSettings: settings + small),
        .executableTarget(
            name: "Mesher",
            dependencies: [
                "CMesher", "CSocketIO", "Common", "Proxy", "Ingress", "Egress", "RegistryBridge", "HealthAgent",
                "AdminAPI", "Injector", "LocalRegistry", "TLS", argumentParser, coreMetrics, logging, nioCore, nioPosix,
                serviceLifecycle, unixSignals,
            ],
            swiftSettings: settings + small, linkerSettings: [.unsafeFlags(linking, .when(configuration: .release))]),
        .executableTarget(
            name: "mesher-micro",
            dependencies: ["AdminAPI", "CSocketIO", "Common", "Egress", "Proxy", logging, nioCore, nioPosix],
            path: "Benchmarks/Micro", exclude: ["check.py"], swiftSettings: settings),
        .testTarget(
            name: "CommonTests", dependencies: ["Common", "TestSupport", logging, nioCore, nioPosix, serviceLifecycle],
            swiftSettings: settings),
        .target(
            name: "TestSupport",
            dependencies: [
                "Common", "Mesher", "Proxy", "Serving", "TLS", httpTypes, hummingbird, logging, nioCore, nioEmbedded,
                nioPosix, nioSSL, serviceLifecycle,
            ],
            path: "Tests/TestSupport", swiftSettings: settings),
        .testTarget(
            name: "ScenarioTests", dependencies: ["Common", "Mesher", "TestSupport", logging, nioCore],
            swiftSettings: settings),
        .testTarget(
            name: "RegistryBridgeTests",
            dependencies: [
                "Common", "IstioMessages", "Serving", "LocalRegistry", "RegistryBridge", "TLS", "TestSupport",
                asyncHTTPClient, crypto, grpcCore, grpcTransport, logging, nioCore, nioHTTP1, nioPosix, nioWebSocket,
                swiftASN1, swiftProtobuf, x509,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "HealthAgentTests",
            dependencies: ["Common", "HealthAgent", "TestSupport", asyncHTTPClient, logging, nioCore, nioPosix],
            swiftSettings: settings),
        .testTarget(
            name: "ServingTests",
            dependencies: [
                "Common", "Serving", "TestSupport", asyncHTTPClient, httpTypes, hummingbird, logging, nioCore,
                nioHTTP1, nioPosix,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "AdminAPITests",
            dependencies: [
                "AdminAPI", "CMesher", "Common", "Serving", "TestSupport", httpTypes, hummingbird, logging, nioCore,
                nioEmbedded,
                nioPosix,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "MesherTests",
            dependencies: ["AdminAPI", "Common", "Mesher", "TestSupport", argumentParser, coreMetrics],
            swiftSettings: settings),
        .testTarget(
            name: "InjectorTests",
            dependencies: ["Common", "Injector", "TestSupport", crypto, httpTypes, logging, nioPosix, swiftASN1, x509],
            exclude: ["Golden"], swiftSettings: settings),
        .testTarget(
            name: "EgressTests", dependencies: ["Common", "Egress", "Proxy", "TestSupport", nioCore],
            swiftSettings: settings),
        .testTarget(
            name: "IngressTests", dependencies: ["Common", "Ingress", "Proxy", "TestSupport", nioCore],
            swiftSettings: settings),
        .testTarget(
            name: "ProxyTests",
            dependencies: ["Common", "Proxy", "TLS", "TestSupport", logging, nioCore, nioEmbedded, nioPosix, nioSSL],
            swiftSettings: settings),
        .testTarget(
            name: "TLSTests",
            dependencies: ["Common", "TLS", "TestSupport", logging, nioCore, nioEmbedded, nioSSL, nioTLS],
            swiftSettings: settings),
    ]
)

// The fuzz targets and nothing but what they read with, so that they build in a minute: `scripts/fuzz` sets the variable.
if Context.environment["MESHER_FUZZ"] != nil {
    let codecs = [
        "HTTP1/BodyFraming.swift", "HTTP1/BodyReader.swift", "HTTP1/HTTP1Writer.swift", "HTTP1/HeadLimits.swift",
        "HTTP1/HeadScanner.swift", "HTTP1/HeadScanner+Meaning.swift", "HTTP1/HeadViolation.swift",
        "HTTP1/ReasonPhrase.swift", "HTTP1/RequestTarget.swift", "Headers/ByteRange.swift", "Headers/HeaderBlock.swift",
        "Headers/HeaderBlock+Edits.swift",
        "Headers/HeaderField.swift", "Headers/HeaderLine.swift", "Headers/HeaderName.swift", "Headers/ListTokens.swift",
        "Headers/RequestHead.swift",
        "HTTP2/FrameParser.swift", "HTTP2/FrameWriter.swift", "HTTP2/HPACKDecoder.swift", "HTTP2/HPACKEncoder.swift",
        "HTTP2/HPACKTable.swift", "HTTP2/HTTP2Frame.swift", "HTTP2/HTTP2Head.swift", "HTTP2/HeaderBlock+HTTP2.swift",
        "HTTP2/Huffman.swift",
    ]
    // What decides about a pod: all but the digest of a template, for which there would be cryptography to build.
    let decisions = [
        "Decision.swift", "InjectionPolicy.swift", "JSON", "Manifest/OrderedJSON+Patch.swift", "Patch", "Pod", "Review",
        "Template/BuiltInTemplate.swift", "Template/InjectorSettings.swift", "Template/SidecarTemplate.swift",
        "Template/TemplateReader.swift",
    ]
    func fuzzer(_ name: String, of module: Target.Dependency = "Proxy") -> Target {
        .executableTarget(
            name: "Fuzz\(name)", dependencies: ["Common", module, "Support", nioCore], path: "Fuzz/\(name)",
            swiftSettings: settings)
    }
    package.products = []
    package.dependencies = package.dependencies.filter { dependency in
        guard case .sourceControl(_, let location, _) = dependency.kind else { return false }
        return location.hasSuffix("swift-nio") || location.hasSuffix("swift-collections")
    }
    package.targets = [
        .target(name: "CYAML", linkerSettings: [.linkedLibrary(":libyaml.a")]),
        .target(
            name: "Common", dependencies: ["CYAML"],
            sources: [
                "BuildInfo.swift", "Bytes", "Config/ConfigKey.swift", "Config/ConfigKind.swift",
                "Config/ConfigProblem.swift", "Config/ConfigTree.swift",
                "Config/Masked.swift", "Config/ServicePorts.swift", "Config/Schema/Shape.swift",
                "Config/Spelling.swift", "Config/YAML",
                "Errors/MesherError.swift", "Logging/LineEscaper.swift", "Logging/UTF8Scalar.swift",
                "Model/Version.swift",
            ],
            swiftSettings: settings),
        .target(
            name: "Proxy", dependencies: ["Common", basicContainers, nioCore], sources: codecs, swiftSettings: settings),
        .target(name: "Injector", dependencies: ["Common"], sources: decisions, swiftSettings: settings),
        .target(name: "Support", path: "Fuzz/Support", swiftSettings: settings),
        fuzzer("Head"), fuzzer("Body"), fuzzer("Writer"), fuzzer("HTTP2"), fuzzer("YAML"),
        fuzzer("Review", of: "Injector"),
    ]
}

// The simulation: `scripts/simulate` sets the variable, and what counts is built once more, with assertions and exclusivity
// checks. All else is shared with the release build.
if Context.environment["MESHER_SIMULATE"] != nil {
    for target in package.targets where ["Proxy", "Egress", "Ingress"].contains(target.name) {
        // What is internal stays so in the product, and is looked at here.
        target.swiftSettings =
            settings
            + [.unsafeFlags(["-enable-testing", "-assert-config", "Debug", "-enforce-exclusivity=checked"])]
    }
    let support = Target.Dependency.target(name: "SimulationSupport")
    package.products = []
    package.targets += [
        // The clock, memory that a process shares with its children, and those children.
        .target(name: "CSimulation", path: "Tests/Simulation/Process"),
        .target(
            name: "SimulationSupport", dependencies: ["CSimulation", dequeModule, nioCore],
            path: "Tests/Simulation/Support", swiftSettings: settings),
        // Ring a: the driver, its chain, pool and policies between fake sides.
        .target(
            name: "ExchangeRing", dependencies: ["Common", "Egress", "Ingress", "Proxy", support, logging, nioCore],
            path: "Tests/Simulation/RingA", swiftSettings: settings),
        .executableTarget(
            name: "simulate",
            dependencies: ["CSimulation", "Common", "ExchangeRing", "Proxy", support, logging, nioCore],
            path: "Tests/Simulation/Rings", swiftSettings: settings),
        .testTarget(
            name: "SimulationTests", dependencies: ["CSimulation", support, nioCore, nioPosix],
            path: "Tests/Simulation/Sockets", swiftSettings: settings),
    ]
}
