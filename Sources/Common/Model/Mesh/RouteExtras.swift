// SPDX-License-Identifier: Apache-2.0

/// What few routes do.
package struct RouteExtras: Sendable {
    /// Which pages of other origins may read the answers; `nil` where that is the service's own business.
    package var cors: CORSPolicy?

    /// Nothing.
    package init() {}

    /// Whether it is nothing.
    package var isNothing: Bool { self.cors == nil }
}
