// SPDX-License-Identifier: Apache-2.0

import Common

/// What metrics show of circuits: counts of the last ten seconds, by called service.
///
/// - Source: the families that go-chassis takes from its circuit breaker.
struct CircuitMetrics: Sendable {
    let own: ServiceIdentity
    let monitor: TrafficMonitor

    /// The families of both sides.
    func families() -> [MetricFamily] {
        let recent = self.monitor.recent()
        let called = recent.services.map { service in
            Circuit(
                target: service.name, flow: service.flow, reasons: service.details.reasons,
                fallbacks: recent.fallbacks[service.name] ?? 0)
        }
        var ejected = MetricFamily(
            "mesher_ejected_endpoints", help: "Instances of a service that are left out for their failures.",
            kind: .gauge)
        var states = MetricFamily(
            "mesher_circuit_state", help: "Circuit breakers that are enabled: 0 closed, 1 half-open, 2 open.",
            kind: .gauge)
        for service in recent.services where service.flow.requests > 0 {
            let labels = MetricLabels(["service_name": service.name])
            ejected.add(Double(service.details.instances.count { $0.ejected }), labels)
            guard let breaker = service.details.breaker, breaker.enabled else { continue }
            states.add(breaker.state == "open" ? 2 : breaker.state == "half-open" ? 1 : 0, labels)
        }
        let own = Circuit(target: self.own.name, flow: recent.own, reasons: [:], fallbacks: 0)
        return self.families("Consumer", called, recent.seconds) + self.families("Provider", [own], recent.seconds)
            + [ejected, states]
    }

    /// What is known of one circuit.
    private struct Circuit {
        let target: String
        let flow: TrafficDocument.Flow
        let reasons: [String: Int]
        let fallbacks: Int
    }

    private func families(_ side: String, _ circuits: [Circuit], _ seconds: Double) -> [MetricFamily] {
        let columns = [
            "attempts", "errors", "successes", "failures", "rejects", "shortCircuits", "timeouts", "fallbackSuccesses",
            "fallbackFailures",
        ]
        var families = columns.map { MetricFamily("\(side)_\($0)", help: "\(side)_\($0)", kind: .gauge) }
        var means = MetricFamily("\(side)_totalDuration_mean", help: "\(side)_totalDuration_mean", kind: .gauge)
        var run = MetricFamily("\(side)_runDuration", help: "\(side)_runDuration", kind: .gauge)
        for circuit in circuits where circuit.flow.requestRate > 0 {
            let labels = self.labels(circuit.target)
            let (rejects, open) = (circuit.reasons["bulkhead_full"] ?? 0, circuit.reasons["circuit_open"] ?? 0)
            let attempts = Int((circuit.flow.requestRate * seconds).rounded())
            let errors = Int((circuit.flow.errorRate * seconds).rounded())
            let values = [
                attempts, errors, attempts - errors, max(0, errors - rejects - open), rejects, open,
                circuit.reasons["upstream_timeout"] ?? 0, circuit.fallbacks, rejects + open,
            ]
            for index in families.indices { families[index].add(Double(values[index]), labels) }
            if let mean = circuit.flow.mean { means.add(mean * 1000, labels) }
            for (share, value) in [
                ("0.5", circuit.flow.p50), ("0.9", circuit.flow.p90), ("0.99", circuit.flow.p99),
            ] {
                if let value { run.add(value * 1000, labels, extra: "quantile=\"\(share)\"") }
            }
        }
        return families + [means, run]
    }

    private func labels(_ target: String) -> MetricLabels {
        var labels = self.own.instanceProperties.reduce(into: [String: String]()) { labels, property in
            labels[Self.name(property.key)] = property.value
        }
        labels["hostname"] = self.own.hostName
        labels["self"] = self.own.name
        labels["target"] = target
        labels["appID"] = self.own.app
        labels["version"] = self.own.version
        labels["schemaID"] = ""
        labels["operationID"] = ""
        return MetricLabels(labels)
    }

    /// A name that the format allows.
    private static func name(_ text: String) -> String {
        let name = String(
            text.unicodeScalars.map { scalar in
                scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(Character(scalar)))
                    ? Character(scalar) : "_"
            })
        return name.first?.isNumber == true ? "_" + name : name
    }
}
