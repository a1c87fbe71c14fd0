// SPDX-License-Identifier: Apache-2.0

/// What few routes do.
package struct RouteExtras: Sendable {
    /// Which pages of other origins may read the answers; `nil` where that is the service's own business.
    package var cors: CORSPolicy?
    /// Whether that is a target's own, so that a request has its target before its origin is looked at.
    package var hasOwnCORS = false
    /// The field of the request, in lower case, whose value `Host` has, where there is one; `nil` for no field.
    package var hostField: String?
    /// Whether `X-Forwarded-Host` says what `Host` has said before it changed.
    package var keepsHost = false
    /// What its spans are called; `nil` for what they are called anyway.
    package var operation: String?
    /// Whether requests that ask for a WebSocket are refused.
    package var refusesUpgrades = false

    /// Nothing.
    package init() {}

    /// Whether it is nothing.
    package var isNothing: Bool {
        self.cors == nil && self.hostField == nil && !self.keepsHost && self.operation == nil && !self.refusesUpgrades
    }
}
