// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Serving
import Synchronization

/// The document of `/v1/mesher/config`, made once for each change of what is configured.
///
/// It takes time where there are thousands of keys, and many may ask at once: whoever asks while it is made waits for it, and
/// all answers share its memory.
final class ConfigDocument: Sendable {
    private let made = Mutex<(generation: Int, buffer: ByteBuffer)?>(nil)

    /// The document as it is now.
    func buffer(_ state: AdminState) throws -> ByteBuffer {
        try self.made.withLock { made in
            // Looked at before it is made: what changes meanwhile has another number.
            let generation = state.configState?.generation ?? 0
            if let made, made.generation == generation { return made.buffer }
            let buffer = ByteBuffer(bytes: try ServedAnswer.document(ConfigBody(state)))
            made = (generation, buffer)
            return buffer
        }
    }
}
