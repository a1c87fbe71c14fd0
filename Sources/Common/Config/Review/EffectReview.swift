// SPDX-License-Identifier: Apache-2.0

/// Looks at a configuration as a whole, each part of which is right: for what has no effect all the same.
///
/// It reads the finished values, and the trees they come from where a message has to name a place.
struct EffectReview {
    let config: MesherConfig
    let store: ConfigStore
    /// `nil` where other services may be found than those that are written down.
    let services: KnownServices?
    /// What was searched for in the store.
    var found: [String: [(suffix: String, entry: ConfigSource.Entry)]] = [:]
    private var problems: [ConfigProblem] = []

    /// What there is to say.
    static func problems(of config: MesherConfig, _ store: ConfigStore, _ services: KnownServices?) -> [ConfigProblem] {
        var review = EffectReview(config: config, store: store, services: services)
        review.reviewControlPlane()
        review.reviewRouteRules()
        review.reviewDarkLaunches()
        review.reviewMesh()
        review.reviewMarks()
        review.reviewFaults()
        review.reviewBalancing()
        review.reviewRetries()
        review.reviewHandlers()
        review.reviewNames()
        return review.problems
    }

    private init(config: MesherConfig, store: ConfigStore, services: KnownServices?) {
        self.config = config
        self.store = store
        self.services = services
    }

    // MARK: Words

    mutating func warn(_ location: ConfigLocation, _ key: String, _ problem: String, _ remedy: String) {
        self.problems.append(ConfigProblem(.warning, at: location, key: key, problem, remedy: remedy))
    }

    mutating func warn(_ entry: ConfigSource.Entry, _ problem: String, _ remedy: String) {
        self.warn(entry.value.location, entry.key, problem, remedy)
    }

    mutating func note(_ entry: ConfigSource.Entry, _ problem: String, _ remedy: String) {
        self.add(ConfigProblem(.note, at: entry.value.location, key: entry.key, problem, remedy: remedy))
    }

    mutating func add(_ problem: ConfigProblem) { self.problems.append(problem) }

    /// The tree of an entry; `nil` where it cannot be read.
    func tree(_ entry: ConfigSource.Entry?) -> ConfigTree? {
        guard let entry else { return nil }
        return try? RuleText.read(entry)
    }
}
