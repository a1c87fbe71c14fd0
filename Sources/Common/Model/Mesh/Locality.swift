// SPDX-License-Identifier: Apache-2.0

/// Where an endpoint is.
package struct Locality: Sendable, Hashable, CustomStringConvertible {
    /// The region.
    package let region: String
    /// The zone within it; empty where that is not said.
    package let zone: String
    /// The part of the zone; likewise.
    package let subzone: String

    /// A place.
    package init(region: String, zone: String = "", subzone: String = "") {
        self.region = region
        self.zone = zone
        self.subzone = subzone
    }

    /// `region/zone/subzone`, as far as it is said.
    package var description: String {
        [self.region, self.zone, self.subzone].filter { !$0.isEmpty }.joined(separator: "/")
    }

    /// How far it is: 0 for the own zone, or its part where both say one, 1 for another part of it, 2 for the own region,
    /// 3 for anywhere else.
    package func distance(from own: RegionConfig) -> Int {
        guard own.isRegion(self.region) else { return 3 }
        guard !own.zone.isEmpty, self.zone == own.zone else { return 2 }
        return own.subzone.isEmpty || self.subzone.isEmpty || self.subzone == own.subzone ? 0 : 1
    }

    /// Whether it is within another one, which may be a whole zone or region.
    package func isWithin(_ other: Locality) -> Bool {
        self.region == other.region && (other.zone.isEmpty || self.zone == other.zone)
            && (other.subzone.isEmpty || self.subzone == other.subzone)
    }
}

/// The part of the requests that a place takes.
package struct LocalityWeight: Sendable, Hashable {
    /// A place, or a whole zone or region.
    package let locality: Locality
    /// Relative to the sum of all.
    package let weight: Int
    /// The only priority whose endpoints are meant, and of this very place, as a control plane has it; `nil` for all that are
    /// within it.
    package let priority: Int?

    /// A part.
    package init(_ locality: Locality, weight: Int, priority: Int? = nil) {
        self.locality = locality
        self.weight = weight
        self.priority = priority
    }

    /// Whether an endpoint is one of the place.
    package func holds(for entry: ClusterEntry) -> Bool {
        guard let place = entry.locality else { return false }
        if let priority = self.priority { return entry.priority == priority && place == self.locality }
        return place.isWithin(self.locality)
    }
}
