// SPDX-License-Identifier: Apache-2.0
// request path

package import Common

extension RouteFault {
    /// Whether chance says that a request is one of a share.
    ///
    /// - Parameter share: In millionths.
    package static func hits(_ share: Int, using random: inout FastRandom) -> Bool {
        share >= Self.all || Int.random(in: 0..<Self.all, using: &random) < share
    }
}
