// SPDX-License-Identifier: Apache-2.0

/// One way to find out whether the local application is well.
package protocol Probe: Sendable {
    /// Looks once.
    ///
    /// - Returns: `nil` when it is well, else what is wrong, in a few words for an operator.
    func check() async -> String?
}
