// SPDX-License-Identifier: Apache-2.0

/// What a metric counts, by name and value.
package struct MetricLabels: Sendable, Hashable {
    /// In the order of exposition.
    package let pairs: [Pair]
    /// As expositions write them, without the braces: `name="value",name="value"`.
    package let text: String

    /// One label.
    package struct Pair: Sendable, Hashable {
        /// The label.
        package let name: String
        /// Any text; it is escaped when it is written.
        package let value: String
    }

    /// Sorted by name, so that equal sets are equal.
    package init(_ labels: [String: String] = [:]) {
        self.pairs = labels.sorted { $0.key < $1.key }.map { Pair(name: $0.key, value: $0.value) }
        self.text = self.pairs.map { "\($0.name)=\"\(PrometheusText.escaped($0.value))\"" }.joined(separator: ",")
    }

    /// Equal texts are equal labels.
    package static func == (left: Self, right: Self) -> Bool { left.text == right.text }

    /// Hashes the text.
    package func hash(into hasher: inout Hasher) { hasher.combine(self.text) }

    /// The value of a label; `nil` when there is none.
    package subscript(_ name: String) -> String? { self.pairs.first { $0.name == name }?.value }

    /// The labels of the original's families: the called service, and the tags that chose its instances.
    package static func service(_ name: String, app: String, version: String) -> Self {
        Self(["service_name": name, "app": app, "version": version])
    }
}
