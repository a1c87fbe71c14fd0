// SPDX-License-Identifier: Apache-2.0

import Common

/// Where all parts of `mesher dev` listen, and what each sidecar is configured with.
///
/// Chosen once: while the process runs the file may change, and the ports stay.
struct DevPlan: Sendable {
    /// The ports of one sidecar.
    struct Ports: Sendable {
        /// Of 127.0.0.1 for outgoing requests, and of 127.0.0.2 for incoming ones.
        let http: Int
        /// The same for gRPC.
        let grpc: Int
        /// Of its admin API.
        let admin: Int
    }

    /// A sidecar.
    struct Sidecar: Sendable {
        let id: DevFile.Instance.ID
        let ports: Ports
        /// Where the service is named.
        let location: ConfigLocation
    }

    /// The path of the file.
    let path: String
    /// Where the sidecars keep what they keep.
    let stateDirectory: String
    /// In the order of the file.
    let sidecars: [Sidecar]
    /// The port of the registry.
    let registry: Int
    /// The port of the page.
    let page: Int
    /// Ports that the file names and others have.
    let problems: [ConfigProblem]

    /// Where free ports are looked for: in blocks of ten, each sidecar in one, so that they are the same the next time.
    private static let firstBlock = 30_110
    private static let block = 10

    /// A plan for a file.
    ///
    /// - Parameter isFree: Whether a port of an address can be listened on.
    init(_ file: DevFile, path: String, stateDirectory: String, isFree: (_ host: String, _ port: Int) -> Bool) {
        var chosen = Set(file.taken.keys)
        var problems: [ConfigProblem] = []
        /// The first port from `start` on, a block apart, that is free together with its neighbours.
        func find(_ start: Int, neighbours: Int, _ hosts: [String]) -> Int {
            var port = start
            while port + neighbours <= 65_535 {
                let all = port...port + neighbours
                if !all.contains(where: chosen.contains),
                    all.allSatisfy({ port in hosts.allSatisfy { isFree($0, port) } })
                {
                    chosen.formUnion(all)
                    return port
                }
                port += Self.block
            }
            return 0
        }
        func check(_ asked: (port: Int, location: ConfigLocation)?, _ key: String, _ hosts: [String]) {
            guard let asked, let host = hosts.first(where: { !isFree($0, asked.port) }) else { return }
            problems.append(
                ConfigProblem(
                    at: asked.location, key: key, "port \(asked.port) of \(host) is taken",
                    remedy: "free it, write another, or leave it out"))
        }
        check(file.registry, "registry", ["127.0.0.1"])
        check(file.page, "page", ["127.0.0.1"])
        self.registry = file.registry?.port ?? find(30_100, neighbours: 0, ["127.0.0.1"])
        self.page = file.page?.port ?? find(30_102, neighbours: 0, ["127.0.0.1"])
        let both = ["127.0.0.1", "127.0.0.2"]
        self.sidecars = file.instances.map { instance in
            check(instance.outgoing, "services.\(instance.id.service).outgoing", both)
            let start = find(Self.firstBlock, neighbours: 2, both)
            let ports = Ports(http: instance.outgoing?.port ?? start, grpc: start + 1, admin: start + 2)
            return Sidecar(id: instance.id, ports: ports, location: instance.location)
        }
        self.path = path
        self.stateDirectory = stateDirectory
        self.problems = problems
    }

    /// What the configuration of a sidecar is read by.
    ///
    /// - Parameter environment: What placeholders stand for.
    /// - Parameter isStrict: Whether an unknown key is an error.
    func loader(of sidecar: Sidecar, environment: [String: String], isStrict: Bool = false) -> ConfigLoader {
        let share = ConfigLoader.Share(of: self.path) { self.contents(of: $0, for: sidecar) }
        return ConfigLoader(share, environment: environment, isStrict: isStrict)
    }

    /// What the file, as it is now, is for a sidecar.
    private func contents(of tree: ConfigTree, for sidecar: Sidecar) -> ConfigLoader.Share.Contents {
        let file = DevFile(tree)
        var contents = ConfigLoader.Share.Contents()
        contents.problems = file.problems + self.changes(file, for: sidecar)
        contents.instances = file.instances.map(\.known)
        let instance = file.instances.first { $0.id == sidecar.id }
        contents.sources = [
            Self.written(instance, file.rules, sidecar.ports), self.set(sidecar, instance), Self.usual,
        ]
        return contents
    }

