// SPDX-License-Identifier: Apache-2.0

/// The language of the file of a file registry, `services.yaml`; ``RegistryFile`` reads it.
package enum RegistryFileShape {
    /// The file.
    package static let file = MapShape([
        .init("service", .onlyList(.map(Self.service)), isRequired: true, "The services.")
    ])

    /// An element of `service`.
    package static let service = MapShape([
        .init("name", .matching(".+"), isRequired: true, "The name in the URLs of callers."),
        .init(
            "instance", .onlyList(.either([.matching(Self.endpoint), .map(Self.instance)])),
            "Its instances: endpoints, or maps."),
    ])

    /// An element of `instance` that says more than an endpoint.
    package static let instance = MapShape([
        .init(
            "endpoints", .onlyList(.matching(Self.endpoint)), isRequired: true,
            "Where it listens, one for each protocol: rest://10.0.0.5:8080."),
        .init("version", .text, "Numbers with dots."),
        .init("app", .text, "The application that it belongs to; every one where it is left out."),
        .init(
            "status", .choice(InstanceStatus.allCases.map(\.rawValue), anyCase: false),
            "Whether it gets requests: UP and TESTING do. UP."),
        .init("properties", .any, "What route rules may choose by, by name."),
        .init("region", .text, "Where it is, for zoneaware."), .init("zone", .text, "Where in the region it is."),
    ])

    private static let endpoint = "[A-Za-z][A-Za-z0-9+.-]*://[^/?#]+:[0-9]+(?:[/?#].*)?"
}
