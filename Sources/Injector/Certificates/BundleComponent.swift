// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Logging
import Synchronization
import X509

/// Keeps `caBundle` of the webhook's configuration what it has to be, and changes nothing else of it.
///
/// A change is heard of at once, as far as the API server lets this be watched, and else by looking again and again.
package actor BundleComponent: Component {
    /// What else may happen while nothing is to be done.
    private final class News: Sendable {
        let version = Mutex<String?>(nil)
        let hasChanged = Mutex(false)
    }

    private let configuration: ClusterObject
    private let webhook: String
    private let client: ClusterClient
    private let board: AuthorityBoard
    private let state: InjectorState
    private let interval: Duration
    private let news = News()
    private var file: FileWatcher?
    private var told = ClusterTrouble()
    private var toldWatch = ClusterTrouble()
    /// How soon it is repaired again: somebody else may want it otherwise.
    private var repairs = Reconnect()

    /// A component that asks for nothing yet.
    ///
    /// - Parameter file: Where authorities stand, PEM; `nil` for those that the board wants.
    /// - Parameter webhook: Its name within the configuration.
    /// - Parameter interval: Between two looks at the configuration.
    package init(
        file: String?, configuration: ClusterObject, webhook: String, client: ClusterClient, board: AuthorityBoard,
        state: InjectorState, interval: Duration = OwnCertificateComponent.usualInterval
    ) {
        self.configuration = configuration
        self.webhook = webhook
        self.client = client
        self.board = board
        self.state = state
        self.interval = interval
        self.file = file.map { FileWatcher($0) }
    }

    package func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.keep() }
            group.addTask { try await self.listen() }
            defer { group.cancelAll() }
            _ = try await group.next()
        }
    }

    private func keep() async throws {
        var server = Reconnect()
        while !Task.isCancelled {
            self.readFile()
            var pause = self.interval * Double.random(in: 0.9...1)
            var isUrgent = true
            let version = self.board.wanted.version
            do throws(ClusterFailure) {
                if try await self.look() {
                    pause = self.repairs.failed(at: .now)
                } else {
                    self.repairs.answered(at: .now)
                }
                server.answered(at: .now)
                self.told.forget()
            } catch {
                if Task.isCancelled { return }
                pause = server.failed(at: .now, retryAfter: error.retryAfter)
                isUrgent = false
                self.told.tell(error, "caBundle is not kept", self.state.logger)
            }
            try await self.rest(pause, version, isUrgent: isUrgent && self.repairs.isServing)
        }
    }

    /// - Parameter isUrgent: Whether a change that is heard of ends it.
    private func rest(_ pause: Duration, _ version: Int, isUrgent: Bool) async throws {
        let end = ContinuousClock.now + pause
        while true {
            let left = end - .now
            guard left > .zero, version == self.board.wanted.version else { return }
            if isUrgent, self.news.hasChanged.withLock({ $0 }) { return }
            self.readFile()
            try await Task.sleep(for: min(left, .milliseconds(200)))
        }
    }

    // MARK: Authorities of a file

    private func readFile() {
        guard case .changed(let bytes)? = self.file?.look() else { return }
        guard let authorities = PEM.certificates(bytes) else {
            self.state.logger.warning(
                "authorities not renewed: the old ones stay published",
                metadata: ["problem": "\(self.file?.path ?? "") has no certificate", "remedy": "write it as PEM"])
            return
        }
        // Others may still serve with a certificate of an old one.
        let former = self.board.wanted.authorities.filter { $0.notValidAfter > Date() && !authorities.contains($0) }
        self.board.want(authorities + former)
    }

    // MARK: The configuration

    /// - Returns: Whether it had to be repaired.
    private func look() async throws(ClusterFailure) -> Bool {
        if self.board.wanted.authorities.isEmpty { return false }
        var found = try await self.find()
        if !found.bundle.serves(self.board.wanted.authorities, at: Date()), self.file == nil {
            // Perhaps another replica has published others, which are in the Secret.
            await self.waitForLook()
            found = try await self.find()
        }
        let (authorities, version) = self.board.wanted
        if found.bundle.serves(authorities, at: Date()) {
            self.board.found(version, isPublished: true)
            return false
        }
        self.board.found(version, isPublished: false)
        let path = "/webhooks/\(found.index)"
        let patch = OrderedJSON.array([
            .object([("op", .string("test")), ("path", .string("\(path)/name")), ("value", .string(self.webhook))]),
            .object([
                ("op", .string("add")), ("path", .string("\(path)/clientConfig/caBundle")),
                ("value", .string(Data(PEM.text(authorities).utf8).base64EncodedString())),
            ]),
        ])
        self.remember(try await self.client.patch(self.configuration, patch))
        self.board.found(version, isPublished: true)
        self.state.metrics.bundleUpdated()
        self.state.logger.notice(
            "caBundle written",
            metadata: [
                "configuration": "\(self.configuration.name)", "webhook": "\(self.webhook)",
                "was": "\(found.bundle.text)", "authorities": "\(authorities.count)",
            ])
        return true
    }

    private func waitForLook() async {
        let (looks, end) = (self.board.looks, ContinuousClock.now + .seconds(5))
        self.board.askForLook()
        while self.board.looks == looks, ContinuousClock.now < end,
            (try? await Task.sleep(for: .milliseconds(20))) != nil
        {}
    }

    private func find() async throws(ClusterFailure) -> (index: Int, bundle: CABundle) {
        self.news.hasChanged.withLock { $0 = false }
        let configuration = try await self.client.get(self.configuration)
        self.remember(configuration)
        let webhooks = configuration["webhooks"]?.elements ?? []
        guard let index = webhooks.firstIndex(where: { $0["name"]?.text == self.webhook }) else {
            let names = webhooks.compactMap { $0["name"]?.text }.joined(separator: ", ")
            throw ClusterFailure(
                "\(self.configuration.text) has no webhook \(self.webhook), but: \(names)",
                remedy: "name one of them with --webhookName")
        }
        return (index, CABundle(webhooks[index]["clientConfig"]?["caBundle"]?.text))
    }

    private func remember(_ configuration: JSONValue) {
        self.news.version.withLock { $0 = configuration["metadata"]?["resourceVersion"]?.text }
    }

    // MARK: Changes

    private func listen() async throws {
        var server = Reconnect()
        while !Task.isCancelled {
            guard let version = self.news.version.withLock({ $0 }) else {
                try await Task.sleep(for: .milliseconds(200))
                continue
            }
            var pause = Duration.zero
            do throws(ClusterFailure) {
                let news = self.news
                try await self.client.watch(self.configuration, after: version) {
                    news.hasChanged.withLock { $0 = true }
                }
                server.answered(at: .now)
                self.toldWatch.forget()
                // Where it was watched from may be too long ago.
                self.news.version.withLock { if $0 == version { $0 = nil } }
                self.news.hasChanged.withLock { $0 = true }
                pause = .seconds(1)
            } catch {
                if Task.isCancelled { return }
                pause = server.failed(at: .now, retryAfter: error.retryAfter)
                // What is not reached is told by whoever asks.
                if error.status == 403 {
                    self.toldWatch.tell(
                        error, "changes of caBundle are noticed late", self.state.logger)
                }
            }
            try await Task.sleep(for: pause)
        }
    }
}
