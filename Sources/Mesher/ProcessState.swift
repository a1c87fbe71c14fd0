// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Glibc
import Logging

/// Times of the process.
enum ProcessClock {
    /// When it started, in seconds since 1970.
    static let startTime = Date().timeIntervalSince1970
    /// The time of day, likewise.
    static var now: Double { Date().timeIntervalSince1970 }
}

/// Open files.
enum Descriptors {
    /// Raises the soft limit to the hard one.
    ///
    /// - Returns: The limit that holds now.
    static func raiseLimit() -> Int {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        if limit.rlim_cur < limit.rlim_max {
            var raised = limit
            raised.rlim_cur = limit.rlim_max
            if unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }
}

/// Stopped first: from the first moment of a shutdown on, `/readyz` says so.
///
/// Where there is a limit, it also ends the wait for the registry: the application of a pod does not start before its
/// sidecar is ready, and an outage of the registry must not stop every roll-out.
actor ReadinessComponent: Component {
    private let readiness: Readiness
    private let limit: Duration
    private let logger: Logger

    /// - Parameter limit: How long to wait for the registry; zero for as long as it takes.
    init(_ readiness: Readiness, limit: Duration, logger: Logger) {
        self.readiness = readiness
        self.limit = limit
        self.logger = logger
    }

    func run() async throws {
        if self.limit > .zero {
            try await Task.sleep(for: self.limit)
            let missing = self.readiness.forgetRegistries().map(\.rawValue)
            if !missing.isEmpty {
                self.logger.warning(
                    "ready without what is still missing", metadata: ["missing": "\(missing.joined(separator: ", "))"])
            }
        }
        while true { try await Task.sleep(for: .seconds(24 * 3600)) }
    }

    func drain() async { self.readiness.beginStopping() }
}

/// What metrics show of the memory limit.
struct OverloadMetrics: Sendable {
    let overload: Overload
    let memory: ProcessMemory

    func register(with metrics: MetricsRegistry) {
        metrics.addCollector {
            var limit = MetricFamily(
                "mesher_memory_limit_bytes", help: "Memory that the process may use; 0 when nothing limits it.",
                kind: .gauge)
            limit.add(Double(self.overload.limit))
            var resident = MetricFamily(
                "mesher_memory_resident_bytes", help: "Memory that the process uses.", kind: .gauge)
            resident.add(Double(self.memory.resident() ?? 0))
            var level = MetricFamily(
                "mesher_overload_level",
                help: "0: normal, 1: connections end with the answer in flight, 2: requests are refused.",
                kind: .gauge)
            level.add(Double(self.overload.level.rawValue))
            return [limit, resident, level]
        }
    }
}

/// What metrics show of the components.
struct ComponentMetrics: Sendable {
    let restarts: RestartCounter
    let mailboxes: [any MailboxReport]

    func register(with metrics: MetricsRegistry) {
        metrics.addCollector {
            var restarts = MetricFamily(
                "mesher_component_restarts_total", help: "Restarts of a component that failed.", kind: .counter)
            for (name, count) in self.restarts.current {
                restarts.add(Double(count), MetricLabels(["component": name]))
            }
            var dropped = MetricFamily(
                "mesher_mailbox_dropped_total", help: "Messages that a full mailbox dropped.", kind: .counter)
            var waiting = MetricFamily(
                "mesher_mailbox_waiting", help: "Messages that wait in a mailbox.", kind: .gauge)
            for mailbox in self.mailboxes {
                dropped.add(Double(mailbox.dropped), MetricLabels(["mailbox": mailbox.name]))
                waiting.add(Double(mailbox.waiting), MetricLabels(["mailbox": mailbox.name]))
            }
            return [restarts, dropped, waiting]
        }
    }
}

/// What metrics show of the registry.
struct RegistryMetrics: Sendable {
    let status: RegistryStatus

