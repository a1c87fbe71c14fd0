// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
import Logging

extension Worker {
    /// Says that a circuit has opened or closed.
    ///
    /// - Parameter service: Whose it is; `nil` for the local application.
    /// - Parameter instance: The instance, where each has a circuit of its own.
    package func report(_ change: Circuit.Change, of service: String? = nil, _ instance: Endpoint? = nil) {
        var metadata: Logger.Metadata = ["of": "\(service ?? "the local application")"]
        if let instance { metadata["endpoint"] = "\(instance)" }
        switch change {
        case .opened: self.logger.notice("circuit open: too many calls fail", metadata: metadata)
        case .closed: self.logger.notice("circuit closed: calls succeed again", metadata: metadata)
        }
    }
}
