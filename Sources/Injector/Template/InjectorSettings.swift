// SPDX-License-Identifier: Apache-2.0

/// What holds for all sidecars: `settings` of the template.
package struct InjectorSettings: Sendable {
    /// How a sidecar is placed where a pod does not say.
    package enum Placement: String, Sendable, CaseIterable {
        /// As the cluster can have it.
        case auto
        /// An init container that goes on.
        case yes
        /// One more container.
        case no
    }

    /// The user of the sidecar's container.
    package enum User: Sendable, Equatable {
        /// As the template's container says.
        case asWritten
        /// The cluster's choice, as OpenShift wants it.
        case chosenByCluster
        /// This one.
        case number(Int)
    }

    /// `defaultDiscoveryType`: of pods that do not say.
    package var discoveryType = Wishes.DiscoveryType.sc
    /// `nativeSidecar`.
    package var placement = Placement.auto
    /// `proxyEnv`: whether applications get `http_proxy` where the pod does not say.
    package var setsProxy = false
    /// `noProxy`: hosts for every `no_proxy`.
    package var noProxy: [String] = []
    /// `sc.address`.
    package var serviceCenter = "http://service-center.servicecomb:30100"
    /// `pilot.address`.
    package var pilot = "grpc://istiod.istio-system.svc:15010"
    /// `pilot.type`: that of `serviceDiscovery`.
    package var pilotType = "istio"
    /// `onInvalidAnnotation`: whether a pod with one is denied; else it is ignored with a warning.
    package var deniesMistakes = true
    /// `allowImageOverride`.
    package var allowsImage = true
    /// `extraExcludedNamespaces`: without sidecars, besides those of the cluster itself.
    package var excluded: Set<String> = []
    /// `prometheusAnnotations`: whether pods without any get those that Prometheus looks for.
    package var annotatesPrometheus = false
    /// `runAsUser`: a number, or `none`.
    package var user = User.asWritten

    /// The defaults.
    package init() {}
}