    func register(with metrics: MetricsRegistry) {
        metrics.addCollector {
            let status = self.status.current
            let values: [(String, String, Int)] = [
                (
                    "mesher_registry_up", "Whether the registry answered when it was asked last.",
                    status.isReachable ? 1 : 0
                ),
                ("mesher_registry_watching", "Whether the registry pushes changes.", status.isWatching ? 1 : 0),
                ("mesher_registry_services", "Services that traffic uses.", status.services),
                (
                    "mesher_registry_stale_services",
                    "Services in use that the registry has not confirmed lately.", status.staleServices
                ),
                (
                    "mesher_registry_held_instances",
                    "Instances kept although an answer lacked them: too many were gone at once.",
                    status.heldInstances
                ),
            ]
            return values.map { name, help, value in
                var family = MetricFamily(name, help: help, kind: .gauge)
                family.add(Double(value))
                return family
            }
        }
    }
}

/// What metrics show of Istio's control plane.
struct ControlPlaneMetrics: Sendable {
    let status: ControlPlaneStatus
    /// That of a second one, which is asked by streams beside Istio's first API; `nil` where there is none.
    var streams: ControlPlaneStatus?

    func register(with metrics: MetricsRegistry) {
        metrics.addCollector {
            let status = self.status.current
            var up = MetricFamily(
                "mesher_control_plane_up", help: "Whether Istio's control plane answers on a stream that is open.",
                kind: .gauge)
            var held = MetricFamily(
                "mesher_control_plane_resources", help: "Resources of the control plane that are held.", kind: .gauge)
            var refused = MetricFamily(
                "mesher_control_plane_refused_responses_total",
                help: "Responses of the control plane that could not be used, wholly or in part.", kind: .counter)
            var waiting = MetricFamily(
                "mesher_control_plane_waiting",
                help: "Clusters and tables of routes that requests need and the control plane has not told yet.",
                kind: .gauge)
            let planes = [(status, "")] + (self.streams.map { [($0.current, "of=\"routes\"")] } ?? [])
            for (status, label) in planes {
                up.add(status.isConnected ? 1 : 0, extra: label)
                let comma = label.isEmpty ? "" : ","
                for (kind, resources) in status.resources.sorted(by: { $0.key < $1.key }) {
                    let labels = "kind=\"\(kind)\"\(comma)\(label)"
                    held.add(Double(resources.count), extra: labels)
                    refused.add(Double(resources.refusedResponses), extra: labels)
                }
                waiting.add(Double(status.waiting.count), extra: label)
            }
            return [up, held, refused, waiting] + Self.families(of: status.identity)
        }
    }
}

extension ControlPlaneMetrics {
    /// What they show of the identity in the mesh; nothing where nobody asks for one.
    private static func families(of identity: ControlPlaneStatus.Identity?) -> [MetricFamily] {
        guard let identity else { return [] }
        var expiry = MetricFamily(
            "mesher_istio_certificate_expiry_timestamp_seconds",
            help: "When the certificate of the mesh ends, in seconds since 1970.", kind: .gauge)
        if let date = identity.expiry { expiry.add(date.timeIntervalSince1970) }
        var renewals = MetricFamily(
            "mesher_istio_certificate_renewals_total",
            help: "Certificates of the mesh that have taken the place of another one.", kind: .counter)
        renewals.add(Double(max(0, identity.certificates - 1)))
        return [expiry, renewals]
    }
}

/// What metrics show of the configuration server.
struct ConfigServerMetrics: Sendable {
    let status: ConfigServerStatus
    let state: ConfigState

    func register(with metrics: MetricsRegistry) {
        metrics.addCollector {
            let status = self.status.current
            let values: [(String, String, Int)] = [
                (
                    "mesher_config_server_up", "Whether the configuration server answered when it was asked last.",
                    status.isReachable ? 1 : 0
                ),
                ("mesher_config_server_settings", "Settings that it has for this sidecar.", status.settings),
                (
                    "mesher_config_server_refused_settings",
                    "Settings with errors, whose keys have kept what they had before.",
                    self.state.current.refused.count
                ),
            ]
            return values.map { name, help, value in
                var family = MetricFamily(name, help: help, kind: .gauge)
                family.add(Double(value))
                return family
            }
        }
    }
}

/// Where files are kept from one start to the next.
enum StateDirectory {
    /// - Parameter configured: What the configuration says; empty for nothing.
    static func path(_ configured: String) -> String {
        if !configured.isEmpty { return configured }
        let environment = ProcessInfo.processInfo.environment
        // systemd gives a list; the first is the service's own.
        if let directory = environment["STATE_DIRECTORY"]?.split(separator: ":").first { return String(directory) }
        if let home = environment["XDG_STATE_HOME"], home.hasPrefix("/") { return "\(home)/mesher" }
        return "\(environment["HOME"] ?? "/var/lib")/.local/state/mesher"
    }
}
