// SPDX-License-Identifier: Apache-2.0

/// Whether a server's answer that takes settings away is believed: pure.
///
/// Most of them do not vanish at once for a good reason, but a server that has just lost its store, or one that a proxy has
/// led to by mistake, answers just so. Such an answer counts when the next question is answered in the same way.
struct SettingsDoubt {
    /// How long to wait before that question.
    static let pause = Duration.seconds(1)

    /// What was answered and not believed.
    private var doubted: [String: String]?

    /// Whether `settings` may take the place of what is known.
    ///
    /// - Parameter known: `nil` when nothing is.
    /// - Parameter isCertain: Whether the answer lists what there is: one that only says that there is nothing is never
    ///   believed at once.
    mutating func believes(_ settings: [String: String], after known: [String: String]?, isCertain: Bool) -> Bool {
        let known = known ?? [:]
        let lost = known.keys.count { settings[$0] == nil }
        guard MassLoss.isOne(lost, of: known.count) || !isCertain && lost > 0, self.doubted != settings else {
            self.doubted = nil
            return true
        }
        self.doubted = settings
        return false
    }
}
