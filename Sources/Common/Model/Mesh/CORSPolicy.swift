// SPDX-License-Identifier: Apache-2.0

/// Which pages of other origins may read the answers of a route, and what their browsers are told.
///
/// - Source: the CORS protocol of the Fetch standard; Envoy's `CorsPolicy`.
package struct CORSPolicy: Sendable {
    /// One of them must hold for the origin of the page; one that holds for `*` lets every page in.
    package var origins: [TextMatch] = []
    /// What `Access-Control-Allow-Methods` says; empty for no such field, and so in the next three.
    package var methods = ""
    /// What `Access-Control-Allow-Headers` says.
    package var headers = ""
    /// What `Access-Control-Expose-Headers` says.
    package var exposed = ""
    /// What `Access-Control-Max-Age` says: seconds.
    package var maxAge = ""
    /// Whether pages may send the credentials that their visitors have.
    package var allowsCredentials = false
    /// Whether pages may ask that come from a network less private than this.
    package var allowsPrivateNetwork = false
    /// Whether a preflight of an origin that may not is passed on, and not answered.
    package var passesOnOthers = true
    /// How many of the requests the policy is for, in millionths.
    package var share = RequestMatch.all

    /// For no page.
    package init() {}

    /// Whether every page may.
    package var allowsAll: Bool {
        let all = [UInt8(ascii: "*")]
        return self.origins.contains { $0.matches(all.rawSpan) }
    }
}
