// SPDX-License-Identifier: Apache-2.0

/// What a registry is asked for: a service of one application.
///
/// Names are those of the caller's own application, unless a route rule leads to another one.
package struct ServiceDemand: Hashable, Sendable, Comparable {
    /// The application.
    package let app: String
    /// The service's name in it.
    package let name: String

    /// A demand.
    package init(app: String, name: String) {
        self.app = app
        self.name = name
    }

    /// By application, then by name.
    package static func < (left: Self, right: Self) -> Bool { (left.app, left.name) < (right.app, right.name) }
}
