// SPDX-License-Identifier: Apache-2.0

package import Common

/// Decides whether a pod gets a sidecar, and how.
///
/// Pure: the same pod in the same namespace always becomes the same, whoever asks, and how often.
package struct InjectionPolicy: Sendable {
    /// What is known of the cluster.
    package struct Cluster: Sendable {
        /// The namespace of the injector itself; empty for none.
        package var ownNamespace = ""
        /// The version of the API server; `nil` when it is not known.
        package var version: Version?

        /// Nothing.
        package init() {}
    }

    /// Why a pod is looked at.
    package enum Occasion: Sendable, Equatable {
        /// The API server asks; only an annotation gives it a sidecar.
        case admission
        /// Somebody wants sidecars; an annotation can only object.
        case command
    }

    /// What sidecars are made of.
    package let template: SidecarTemplate
    let cluster: Cluster
    private let build: String
    private let mark: String

    /// - Parameter build: The version of the injector, which pods are marked with.
    package init(_ template: SidecarTemplate, _ cluster: Cluster, build: String = BuildInfo.sourceVersion) {
        self.template = template
        self.cluster = cluster
        self.build = build
        self.mark = "\(build)/\(template.digest)"
    }

    /// The same with another template.
    func with(_ template: SidecarTemplate) -> InjectionPolicy {
        InjectionPolicy(template, self.cluster, build: self.build)
    }

    /// The same for another version of the API server.
    func with(_ version: Version) -> InjectionPolicy {
        var cluster = self.cluster
        cluster.version = version
        return InjectionPolicy(self.template, cluster, build: self.build)
    }

    /// Namespaces of the cluster itself.
    private static let clusterNamespaces: Set<String> = ["kube-system", "kube-public", "kube-node-lease"]

    /// Decides about a pod that is being made.
    ///
    /// - Parameter namespace: Where; what its own metadata say may be empty.
    /// - Parameter workload: The name of what the pod is a template of; `nil` for a pod.
    package func decide(
        _ pod: Pod, namespace: String, occasion: Occasion = .admission, workload: String? = nil
    ) -> Decision {
        let decision = self.decided(pod, namespace, occasion, workload)
        guard decision.patch.isTooLong else { return decision }
        return Self.denied(
            .patchTooLong,
            "more than \(PodPatch.longest) bytes would be added to this pod; shorten \(Wish.noProxy.key), or name fewer "
                + "containers in \(Wish.proxyEnv.key)")
    }

    /// The same, however much would be added.
    private func decided(_ pod: Pod, _ namespace: String, _ occasion: Occasion, _ workload: String?) -> Decision {
        if let refusal = self.unasked(pod, occasion) { return refusal }
        let wishes = Wishes(pod, allowsImage: self.template.settings.allowsImage)
        if let present = self.present(pod, wishes) { return present }
        if let refusal = self.hindrance(pod, namespace) { return refusal }
        if let mistake = wishes.mistakes.first, self.template.settings.deniesMistakes {
            return Self.denied(.invalidAnnotation, mistake.message)
        }
        return self.injected(pod, wishes, workload)
    }

    private static func denied(_ reason: Decision.Reason, _ message: String) -> Decision {
        var decision = Decision(.denied, reason)
        decision.message = message
        return decision
    }

    // MARK: Rules

    /// Rule 2.
    private func unasked(_ pod: Pod, _ occasion: Occasion) -> Decision? {
        let text = pod.annotations[Wish.inject.key]
        if text == nil, occasion == .command { return nil }
        let word = (text ?? "").lowercased()
        if word == "y" || word == "yes" { return nil }
        var decision = Decision(.skipped, .notAsked)
        if Flag.read(word) == true || ["enabled", "enable", "1"].contains(word) {
            decision.warnings.append("\(Wish.inject.key): \"\(word)\" does not inject a sidecar; write yes")
        }
        decision.warnings += Self.unknown(pod)
        return decision
    }

    private static func unknown(_ pod: Pod) -> [String] {
        Wishes.unknown(in: pod.annotations).map { key, meant in
            "\(key): nobody reads this annotation" + (meant.map { "; did you mean \($0)?" } ?? "")
        }
    }

    /// Rule 3.
    private func present(_ pod: Pod, _ wishes: Wishes) -> Decision? {
        let name = SidecarTemplate.containerName
        let isNative = pod.initContainers.contains { $0.name == name }
        let hasSidecar = isNative || pod.containers.contains { $0.name == name }
        guard hasSidecar || pod.annotations[Wish.status.key]?.lowercased() == "injected" else { return nil }
        var patch = PodPatch()
        if hasSidecar {
            ProxyEnvironmentPatch(pod, wishes, self.template.settings).add(to: &patch, isNative: isNative)
        }
        var decision = Decision(.skipped, patch.operations.isEmpty ? .alreadyInjected : .lateContainers)
        decision.patch = patch
        return decision
    }

    /// Rules 4 to 6.
    private func hindrance(_ pod: Pod, _ namespace: String) -> Decision? {
        let excluded = Self.clusterNamespaces.union(self.template.settings.excluded)
        let found: (Decision.Reason, String)
        if excluded.contains(namespace) || !namespace.isEmpty && namespace == self.cluster.ownNamespace {
            found = (.excludedNamespace, "pods in namespace \(namespace) get no sidecar")
        } else if pod.usesHostNetwork {
            found = (.hostNetwork, "no sidecar with hostNetwork: ports 30101 and 30102 would be the node's")
        } else if pod.isWindows {
            found = (.windows, "no sidecar on Windows")
        } else {
            return nil
        }
        var decision = Decision(.skipped, found.0)
        decision.warnings = ["\(Wish.inject.key): \(found.1)"]
        return decision
    }

    // MARK: The patch

    /// Rule 7.
    private func injected(_ pod: Pod, _ wishes: Wishes, _ workload: String?) -> Decision {
        let isNative = self.isNative(pod, wishes)
        var decision = Decision(.injected, .asked)
        var patch = PodPatch()
        // First, since a native sidecar moves the other init containers.
        ProxyEnvironmentPatch(pod, wishes, self.template.settings).add(to: &patch, isNative: isNative)
        let sidecar = SidecarContainer.json(self.template, pod, wishes, isNative: isNative, workload: workload)
        if isNative {
            patch.prepend(sidecar, to: "/spec/initContainers", present: pod.spec("initContainers"))
        }
        patch.append(
            (isNative ? [] : [sidecar]) + self.template.others, to: "/spec/containers", present: pod.spec("containers"))
        for volume in self.volumes(wishes) {
            let name = volume["name"]?.text ?? ""
            guard let present = pod.spec("volumes")?.elements.first(where: { $0["name"]?.text == name }) else {
                patch.append([volume], to: "/spec/volumes", present: pod.spec("volumes"))
                continue
            }
            guard Self.isSame(volume, present) else {
                return Self.denied(
                    .volumeClash,
                    "spec.volumes: the pod has a volume \(name), and the sidecar needs another one of this name; rename it"
                )
            }
        }
        let secrets = pod.spec("imagePullSecrets")
        let known = secrets?.elements.compactMap { $0["name"]?.text } ?? []
        patch.append(
            self.template.pullSecrets.filter { !known.contains($0) }.map { .object([("name", .string($0))]) },
            to: "/spec/imagePullSecrets", present: secrets)
        self.addMarks(to: &patch, pod)
        decision.patch = patch
        decision.warnings = self.warnings(pod, wishes, isNative)
        return decision
    }

    private func isNative(_ pod: Pod, _ wishes: Wishes) -> Bool {
        if let isNative = wishes.isNative { return isNative }
        switch self.template.settings.placement {
        case .yes: return true
        case .no: return false
        // Nodes may be three versions behind, and know it from 1.29 on. Beside a job anything else never ends.
        case .auto: return pod.ends || self.cluster.version.map { $0 >= Version("1.32") } ?? false
        }
    }

    /// Those of the template, with the ConfigMap that this pod wants.
    private func volumes(_ wishes: Wishes) -> [OrderedJSON] {
        self.template.volumes.map { volume in
            guard volume["name"]?.text == SidecarTemplate.configurationVolume, var map = volume["configMap"] else {
                return volume
            }
            let type = wishes.discoveryType ?? self.template.settings.discoveryType
            if let name = wishes.configMap {
                map["name"] = .string(name)
            } else if type == .pilot, map["name"]?.text == SidecarTemplate.configurationMap {
                map["name"] = .string(SidecarTemplate.pilotConfigurationMap)
            }
            if map["optional"] == nil { map["optional"] = .bool(true) }
            var changed = volume
            changed["configMap"] = map
            return changed
        }
    }

    /// Whether a volume of the pod is the one that the sidecar needs; the API server adds defaults.
    private static func isSame(_ volume: OrderedJSON, _ present: JSONValue) -> Bool {
        volume.isPart(of: present)
            && present.members.allSatisfy { member in volume[member.name] != nil || member.value.isNull }
    }

    private func addMarks(to patch: inout PodPatch, _ pod: Pod) {
        patch.require("/metadata", present: pod.json["metadata"])
        var annotations = [(Wish.status.key, "injected"), (Wish.injector.key, self.mark)]
        annotations += self.template.annotations.filter { pod.annotations[$0.0] == nil }
        if self.template.settings.annotatesPrometheus,
            !pod.annotations.keys.contains(where: { $0.hasPrefix("prometheus.io/") })
        {
            annotations += [
                ("prometheus.io/scrape", "true"), ("prometheus.io/port", "30102"),
                ("prometheus.io/path", "/v1/mesher/metrics"),
            ]
        }
        // By which what monitors sidecars finds them.
        var labels = [("\(Wish.prefix)injected", "true")]
        labels += self.template.labels
        patch.set(Self.texts(annotations), in: "/metadata/annotations", present: pod.metadata("annotations"))
        patch.set(
            Self.texts(labels.filter { pod.labels[$0.0] == nil }), in: "/metadata/labels",
            present: pod.metadata("labels"))
    }

    /// The first of each name.
    private static func texts(_ pairs: [(String, String)]) -> [(String, OrderedJSON)] {
        var known: Set<String> = []
        return pairs.filter { known.insert($0.0).inserted }.map { ($0.0, .string($0.1)) }
    }

    private func warnings(_ pod: Pod, _ wishes: Wishes, _ isNative: Bool) -> [String] {
        var warnings = wishes.mistakes.map { "\($0.message) (ignored)" } + Self.unknown(pod)
        if pod.ends, !isNative {
            warnings.append("the pod never ends with this sidecar; \(Wish.nativeSidecar.key): yes lets it")
        }
        for container in pod.containers + pod.initContainers {
            for port in container.ports where port == 30101 || port == 30102 {
                warnings.append("container \(container.name) declares port \(port), which the sidecar takes")
            }
        }
        return warnings
    }
}
