// SPDX-License-Identifier: Apache-2.0

import Common

/// What a pod asks for by annotations, read and checked.
///
/// An annotation without a value is as good as none.
package struct Wishes: Sendable {
    /// Which control plane the sidecar asks.
    package enum DiscoveryType: String, Sendable, CaseIterable {
        /// ServiceComb service-center.
        case sc
        /// Istio.
        case pilot
    }

    /// Which containers of the application get the variables of a proxy.
    enum ProxyEnvironment: Sendable, Equatable {
        case none
        case all
        case some(Set<String>)

        func includes(_ name: String) -> Bool {
            switch self {
            case .none: false
            case .all: true
            case .some(let names): names.contains(name)
            }
        }
    }

    private(set) var discoveryType: DiscoveryType?
    private(set) var servicePorts: String?
    private(set) var isNative: Bool?
    private(set) var proxyEnvironment: ProxyEnvironment?
    private(set) var noProxy: [String] = []
    private(set) var serviceName: String?
    private(set) var configMap: String?
    private(set) var image: String?
    private(set) var pullPolicy: String?
    private(set) var quantities: [Wish: String] = [:]
    private(set) var logLevel: String?
    /// What makes no sense, in the order of the annotations' list.
    package private(set) var mistakes: [BadAnnotation] = []

    /// Bytes of one annotation at most: who makes a pod decides how long all others wait for theirs.
    private static let longest = 4096

    /// The wishes of a pod.
    ///
    /// - Parameter allowsImage: Whether a pod may choose the image.
    package init(_ pod: Pod, allowsImage: Bool) {
        func read<Value>(_ wish: Wish, _ parse: (String) throws(ConfigMistake) -> Value) -> Value? {
            guard let text = pod.annotations[wish.key]?.trimmed, !text.isEmpty else { return nil }
            guard text.utf8.count <= Self.longest else {
                self.mistakes.append(
                    BadAnnotation(wish: wish, problem: "it is longer than \(Self.longest) bytes; shorten it"))
                return nil
            }
            do throws(ConfigMistake) {
                return try parse(text)
            } catch {
                self.mistakes.append(BadAnnotation(wish: wish, problem: "\(error.problem); \(error.remedy)"))
                return nil
            }
        }
        self.discoveryType = read(.discoveryType) { text throws(ConfigMistake) in
            guard let type = DiscoveryType(rawValue: text.lowercased()) else {
                throw ConfigMistake("\"\(text)\" is no type of discovery", remedy: "write sc or pilot")
            }
            return type
        }
        self.servicePorts = read(.servicePorts) { text throws(ConfigMistake) in
            guard try !ServicePorts(text).ports.isEmpty else {
                throw ConfigMistake("[\(text)] is invalid", remedy: "write protocol:port, such as rest:8080")
            }
            return text
        }
        self.isNative = read(.nativeSidecar) { text throws(ConfigMistake) in try Self.flag(text) }
        self.proxyEnvironment = read(.proxyEnv) { text throws(ConfigMistake) in try Self.proxyEnvironment(text, pod) }
        self.noProxy = read(.noProxy) { text throws(ConfigMistake) in try Self.hosts(text) } ?? []
        self.serviceName = read(.serviceName) { text throws(ConfigMistake) in
            guard text.count <= 128,
                text.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) })
            else {
                throw ConfigMistake("\"\(text)\" is no name of a service", remedy: "write letters, digits, -, _ and .")
            }
            return text
        }
        self.configMap = read(.configMap) { text throws(ConfigMistake) in
            guard Names.isSubdomain(text) else {
                throw ConfigMistake("\"\(text)\" is no name of a ConfigMap", remedy: "write that of one")
            }
            return text
        }
        self.image = read(.image) { text throws(ConfigMistake) in
            guard allowsImage else {
                throw ConfigMistake("pods may not choose the image here", remedy: "remove the annotation")
            }
            guard !text.contains(where: { $0.isWhitespace || !$0.isASCII }) else {
                throw ConfigMistake("\"\(text)\" is no name of an image", remedy: "write that of one")
            }
            return text
        }
        self.pullPolicy = read(.imagePullPolicy) { text throws(ConfigMistake) in
            let policies = ["Always", "IfNotPresent", "Never"]
            guard let policy = policies.first(where: { $0.lowercased() == text.lowercased() }) else {
                throw ConfigMistake("\"\(text)\" is no policy", remedy: "write \(policies.joined(separator: ", or "))")
            }
            return policy
        }
        for wish in [Wish.cpu, .memory, .cpuLimit, .memoryLimit] {
            self.quantities[wish] = read(wish) { text throws(ConfigMistake) in
                guard let quantity = Quantity(text), quantity.amount > 0 else {
                    let example = wish == .cpu || wish == .cpuLimit ? "100m" : "64Mi"
                    throw ConfigMistake("\"\(text)\" is no quantity above zero", remedy: "write one such as \(example)")
                }
                return text
            }
        }
        for (request, limit) in [(Wish.cpu, Wish.cpuLimit), (.memory, .memoryLimit)] {
            guard let least = self.quantities[request].flatMap(Quantity.init),
                let most = self.quantities[limit].flatMap(Quantity.init), most.amount < least.amount
            else { continue }
            self.quantities[limit] = nil
            self.mistakes.append(
                BadAnnotation(
                    wish: limit, problem: "the limit is below what \(request.key) asks for; write a higher one"))
        }
        self.logLevel = read(.logLevel) { text throws(ConfigMistake) in
            let levels = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
            guard levels.contains(text.uppercased()) else {
                throw ConfigMistake("\"\(text)\" is no level", remedy: "write one of \(levels.joined(separator: ", "))")
            }
            return text.uppercased()
        }
    }

    private static func flag(_ text: String) throws(ConfigMistake) -> Bool {
        guard let flag = Flag.read(text) else {
            throw ConfigMistake("\"\(text)\" is neither yes nor no", remedy: "write yes or no")
        }
        return flag
    }

    private static func proxyEnvironment(_ text: String, _ pod: Pod) throws(ConfigMistake) -> ProxyEnvironment {
        if let flag = Flag.read(text) { return flag ? .all : .none }
        let names = text.split(separator: ",").map(\.trimmed).filter { !$0.isEmpty }
        let known = Set((pod.containers + pod.initContainers).map(\.name))
        if let unknown = names.first(where: { !known.contains($0) }) {
            throw ConfigMistake(
                "\"\(unknown)\" is neither yes nor no, nor a container of the pod",
                remedy: "write yes, no, or names of containers with commas between them")
        }
        return .some(Set(names))
    }

    /// Hosts with commas between them.
    static func hosts(_ text: String) throws(ConfigMistake) -> [String] {
        let hosts = text.split(separator: ",").map(\.trimmed).filter { !$0.isEmpty }
        if let host = hosts.first(where: { $0.contains { $0.isWhitespace || !$0.isASCII } }) {
            throw ConfigMistake("\"\(host)\" is no host", remedy: "write hosts with commas between them")
        }
        return hosts
    }

    /// Keys of the injector's own that nobody reads, in their order, each with the one that was meant.
    static func unknown(in annotations: [String: String]) -> [(key: String, meant: String?)] {
        let known = Wish.allCases.map(\.rawValue)
        return annotations.keys.filter { $0.hasPrefix(Wish.prefix) }.sorted().compactMap { key in
            let name = String(key.dropFirst(Wish.prefix.count))
            return known.contains(name) ? nil : (key, Spelling.nearest(to: name, among: known).map { Wish.prefix + $0 })
        }
    }
}
