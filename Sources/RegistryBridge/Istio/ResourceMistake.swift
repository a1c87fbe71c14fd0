// SPDX-License-Identifier: Apache-2.0

import Common
import SwiftProtobuf

/// Why a resource of the control plane cannot be used.
struct ResourceMistake: Error, Equatable {
    /// In the words of the resource: the control plane shows it to whoever wrote that.
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

extension Duration {
    /// A time of a resource.
    ///
    /// - Throws: Where it is negative, or longer than anybody waits.
    init(_ message: Google_Protobuf_Duration, of field: String) throws(ResourceMistake) {
        guard message.seconds >= 0, message.nanos >= 0, message.nanos < 1_000_000_000, message.seconds <= 315_576_000
        else {
            throw ResourceMistake("\(field) is no time: \(message.seconds)s \(message.nanos)ns")
        }
        self = .seconds(message.seconds) + .nanoseconds(Int64(message.nanos))
    }
}
