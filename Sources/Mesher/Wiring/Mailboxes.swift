// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import Common
import Proxy

/// The mailboxes of one sidecar, each under the name of the component that reads it.
struct Mailboxes: Sendable {
    /// Signals and the configuration server; a reload that is asked for twice is done once.
    let config = Mailbox<ConfigMessage>("config", capacity: 2, whenFull: .dropNewest)
    /// Configurations, of which the newest counts.
    let egress = Mailbox<TrafficMessage>("egress", capacity: 8, whenFull: .dropOldest)
    /// The same.
    let ingress = Mailbox<TrafficMessage>("ingress", capacity: 8, whenFull: .dropOldest)
    /// The same.
    let logs = Mailbox<TrafficMessage>("logs", capacity: 8, whenFull: .dropOldest)
    /// Changes of the local application's health, of which the newest counts.
    let registrar = Mailbox<RegistrarMessage>("registrar", capacity: 4, whenFull: .dropOldest)
    /// Names that requests want to know of, and news of the watch.
    let registry = Mailbox<RegistryMessage>("registry", capacity: 4_096, whenFull: .dropNewest)
    /// What requests want to know of Istio.
    let istio = Mailbox<RegistryMessage>("istio", capacity: 4_096, whenFull: .dropNewest)
    /// That a registry has something new to say, one message of each at most; and configurations, of which the newest counts.
    let mesh = Mailbox<MeshMessage>("mesh", capacity: 16, whenFull: .dropOldest)
    /// What is kept of single requests.
    let telemetry: Mailbox<ExchangeRecords>

    init(_ telemetry: Telemetry) { self.telemetry = telemetry.inbox }

    /// Who is told of a new configuration: what the mesh is first.
    var configurationReceivers: [@Sendable (MesherConfig) -> Void] {
        let mesh = self.mesh
        let others = [self.egress, self.ingress, self.logs].map { inbox -> @Sendable (MesherConfig) -> Void in
            { inbox.send(.configurationChanged($0)) }
        }
        return [{ mesh.send(.configurationChanged($0)) }] + others
    }

    /// All of them, in the order in which they are shown.
    var all: [any MailboxReport] {
        [
            self.config, self.egress, self.ingress, self.logs, self.registrar, self.registry, self.istio, self.mesh,
            self.telemetry,
        ]
    }
}
