// SPDX-License-Identifier: Apache-2.0

import Common

/// The variables of a sidecar's container.
struct SidecarEnvironment {
    private let pod: Pod
    private let wishes: Wishes
    private let settings: InjectorSettings
    /// The name of the workload whose template this is; `nil` for a pod.
    private let workload: String?

    init(_ pod: Pod, _ wishes: Wishes, _ settings: InjectorSettings, workload: String?) {
        self.pod = pod
        self.wishes = wishes
        self.settings = settings
        self.workload = workload
    }

    /// The variables, each once.
    ///
    /// Those of the pod come first, so that others may refer to them; what the template has wins over what is worked out.
    ///
    /// - Parameter own: Those of the template.
    func variables(_ own: [OrderedJSON]) -> [OrderedJSON] {
        var own = own
        let forced = self.forced
        own.removeAll { variable in forced.contains { $0.0 == variable["name"]?.text } }
        var known = Set(own.compactMap { $0["name"]?.text })
        func missing(_ variables: [(String, OrderedJSON)]) -> [OrderedJSON] {
            variables.compactMap { name, value in
                guard known.insert(name).inserted else { return nil }
                return .object([("name", .string(name))] + value.members)
            }
        }
        return missing(Self.fromPod) + own + missing(forced + self.computed)
    }

    private static func value(_ text: String) -> OrderedJSON { .object([("value", .string(text))]) }

    private static func field(_ path: String) -> OrderedJSON {
        .object([("valueFrom", .object([("fieldRef", .object([("fieldPath", .string(path))]))]))])
    }

    private static var fromPod: [(String, OrderedJSON)] {
        [
            ("POD_NAME", Self.field("metadata.name")), ("POD_NAMESPACE", Self.field("metadata.namespace")),
            ("INSTANCE_IP", Self.field("status.podIP")), ("INSTANCE_IPS", Self.field("status.podIPs")),
            ("HOSTING_SERVER_IP", Self.field("status.hostIP")), ("NODE_NAME", Self.field("spec.nodeName")),
            ("MESHER_ZONE", Self.field("metadata.labels['topology.kubernetes.io/zone']")),
        ]
    }

    /// What wins over the template.
    private var forced: [(String, OrderedJSON)] {
        var forced: [(String, OrderedJSON)] = []
        if let name = self.wishes.serviceName ?? self.label("app") { forced.append(("SERVICE_NAME", Self.value(name))) }
        if let ports = self.wishes.servicePorts { forced.append(("SERVICE_PORTS", Self.value(ports))) }
        if let level = self.wishes.logLevel { forced.append(("logLevel", Self.value(level))) }
        return forced
    }

    private var computed: [(String, OrderedJSON)] {
        let name = self.label("app.kubernetes.io/name") ?? self.workload ?? self.ownersName
        var computed = [("SERVICE_NAME", name.map(Self.value) ?? Self.field("metadata.name"))]
        let type = self.wishes.discoveryType ?? self.settings.discoveryType
        if let version = self.label("version") ?? self.label("app.kubernetes.io/version"),
            type == .pilot || Self.isDotted(version)
        {
            computed.append(("VERSION", Self.value(version)))
        }
        switch type {
        case .sc: computed.append(("CSE_REGISTRY_ADDR", Self.value(self.settings.serviceCenter)))
        case .pilot:
            let registry = "cse_service_registry"
            computed += [
                ("\(registry)_registrator_disabled", Self.value("true")),
                ("\(registry)_serviceDiscovery_type", Self.value(self.settings.pilotType)),
                ("\(registry)_serviceDiscovery_address", Self.value(self.settings.pilot)),
            ]
        }
        // The ports are those that the container declares and the probes ask; the address is the pod's, of either family.
        computed += [
            ("mesher_listenIP", Self.value("$(INSTANCE_IP)")),
            ("cse_protocols_http_listenAddress", Self.value("127.0.0.1:30101")),
            ("cse_protocols_rest-admin_listenAddress", Self.value("127.0.0.1:30102")),
        ]
        // Kubernetes ends the process at the end of the pod's grace; the usual one is 30 s.
        if let grace = self.pod.grace, grace != 30 {
            computed.append(("mesher_timeouts_drain", Self.value("\(max(1, grace - 5))s")))
        }
        let ports = try? self.wishes.servicePorts.map { text throws(ConfigMistake) in try ServicePorts(text) }
        if ports?.ports.contains(where: { $0.name == "grpc" || $0.name.hasPrefix("grpc-") }) ?? false {
            computed.append(("cse_protocols_grpc_listenAddress", Self.value("127.0.0.1:40101")))
        }
        return computed
    }

    private func label(_ name: String) -> String? { self.pod.labels[name].flatMap { $0.isEmpty ? nil : $0 } }

    /// The name of the workload that a controller has made the pod for.
    private var ownersName: String? {
        guard let owner = self.pod.owner else { return nil }
        switch owner.kind {
        case "ReplicaSet":
            guard let hash = self.label("pod-template-hash"), owner.name.hasSuffix("-\(hash)") else {
                return owner.name
            }
            return String(owner.name.dropLast(hash.count + 1))
        case "Job", "StatefulSet", "DaemonSet", "ReplicationController": return owner.name
        default: return nil
        }
    }

    /// Whether service-center takes it for a version.
    private static func isDotted(_ version: String) -> Bool {
        let parts = version.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count <= 4 && parts.allSatisfy { UInt16($0) != nil && $0.allSatisfy(\.isNumber) }
    }
}
