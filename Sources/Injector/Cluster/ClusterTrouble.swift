// SPDX-License-Identifier: Apache-2.0

import Logging

/// Which failures the log has told since the last success: each once an hour, as another one has another remedy.
struct ClusterTrouble {
    private static let most = 10
    private static let again = Duration.seconds(3600)

    private var told: [String: ContinuousClock.Instant] = [:]

    /// Tells a failure, loudly if it is new.
    ///
    /// - Parameter what: What it means for the injector.
    mutating func tell(_ failure: ClusterFailure, _ what: Logger.Message, _ logger: Logger) {
        let now = ContinuousClock.now
        self.told = self.told.filter { now - $0.value < Self.again }
        let isNew = self.told.count < Self.most && self.told[failure.problem] == nil
        if isNew { self.told[failure.problem] = now }
        logger.log(
            level: isNew ? .warning : .debug, what,
            metadata: ["problem": "\(failure.problem)", "remedy": "\(failure.remedy)"])
    }

    /// All is well.
    mutating func forget() { self.told = [:] }
}
