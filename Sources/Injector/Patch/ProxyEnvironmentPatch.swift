// SPDX-License-Identifier: Apache-2.0

import Common

/// The variables that have an application call others through its sidecar.
struct ProxyEnvironmentPatch {
    private let pod: Pod
    private let hosts: String
    private let environment: Wishes.ProxyEnvironment

    init(_ pod: Pod, _ wishes: Wishes, _ settings: InjectorSettings) {
        self.pod = pod
        self.environment = wishes.proxyEnvironment ?? (settings.setsProxy ? .all : .none)
        var hosts = Self.hosts
        for host in settings.noProxy + wishes.noProxy where !hosts.contains(host) { hosts.append(host) }
        self.hosts = hosts.joined(separator: ",")
    }

    private static let address = "http://127.0.0.1:30101"
    /// This machine, the metadata of clouds, and the API server.
    ///
    /// Not the domain of the cluster: full names of services would pass the mesh by.
    private static let hosts = [
        "127.0.0.1", "localhost", "::1", "169.254.169.254", "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local", "$(KUBERNETES_SERVICE_HOST)",
    ]

    /// Adds them where they are wanted and missing.
    ///
    /// - Parameter isNative: Whether the sidecar is there before init containers run.
    func add(to patch: inout PodPatch, isNative: Bool) {
        let containers = self.pod.containers + (isNative ? self.pod.initContainers : [])
        for container in containers where container.name != SidecarTemplate.containerName {
            guard self.environment.includes(container.name) else { continue }
            let known = container.variables
            guard known.isDisjoint(with: ["http_proxy", "HTTP_PROXY"]) else { continue }
            // Some programs read the one spelling, and some the other.
            let variables = [
                ("http_proxy", Self.address), ("HTTP_PROXY", Self.address), ("no_proxy", self.hosts),
                ("NO_PROXY", self.hosts),
            ]
            let missing = variables.filter { !known.contains($0.0) }.map { name, value in
                OrderedJSON.object([("name", .string(name)), ("value", .string(value))])
            }
            patch.append(missing, to: "\(container.path)/env", present: container.json["env"])
        }
    }
}
