// SPDX-License-Identifier: Apache-2.0

/// What becomes of a pod, and why.
package struct Decision: Sendable {
    /// What becomes of it.
    package enum Result: String, Sendable, CaseIterable {
        /// It gets a sidecar.
        case injected
        /// It is left as it is, but for variables of containers that came later.
        case skipped
        /// It may not be.
        case denied
    }

    /// Why, as metrics and logs have it.
    package enum Reason: String, Sendable, CaseIterable {
        /// It is no pod that is being made.
        case notAPod = "not_a_new_pod"
        /// No annotation asks for a sidecar.
        case notAsked = "not_asked"
        /// It has one.
        case alreadyInjected = "already_injected"
        /// It has one, and containers that came later get their variables.
        case lateContainers = "late_containers"
        /// Its namespace has no sidecars.
        case excludedNamespace = "excluded_namespace"
        /// It shares the network of its node.
        case hostNetwork = "host_network"
        /// It is for Windows.
        case windows
        /// An annotation asks for a sidecar.
        case asked
        /// The value of an annotation makes no sense.
        case invalidAnnotation = "invalid_annotation"
        /// A volume of the pod has the name of one of the sidecar's.
        case volumeClash = "volume_clash"
        /// More than ``PodPatch/longest`` would be added to it.
        case patchTooLong = "patch_too_long"

        /// The number of the rule, in the order in which they are asked.
        package var rule: Int {
            switch self {
            case .notAPod: 1
            case .notAsked: 2
            case .alreadyInjected, .lateContainers: 3
            case .excludedNamespace: 4
            case .hostNetwork: 5
            case .windows: 6
            case .asked, .invalidAnnotation, .volumeClash, .patchTooLong: 7
            }
        }
    }

    /// What becomes of it.
    package let result: Result
    /// Why.
    package let reason: Reason
    /// What is changed; nothing unless it is injected, or has containers that came later.
    package var patch = PodPatch()
    /// What whoever makes the pod is told: one line each.
    package var warnings: [String] = []
    /// Why it may not be; empty when it may.
    package var message = ""

    init(_ result: Result, _ reason: Reason) {
        self.result = result
        self.reason = reason
    }

    /// What is no pod that is being made.
    package static var notAPod: Decision { Decision(.skipped, .notAPod) }
}
