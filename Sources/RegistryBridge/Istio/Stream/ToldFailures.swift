// SPDX-License-Identifier: Apache-2.0

import Logging

/// Which failures the log has told since the last success: each once, as another one has another remedy.
struct ToldFailures: Sendable {
    private static let most = 10

    private var texts: Set<String> = []

    /// How loudly to tell this one.
    mutating func level(_ failure: CallFailure) -> Logger.Level {
        let isNew = self.texts.count < Self.most && self.texts.insert(failure.text).inserted
        return isNew ? .warning : .debug
    }

    /// All is well.
    mutating func forget() { self.texts = [] }
}
