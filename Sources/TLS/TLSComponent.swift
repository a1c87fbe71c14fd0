// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging

/// Looks after the files of TLS: whatever has changed is used for the next connection, and nothing that is open ends.
///
/// - Source: promise T3.
package actor TLSComponent: Component {
    private let contexts: TLSContexts
    private let logger: Logger
    private let interval: Duration

    /// A component that keeps `contexts` up to date.
    package init(_ contexts: TLSContexts, interval: Duration = .milliseconds(500), logger: Logger) {
        self.contexts = contexts
        self.interval = interval
        self.logger = logger
    }

    package func run() async throws {
        var watched: [ObjectIdentifier: [FileWatcher]] = [:]
        while !Task.isCancelled {
            let materials = self.contexts.all + self.contexts.secrets.ofFiles
            for material in materials {
                // The first look only learns what is there: it has just been loaded.
                let isNew = watched[ObjectIdentifier(material)] == nil
                let hasChanged = Self.hasChanged(
                    &watched[ObjectIdentifier(material), default: material.tag.files.map { FileWatcher($0) }])
                if hasChanged, !isNew { self.reload(material) }
            }
            let current = Set(materials.map { ObjectIdentifier($0) })
            watched = watched.filter { current.contains($0.key) }
            try await Task.sleep(for: self.interval)
        }
    }

    private static func hasChanged(_ files: inout [FileWatcher]) -> Bool {
        var hasChanged = false
        for index in files.indices where files[index].look() != .unchanged { hasChanged = true }
        return hasChanged
    }

    private func reload(_ material: TLSMaterial) {
        do throws(ConfigProblem) {
            try material.reload()
            self.logger.notice("TLS material renewed", metadata: ["tag": "\(material.tag.name)"])
        } catch {
            self.logger.warning(
                "TLS material not renewed: the old one stays in use",
                metadata: ["tag": "\(material.tag.name)", "problem": "\(error.problem)", "remedy": "\(error.remedy)"])
        }
    }
}

extension TLSContexts {
    /// Shows what is in use.
    package func register(with metrics: MetricsRegistry) {
        guard !self.all.isEmpty else { return }
        metrics.addCollector {
            var expiry = MetricFamily(
                "mesher_tls_certificate_expiry_seconds",
                help: "When the certificate in use ends, in seconds since 1970.", kind: .gauge)
            var failed = MetricFamily(
                "mesher_tls_reload_failed",
                help: "Whether the newest files of a tag are of no use, so that older ones are in use.", kind: .gauge)
            for material in self.all {
                let labels = MetricLabels(["tag": material.tag.name])
                if let seconds = material.expiry { expiry.add(Double(seconds), labels) }
                failed.add(material.hasFailed ? 1 : 0, labels)
            }
            return [expiry, failed]
        }
    }
}
