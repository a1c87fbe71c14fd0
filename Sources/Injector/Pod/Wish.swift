// SPDX-License-Identifier: Apache-2.0

/// What the annotations of a pod can say of its sidecar.
package enum Wish: String, Sendable, CaseIterable {
    /// `y` or `yes`: have one.
    case inject
    /// Which control plane: `sc` or `pilot`.
    case discoveryType
    /// The ports of the application.
    case servicePorts
    /// Written by the injector.
    case status
    /// Written by the injector: its version, and that of its template.
    case injector
    /// Whether the sidecar is an init container that goes on.
    case nativeSidecar
    /// Whether application containers get `http_proxy`, or which.
    case proxyEnv
    /// Hosts that are no business of the sidecar's.
    case noProxy
    /// The name of the service.
    case serviceName
    /// The ConfigMap with the sidecar's files.
    case configMap
    /// The image.
    case image
    /// When it is pulled.
    case imagePullPolicy
    /// Requested processor.
    case cpu
    /// Requested memory.
    case memory
    /// The limit of the processor.
    case cpuLimit
    /// The limit of memory.
    case memoryLimit
    /// The level of the sidecar's log.
    case logLevel

    /// What all keys begin with.
    package static let prefix = "sidecar.mesher.io/"

    /// The annotation.
    package var key: String { Self.prefix + self.rawValue }
}

/// A value of an annotation that makes no sense.
package struct BadAnnotation: Error, Sendable, Equatable {
    /// Whose value it is.
    package let wish: Wish
    /// What is wrong, and what to write instead.
    package let problem: String

    /// Begins with the key.
    package var message: String { "\(self.wish.key): \(self.problem)" }
}

/// Words for yes and no.
enum Flag {
    /// `nil` when it is no such word.
    static func read(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "yes", "y", "true", "on": true
        case "no", "n", "false", "off": false
        default: nil
        }
    }
}
