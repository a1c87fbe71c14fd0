// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// What is kept of a request for which its route does something rare.
///
/// An object, so that all other requests have one reference, to nothing.
package final class RouteVisit {
    /// The origin of a page that may read the answer, in the fields of the request; `nil` for none.
    var origin: ByteRange?
    /// The target that it has before its faults are over; see ``RouteEffect/choosesFirst``.
    package var target: (route: Int, index: Int, cluster: Int)?
    /// Its place among those that something is done to.
    package var fault: ActiveFaults.Place?

    /// Nothing yet.
    package init() {}
}

extension Exchange {
    /// What is kept of the request.
    ///
    /// Allocates where there is nothing yet.
    package mutating func makeVisit() -> RouteVisit {
        if let visit = self.visit { return visit }
        let visit = RouteVisit()
        self.visit = visit
        return visit
    }
}
