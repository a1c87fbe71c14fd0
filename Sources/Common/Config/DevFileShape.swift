// SPDX-License-Identifier: Apache-2.0

/// The language of the file of `mesher dev`, whose reader takes the names of keys from it.
package enum DevFileShape {
    /// The file.
    package static let file = MapShape(
        [
            .init(
                "services", .map(MapShape(others: .either([Self.process, .onlyList(Self.process)]))), isRequired: true,
                "The services by name, each with its port, a map, or a list of these for several processes."),
            .init("rules", .configuration, "Keys of the configuration of every sidecar."),
            .init("registry", Self.port, "The port of the registry; 30100, or another one that is free."),
            .init("page", Self.port, "The port of the page; 30102, or another one that is free."),
        ], isStrict: true)

    /// What a process of a service says that says more than its port.
    package static let instance = MapShape(
        [
            .init("port", Self.port, "The port that the process listens on, at 127.0.0.1."),
            .init(
                "ports", .either([.text, .map(MapShape(others: Self.port))]),
                "The same by protocol: {rest: 8080, grpc: 9000}."),
            .init("version", .text, "Its version, for route rules."),
            .init("outgoing", Self.port, "The port of its sidecar for outgoing requests; one that is free."),
            .init(
                "health", .matching("/.*"), "A path: the process gets no calls while it does not answer there with 200."
            ),
            .init("config", .configuration, "Keys of the configuration of its sidecar alone."),
        ], isStrict: true)

    private static let port = Shape.integer(1...65_535)
    private static let process = Shape.either([Self.port, .map(Self.instance), .nothing])
}
