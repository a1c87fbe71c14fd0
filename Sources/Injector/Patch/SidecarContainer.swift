// SPDX-License-Identifier: Apache-2.0

import Common

/// Makes the container of one pod's sidecar out of the template's.
enum SidecarContainer {
    static func json(
        _ template: SidecarTemplate, _ pod: Pod, _ wishes: Wishes, isNative: Bool, workload: String?
    ) -> OrderedJSON {
        var container = template.sidecar
        if let image = wishes.image { container["image"] = .string(image) }
        if let policy = wishes.pullPolicy { container["imagePullPolicy"] = .string(policy) }
        let environment = SidecarEnvironment(pod, wishes, template.settings, workload: workload)
        container["env"] = .array(environment.variables(container["env"]?.elements ?? []))
        container["resources"] = Self.resources(container["resources"], wishes, isShared: pod.hasResources)
        container["restartPolicy"] = isNative ? .string("Always") : nil
        if isNative { container["lifecycle"] = self.lifecycle(container) }
        return container
    }

    /// Has a native sidecar leave when its pod is told to end.
    ///
    /// TERM comes to it only when the application has gone, and others would send requests until then. An exec, since the
    /// admin API would want a token, and the image has no shell. What the template says of it stands. The program is that of
    /// the template or of our image; of another one there is nothing to ask.
    private static func lifecycle(_ container: OrderedJSON) -> OrderedJSON? {
        let present = container["lifecycle"]
        guard present?["preStop"] == nil else { return present }
        let program = container["command"]?.elements.first?.text ?? self.program
        guard program == "mesher" || program.hasSuffix("/mesher") else { return present }
        let command = OrderedJSON.array([.string(program), .string("drain")])
        var lifecycle = present ?? .object([])
        lifecycle["preStop"] = .object([("exec", .object([("command", command)]))])
        return lifecycle
    }

    /// Where `packaging/image` and `packaging/Containerfile` put it.
    private static let program = "/opt/mesher/mesher"

    /// What the pod wishes, besides what the template says.
    ///
    /// - Parameter isShared: Whether the pod has limits for all containers together: those of one may then be too high.
    private static func resources(_ template: OrderedJSON?, _ wishes: Wishes, isShared: Bool) -> OrderedJSON? {
        var requests = isShared ? [] : template?["requests"]?.members ?? []
        var limits = isShared ? [] : template?["limits"]?.members ?? []
        for (name, request, limit) in [("cpu", Wish.cpu, Wish.cpuLimit), ("memory", .memory, .memoryLimit)] {
            if let text = wishes.quantities[request] { Self.set(name, .string(text), in: &requests) }
            if let text = wishes.quantities[limit] { Self.set(name, .string(text), in: &limits) }
            // The API server refuses a request above its limit: what the pod says is meant, and the other one follows.
            guard let least = Self.amount(name, requests), let most = Self.amount(name, limits), most < least else {
                continue
            }
            if wishes.quantities[limit] == nil {
                Self.set(name, requests.first { $0.0 == name }?.1, in: &limits)
            } else {
                Self.set(name, limits.first { $0.0 == name }?.1, in: &requests)
            }
        }
        var resources = template ?? .object([])
        resources["requests"] = requests.isEmpty ? nil : .object(requests)
        resources["limits"] = limits.isEmpty ? nil : .object(limits)
        return resources.members.isEmpty ? nil : resources
    }

    private static func set(_ name: String, _ value: OrderedJSON?, in members: inout [(String, OrderedJSON)]) {
        var object = OrderedJSON.object(members)
        object[name] = value
        members = object.members
    }

    private static func amount(_ name: String, _ members: [(String, OrderedJSON)]) -> Double? {
        switch members.first(where: { $0.0 == name })?.1 {
        case .string(let text), .decimal(let text): Quantity(text)?.amount
        case .number(let number): Double(number)
        default: nil
        }
    }
}
