// SPDX-License-Identifier: Apache-2.0

/// Where the local instance runs: `region.*`.
package struct RegionConfig: Sendable, Equatable {
    /// The data centre's name.
    package var name = ""
    /// The region.
    package var region = ""
    /// The zone within it.
    package var zone = ""
    /// The part of the zone.
    package var subzone = ""

    /// Nowhere in particular.
    package init() {}

    init(_ reader: inout ConfigReader) {
        self.name = reader.read(Keys.name)
        self.region = reader.read(Keys.region)
        self.zone = reader.read(Keys.zone)
        self.subzone = reader.read(Keys.subzone)
    }

    /// Whether enough is known to prefer near instances.
    package var isKnown: Bool { !self.name.isEmpty && !self.zone.isEmpty }

    /// Whether service-center takes it: all three parts, of which one may stand for the other.
    package var isComplete: Bool { !(self.name.isEmpty && self.region.isEmpty) && !self.zone.isEmpty }

    /// Whether `region` is the local one.
    ///
    /// The original compares with the own *name*; both are taken, since registrations write either.
    package func isRegion(_ region: String) -> Bool {
        !region.isEmpty && (region == self.name || region == self.region)
    }

    /// The keys.
    package enum Keys {
        static let name = ConfigKey(
            "region.name", .text, default: "", "Name of the data centre or region that this instance runs in.")
        static let region = ConfigKey("region.region", .text, default: "", "Region, where it is not the name.")
        static let zone = ConfigKey("region.availableZone", .text, default: "", "Zone within it.")

        static let subzone = ConfigKey(
            "region.subzone", .text, default: "", "Part of the zone, such as a rack; for localities of mesh.yaml.")

        /// In the order of the reference.
        package static let all: [any AnyConfigKey] = [Self.name, Self.region, Self.zone, Self.subzone]
    }
}
