// SPDX-License-Identifier: Apache-2.0

import Common
import TLS

/// What looks for new certificates and keys.
///
/// Nothing without TLS of traffic.
struct TLSFeature: Feature {
    let wiring: Wiring

    func install(into supervisor: inout Supervisor) {
        let (tls, logger) = (self.wiring.tls, self.wiring.logger)
        guard !tls.all.isEmpty || self.wiring.config.registry.istioUse != nil else { return }
        tls.register(with: self.wiring.metrics)
        supervisor.add("tls") { TLSComponent(tls, logger: logger) }
    }
}
