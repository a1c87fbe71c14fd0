// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import NIOHTTP1

/// Settings from ServiceComb kie: by long poll, or at intervals.
///
/// Two sets of labels are followed, each with a revision of its own: those of the application, and those of the service,
/// which win. Nothing is told before both are known.
///
/// - Source: the calls of the original against kie's API v1.
actor KieSource: ConfigServer {
    /// One set of labels.
    private struct Dimension {
        let labels: [(String, String)]
        var revision: Int64?
        var settings: [String: String]?
        var doubt = SettingsDoubt()
        var failure: String?
    }

    /// What one question has led to.
    private enum Outcome {
        case changed
        /// The documents of others have, or the server did not look at the revision.
        case same
        case waited
        /// Nothing is there, and so nothing to wait with.
        case empty
        /// Too much is gone to be believed before it was said once more.
        case doubtful
    }

    private enum News: Sendable { case some }

    private let client: ConfigServerClient
    private let path: String
    private let interval: Duration
    /// `nil` to poll at each interval.
    private let wait: Duration?
    private var dimensions: [Dimension]
    /// How many questions have failed: an answer to one that was asked before counts from somewhere else, perhaps.
    private var failures = 0
    /// From those who ask, who are two, to the one who tells, so that nothing older is told after something newer.
    private let news = Mailbox<News>("kie", capacity: 1, whenFull: .dropNewest)

    /// kie's own maximum.
    private static let longestWait = Duration.seconds(300)

    init(
        _ config: ConfigServerConfig, scope: ConfigServerScope, client: ConfigServerClient
    ) {
        self.client = client
        self.path = "/v1/\(ConfigServerClient.escaped(config.project))/kie/kv"
        self.interval = config.interval
        self.wait = config.isPushing ? min(config.interval, Self.longestWait) : nil
        let application = [("appId", scope.app), ("environment", scope.environment)]
        let service = application + [("serviceName", scope.service), ("version", scope.version)]
        self.dimensions = [Dimension(labels: application), Dimension(labels: service)]
    }

    func follow(_ report: @escaping @Sendable (ConfigServerReport) async -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            for index in self.dimensions.indices { group.addTask { await self.follow(index) } }
            while await self.news.receive() != nil {
                let place = await self.client.place()
                if let now = self.report(from: place) { await report(now) }
            }
        }
    }

    private func follow(_ index: Int) async {
        // Paces answers that make no sense: when the server is asked at all is the client's, who waits for that.
        var nonsense = Reconnect(self.client.pace)
        var emptyAnswers = 0
        var failures = 0
        while !Task.isCancelled {
            let began = ContinuousClock.now
            let pause: Duration
            do throws(ConfigServerFailure) {
                let outcome = try await self.ask(index)
                nonsense.answered(at: .now)
                failures = 0
                self.dimensions[index].failure = nil
                self.news.send(.some)
                emptyAnswers = outcome == .empty ? emptyAnswers + 1 : 0
                pause = self.pause(after: outcome, .now - began, emptyAnswers: emptyAnswers)
            } catch {
                if Task.isCancelled { return }
                // Another server, or the same without what it knew, may count from somewhere else; and whoever asks for the
                // other set of labels just now may not notice that it is gone.
                for index in self.dimensions.indices { self.dimensions[index].revision = nil }
                self.failures &+= 1
                failures += 1
                // Most often the server has closed the connection meanwhile; one that falls silent is another matter.
                if failures == 1, .now - began < (self.wait ?? .zero) + .seconds(1) { continue }
                self.dimensions[index].failure = error.text
                self.news.send(.some)
                let isLeftAlone = await self.client.pause > .zero
                pause = isLeftAlone ? .zero : min(nonsense.failed(at: .now), self.interval)
            }
            try? await Task.sleep(for: pause)
        }
    }

    private func ask(_ index: Int) async throws(ConfigServerFailure) -> Outcome {
        let dimension = self.dimensions[index]
        let wait = dimension.revision == nil ? nil : self.wait
        // The revision counts the documents of all, so one that others were told serves as well where there is none. It must be
        // older than the question: with a newer one, what has changed in between would never be told.
        let revisionBefore = self.dimensions.compactMap(\.revision).max()
        let failuresBefore = self.failures
        let target = Self.target(self.path, dimension.labels, revision: dimension.revision, wait: wait)
        let answer = try await self.client.get(
            target, timeout: (wait ?? .zero) + ConfigServerClient.timeout, isRepeated: false)
        defer { if self.failures != failuresBefore { self.dimensions[index].revision = nil } }
        let revision = answer.headers.first(name: "X-Kie-Revision").flatMap { Int64($0) }
        switch answer.status {
        case 304:
            guard dimension.settings != nil else { throw ConfigServerFailure("\(answer.place): unasked status 304") }
            if let revision { self.dimensions[index].revision = revision }
            return .waited
        case 404:
            // Proxies and wrong addresses answer so, too.
            guard revision != nil || KieAnswer.isRefusal(answer.body) else {
                throw ConfigServerFailure("\(answer.place): status 404, and not in the words of kie")
            }
            guard let hasChanged = self.take([:], index, isCertain: false) else { return .doubtful }
            self.dimensions[index].revision = revision ?? revisionBefore
            return hasChanged ? .changed : .empty
        default:
            let settings: [String: String]
            do {
                settings = try KieAnswer.settings(answer.body)
            } catch {
                throw ConfigServerFailure("\(answer.place): \(error.text)")
            }
            guard let hasChanged = self.take(settings, index, isCertain: true) else { return .doubtful }
            self.dimensions[index].revision = revision
            return hasChanged ? .changed : .same
        }
    }

    /// - Parameter isCertain: Whether the answer lists what there is.
    /// - Returns: Whether it is anything new; `nil` when it is to be said once more.
    private func take(_ settings: [String: String], _ index: Int, isCertain: Bool) -> Bool? {
        let known = self.dimensions[index].settings
        guard self.dimensions[index].doubt.believes(settings, after: known, isCertain: isCertain) else {
            // Asked without a revision, it says everything at once.
            self.dimensions[index].revision = nil
            return nil
        }
        self.dimensions[index].settings = settings
        return known != settings
    }

    /// How things stand; `nil` before everything was answered once.
    private func report(from place: ServerPlace?) -> ConfigServerReport? {
        if let failure = self.dimensions.lazy.compactMap(\.failure).first { return .failed(failure) }
        var merged: [String: String] = [:]
        for dimension in self.dimensions {
            guard let settings = dimension.settings else { return nil }
            merged.merge(settings) { $1 }
        }
        return .settings(merged, from: "kie \(place?.url ?? "")")
    }

    /// How long not to ask: not at all when the server has kept the question, and never so little that it is flooded.
    private func pause(after outcome: Outcome, _ time: Duration, emptyAnswers: Int) -> Duration {
        guard let wait = self.wait else {
            return outcome == .doubtful ? SettingsDoubt.pause : self.interval * Double.random(in: 0.9...1.1)
        }
        switch outcome {
        case .changed: return .milliseconds(50)
        case .waited: return time >= wait * 0.5 ? .zero : .seconds(1)
        case .same: return .milliseconds(500)
        case .empty: return min(.milliseconds(250) * emptyAnswers, .seconds(2))
        case .doubtful: return SettingsDoubt.pause
        }
    }

    /// - Parameter revision: `nil` to get everything.
    static func target(
        _ path: String, _ labels: [(String, String)], revision: Int64?, wait: Duration?
    ) -> String {
        var target = "\(path)?revision=\(revision ?? -1)"
        if let wait { target += "&wait=\(wait.components.seconds)s" }
        target += "&match=exact"
        for (name, value) in labels { target += "&label=\(name):\(ConfigServerClient.escaped(value))" }
        return target
    }
}