    /// Services that have come or gone since the start; one of the sidecars says it for all.
    private func changes(_ file: DevFile, for sidecar: Sidecar) -> [ConfigProblem] {
        guard sidecar.id == self.sidecars.first?.id else { return [] }
        let (before, now) = (self.sidecars.map(\.id), file.instances.map(\.id))
        let new = file.instances.filter { !before.contains($0.id) }
        let gone = self.sidecars.filter { !now.contains($0.id) }
        return
            (new.map { ($0.id, $0.location, "is new") }
            + gone.map { ($0.id, ConfigLocation(self.path), "is no longer there") })
            .map { id, location, what in
                ConfigProblem(
                    .warning, at: location, key: "services.\(id.service)", "a service that \(what)",
                    remedy: "start mesher dev again")
            }
    }

    /// What the file says of an instance and its sidecar.
    private static func written(_ instance: DevFile.Instance?, _ rules: ConfigTree?, _ ports: Ports) -> ConfigSource {
        var source = ConfigSource(.files)
        if let instance {
            if let version = instance.version { source.add("service_description.version", version) }
            if let (list, location) = instance.ports { source.add("mesher.servicePorts", .text(list.text, location)) }
            if let (port, location) = instance.outgoing {
                source.add(Self.http, .text(Self.address(port, isCalled: instance.ports != nil), location))
            }
            if let health = instance.health, let path = health.text, let port = instance.ports?.list["rest"] {
                source.add("localHealthCheck", Self.check(path, port, health.location))
            }
            for (key, value) in instance.config?.flattened() ?? [] { source.add(key, value) }
        }
        // What a service says for itself counts more, and is no contradiction.
        for (key, value) in rules?.flattened() ?? [] where ConfigStore([source]).entry(key) == nil {
            source.add(key, value)
        }
        return source
    }

    /// What this command decides.
    private func set(_ sidecar: Sidecar, _ instance: DevFile.Instance?) -> ConfigSource {
        var source = ConfigSource(.memory)
        let isCalled = instance.map { $0.ports != nil } ?? true
        var values = [
            "cse.service.registry.address": "http://127.0.0.1:\(self.registry)",
            "service_description.name": sidecar.id.service,
            "cse.protocols.grpc.listenAddress": Self.address(sidecar.ports.grpc, isCalled: isCalled),
            "cse.protocols.rest-admin.listenAddress": "127.0.0.1:\(sidecar.ports.admin)",
            "mesher.stateDirectory": self.stateDirectory,
        ]
        if instance?.outgoing == nil { values[Self.http] = Self.address(sidecar.ports.http, isCalled: isCalled) }
        for (key, value) in values { source.add(key, .text(value, sidecar.location)) }
        return source
    }

    /// What holds unless the file says something else: one machine, and a person who waits.
    private static let usual: ConfigSource = {
        var source = ConfigSource(.fallback)
        for (key, value) in [
            "mesher.workers": "1", "mesher.timeouts.farewell": "0s", "mesher.timeouts.drain": "5s",
            "mesher.egress.routeByHost": "true", "cse.service.registry.watch": "true",
        ] {
            source.add(key, .text(value, ConfigLocation("mesher dev")))
        }
        return source
    }()

    private static let http = "cse.protocols.http.listenAddress"

    /// Who is called by others listens for them on another loopback address, as on another machine.
    private static func address(_ port: Int, isCalled: Bool) -> String {
        "\(isCalled ? "127.0.0.2" : "127.0.0.1"):\(port)"
    }

    private static func check(_ path: String, _ port: UInt16, _ location: ConfigLocation) -> ConfigTree {
        let values = [("port", "\(port)"), ("protocol", "rest"), ("uri", path), ("interval", "1s")]
        let entries = values.map {
            ConfigTree.Entry(key: $0, location: location, value: .text($1, location))
        }
        return .list([.map(entries, location)], location)
    }
}
