// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Logging
import X509

/// Keeps certificates of the injector's own making in one Secret, in which all replicas find the same.
///
/// Whoever comes second finds that the Secret is there, or was changed, and takes what it has. A failure leaves in use what
/// was in use.
package actor OwnCertificateComponent: Component {
    /// How often the Secret is looked at, at least.
    package static let usualInterval = Duration.seconds(30)
    /// Warned of when it is over and there is no other certificate.
    private static let notice: TimeInterval = 7 * 24 * 3600

    private let plan: CertificatePlan
    private let secret: ClusterObject
    private let client: ClusterClient
    private let slot: CertificateSlot
    private let board: AuthorityBoard
    private let state: InjectorState
    private let interval: Duration
    private var told = ClusterTrouble()
    private var nextWarning = ContinuousClock.now

    /// A component that asks for nothing yet.
    ///
    /// - Parameter interval: Between two looks at the Secret; other replicas follow a change within it.
    package init(
        _ plan: CertificatePlan, secret: ClusterObject, client: ClusterClient, slot: CertificateSlot,
        board: AuthorityBoard, state: InjectorState, interval: Duration = OwnCertificateComponent.usualInterval
    ) {
        self.plan = plan
        self.secret = secret
        self.client = client
        self.slot = slot
        self.board = board
        self.state = state
        self.interval = interval
    }

    package func run() async throws {
        var (server, conflicts) = (Reconnect(), 0)
        while !Task.isCancelled {
            var pause = self.interval * Double.random(in: 0.9...1)
            do throws(ClusterFailure) {
                try await self.look()
                server.answered(at: .now)
                self.told.forget()
                conflicts = 0
            } catch {
                if Task.isCancelled { return }
                conflicts += error.isConflict ? 1 : 0
                // Another replica was faster: what it has written is what counts.
                if error.isConflict, conflicts < 10 {
                    pause = .milliseconds(Int.random(in: 50...500))
                } else {
                    pause = server.failed(at: .now, retryAfter: error.retryAfter)
                    let what: Logger.Message =
                        self.slot.own == nil ? "there is no certificate yet" : "the certificate's Secret is not kept"
                    self.told.tell(error, what, self.state.logger)
                }
            }
            self.board.looked()
            self.warnOfTheEnd()
            try await self.rest(pause)
        }
    }

    private func rest(_ pause: Duration) async throws {
        let end = ContinuousClock.now + pause
        while true {
            let left = end - .now
            guard left > .zero, !self.board.isLookAsked else { return }
            try await Task.sleep(for: min(left, .milliseconds(200)))
        }
    }

    // MARK: The Secret

    private func look() async throws(ClusterFailure) {
        let kept = try await self.kept()
        var own: OwnCertificates
        var changes: [OwnCertificates.Change]
        do {
            if let found = kept.flatMap({ OwnCertificates(Self.data(of: $0)) }) {
                try self.use(found)
                own = found
                // Every API server has heard of what was published before two looks.
                changes = try own.renew(self.plan, at: Date(), isKnown: self.board.isKnown(for: self.interval * 2))
            } else if let used = self.slot.own {
                // What is in use goes on, and is replaced in the usual steps: whoever deletes the Secret wants others.
                own = used
                try own.replaceAuthority(self.plan, at: Date())
                changes = [.nextAuthority]
            } else {
                own = try OwnCertificates(self.plan, at: Date())
                changes = [.all]
            }
        } catch let failure as ClusterFailure {
            throw failure
        } catch {
            throw ClusterFailure("no certificate can be made (\(error))", remedy: "look at the machine's clock")
        }
        if changes.isEmpty { return }
        _ =
            if let kept {
                try await self.client.update(self.secret, self.filled(OrderedJSON(kept), own))
            } else {
                try await self.client.create(self.secret, self.filled(self.empty, own))
            }
        self.state.logger.notice(
            "certificates kept in a Secret",
            metadata: [
                "secret": "\(self.secret.name)", "change": "\(changes.map(\.rawValue).joined(separator: ", "))",
            ])
        try self.use(own)
    }

    /// The Secret; `nil` when there is none.
    private func kept() async throws(ClusterFailure) -> JSONValue? {
        let kept: JSONValue
        do throws(ClusterFailure) {
            kept = try await self.client.get(self.secret)
        } catch {
            if error.isMissing { return nil }
            throw error
        }
        let data = Self.data(of: kept)
        let isOwn = kept["metadata"]?["labels"]?[Self.mark.0]?.text == Self.mark.1
        guard data.isEmpty || isOwn || OwnCertificates(data) != nil else {
            throw ClusterFailure(
                "\(self.secret.text) is somebody else's: it has \(data.keys.sorted().joined(separator: ", "))",
                remedy: "delete it, or name another one with --certificateSecret")
        }
        return kept
    }

    /// The label of what may be written over.
    private static let mark = ("app.kubernetes.io/managed-by", "mesher-injector")

    private static func data(of secret: JSONValue) -> [String: [UInt8]] {
        var data: [String: [UInt8]] = [:]
        for (name, value) in secret["data"]?.members ?? [] {
            data[name] = (value.text.flatMap { Data(base64Encoded: $0) }).map { Array($0) } ?? []
        }
        return data
    }

    private var empty: OrderedJSON {
        .object([
            ("apiVersion", .string("v1")), ("kind", .string("Secret")),
            (
                "metadata",
                .object([
                    ("name", .string(self.secret.name)), ("namespace", .string(self.secret.namespace ?? "")),
                    ("labels", .object([("app", .string("sidecar-injector"))])),
                ])
            ), ("type", .string("Opaque")),
        ])
    }

    /// A Secret with these, and with all else that it has.
    private func filled(_ secret: OrderedJSON, _ own: OwnCertificates) -> OrderedJSON {
        var secret = secret
        var metadata = secret["metadata"] ?? .object([])
        var labels = metadata["labels"] ?? .object([])
        labels[Self.mark.0] = .string(Self.mark.1)
        metadata["labels"] = labels
        secret["metadata"] = metadata
        secret["data"] = .object(own.data.map { ($0.0, .string(Data($0.1.utf8).base64EncodedString())) })
        return secret
    }

    // MARK: What is in use

    private func use(_ own: OwnCertificates) throws(ClusterFailure) {
        let isNew: Bool
        do throws(ConfigProblem) {
            isNew = try self.slot.use(own)
        } catch {
            throw ClusterFailure(error.problem, remedy: error.remedy)
        }
        self.board.want(own.authorities)
        self.state.readiness.set(.certificate)
        guard isNew else { return }
        self.state.logger.notice(
            "certificate in use",
            metadata: [
                "until": "\(own.certificate.notValidAfter.ISO8601Format())",
                "authority": "\(own.authority.root.subject)",
            ])
    }

    /// Every hour, once it should have been renewed long ago.
    private func warnOfTheEnd() {
        guard let end = self.slot.own?.certificate.notValidAfter, self.nextWarning <= .now else { return }
        let left = end.timeIntervalSinceNow
        guard left < Self.notice, left < TimeInterval(self.plan.certificateLife.components.seconds) / 6 else { return }
        self.nextWarning = .now + .seconds(3600)
        self.state.logger.warning(
            "certificate ends soon",
            metadata: [
                "problem": "it ends on \(end.ISO8601Format()), and no other could be made",
                "remedy": "see what the log says of \(self.secret.text)",
            ])
    }
}
