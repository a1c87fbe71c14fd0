// SPDX-License-Identifier: Apache-2.0

import Common
import Serving
import Synchronization

/// The document of `/v1/mesher/config`, made once for each change of what is configured.
///
/// It takes time where there are thousands of keys, and many may ask at once: whoever asks while it is made waits for it.
final class ConfigDocument: Sendable {
    private let made = Mutex<(generation: Int, bytes: [UInt8])?>(nil)

    /// The document as it is now.
    func bytes(_ state: AdminState) throws -> [UInt8] {
        try self.made.withLock { made in
            // Looked at before it is made: what changes meanwhile has another number.
            let generation = state.configState?.generation ?? 0
            if let made, made.generation == generation { return made.bytes }
            let bytes = try ServedAnswer.document(ConfigBody(state))
            made = (generation, bytes)
            return bytes
        }
    }
}
