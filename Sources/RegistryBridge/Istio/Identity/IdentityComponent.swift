// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
package import Logging
package import NIOCore
package import TLS

/// Has the mesh's authority certify who this workload is, anew when half of a certificate's life is over.
///
/// The old certificate stays in use until the new one is; what fails is tried again as ``Reconnect`` says.
package actor IdentityComponent: Component {
    /// What the authority has answered.
    private struct Certified {
        let demand: CertificateDemand
        let chain: [String]
        /// The file of further authorities.
        let authorities: String
    }

    /// How often the file of authorities is looked at.
    private static let look = Duration.seconds(5)

    private let servers: ControlPlaneServers
    private let node: NodeIdentity
    private let access: ControlPlaneAccess
    private let slot: IdentitySlot
    private let status: ControlPlaneStatus
    private let loops: any EventLoopGroup
    private let logger: Logger
    private var told = ToldFailures()

    /// A component that asks nobody yet.
    ///
    /// - Parameter servers: Replicas of one authority; those of the control plane that take a token.
    /// - Parameter slot: Where the identity is put.
    /// - Parameter status: Where others read how things stand.
    package init(
        _ servers: [ServerAddress], node: NodeIdentity, config: IstioConfig, slot: IdentitySlot,
        status: ControlPlaneStatus, pace: Reconnect.Pace = .usual, loops: any EventLoopGroup, logger: Logger
    ) {
        self.servers = ControlPlaneServers(servers, pace: pace)
        self.node = node
        self.access = ControlPlaneAccess(config: config)
        self.slot = slot
        self.status = status
        self.loops = loops
        self.logger = logger
    }

    package func run() async throws {
        while let turn = await self.servers.next() {
            do {
                var authorities = FileWatcher(self.access.authorities(of: turn.server))
                // Looked at before it is read: a change between the two is found again.
                _ = authorities.look()
                let certified = try await self.certify(turn)
                try await self.use(certified)
                self.proven()
                await self.servers.succeeded(turn.place)
                try await self.rest(certified, authorities)
            } catch {
                if Task.isCancelled { return }
                await self.failed(turn, error)
            }
        }
    }

    private func certify(_ turn: ControlPlaneServers.Turn) async throws -> Certified {
        guard let address = turn.address else { throw UnknownHost() }
        let demand = CertificateDemand(try self.name())
        let call = CertificateCall(
            channel: ControlPlaneChannel(
                server: turn.server, address: address, access: self.access, loops: self.loops),
            cluster: self.node.metadata["CLUSTER_ID"] ?? "")
        return Certified(
            demand: demand, chain: try await call.run(demand.request()),
            authorities: self.access.authorities(of: turn.server))
    }

    private func name() throws(UnusableFile) -> WorkloadName {
        WorkloadName(
            trustDomain: self.node.trustDomain, namespace: self.node.namespace, serviceAccount: try self.account())
    }

    /// The account that this workload runs as: that of the environment, or the token's.
    private func account() throws(UnusableFile) -> String {
        if let known = self.node.metadata["SERVICE_ACCOUNT"] { return known }
        if let token = AccountToken(try self.access.token()) { return token.serviceAccount }
        throw UnusableFile(
            path: self.access.config.tokenFile, problem: "names no service account",
            remedy: "set the variable SERVICE_ACCOUNT")
    }

    /// Puts what was certified in use.
    private func use(_ certified: Certified) async throws {
        let authorities = try UnusableFile.readCertificates(certified.authorities, remedy: "write it as PEM")
        let identity = try await certified.demand.identity(certified.chain, authorities: authorities)
        try self.slot.publish(identity)
        self.told.forget()
        self.report {
            $0.name = identity.name
            $0.expiry = identity.expiry
            $0.failure = nil
        }
    }

    private func proven() {
        self.report { $0.certificates += 1 }
        guard let identity = self.slot.current else { return }
        self.logger.notice(
            "the identity in the mesh is proven",
            metadata: ["name": "\(identity.name)", "until": "\(identity.expiry.ISO8601Format())"])
    }

    private func report(_ change: (inout ControlPlaneStatus.Identity) -> Void) {
        self.status.update { status in
            var identity = status.identity ?? .init()
            change(&identity)
            status.identity = identity
        }
    }

    /// Waits until half of the life is over, and takes over new authorities meanwhile.
    private func rest(_ certified: Certified, _ authorities: FileWatcher) async throws {
        guard let expiry = self.slot.current?.expiry else { return }
        var authorities = authorities
        let end = ContinuousClock.now + Self.pause(until: expiry, at: Date())
        while true {
            let left = end - .now
            guard left > .zero else { return }
            try await Task.sleep(for: min(left, Self.look))
            guard case .changed = authorities.look() else { continue }
            do {
                try await self.use(certified)
                self.logger.notice(
                    "the authorities of the mesh are renewed", metadata: ["file": "\(certified.authorities)"])
            } catch {
                self.logger.warning(
                    "the authorities of the mesh are not renewed: the old ones stay in use",
                    metadata: ["error": "\(error)"])
            }
        }
    }

    /// How long a certificate is used until there is to be another one: about half of what is left of its life, as not
    /// all workloads that began together should ask together.
    ///
    /// - Parameter chance: 0…1, drawn anew for each certificate.
    static func pause(until expiry: Date, at now: Date, chance: Double = .random(in: 0...1)) -> Duration {
        // One that has next to no life left is no reason to ask without pause.
        max(.seconds(1), .seconds(expiry.timeIntervalSince(now)) * (0.45 + 0.1 * chance))
    }

    private func failed(_ turn: ControlPlaneServers.Turn, _ error: any Error) async {
        await self.servers.failed(turn.place)
        let failure = CallFailure(
            error, authorities: self.access.authorities(of: turn.server), within: CertificateCall.patience)
        self.report { $0.failure = failure.text }
        let metadata: Logger.Metadata = ["server": "\(turn.place)", "error": "\(failure.text)"]
        let level = self.told.level(failure)
        if self.slot.current == nil {
            self.logger.log(level: level, "the identity in the mesh is not proven yet", metadata: metadata)
        } else {
            self.logger.log(
                level: level, "the certificate of the mesh is not renewed: the old one stays in use", metadata: metadata
            )
        }
    }
}
