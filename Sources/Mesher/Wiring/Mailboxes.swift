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
    let registrar = Mailbox<RegistryMessage>("registrar", capacity: 4, whenFull: .dropOldest)
    /// Names that requests want to know of, and news of the watch.
    let registry = Mailbox<DiscoveryMessage>("registry", capacity: 4_096, whenFull: .dropNewest)
    /// That a registry has something new to say: one message of each at most.
    let mesh = Mailbox<MeshMessage>("mesh", capacity: 16, whenFull: .dropNewest)
    /// What is kept of single requests.
    let telemetry: Mailbox<ExchangeRecords>

    init(_ telemetry: Telemetry) { self.telemetry = telemetry.inbox }

    /// All of them, in the order in which they are shown.
    var all: [any MailboxReport] {
        [
            self.config, self.egress, self.ingress, self.logs, self.registrar, self.registry, self.mesh, self.telemetry,
        ]
    }
}
