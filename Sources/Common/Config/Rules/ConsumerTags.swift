// SPDX-License-Identifier: Apache-2.0

/// The tags of `tls.yaml` that connections to instances may have.
struct ConsumerTags {
    private let tags: Set<String>
    private let isGlobal: Bool

    init(_ store: ConfigStore) {
        let protocols = ["rest.Consumer", "grpc.Consumer"]
        self.isGlobal = TrafficTLSConfig.isGlobal(store)
        self.tags = TrafficTLSConfig.tags(store).filter { tag in
            protocols.contains { tag == $0 || tag.hasSuffix(".\($0)") }
        }
        .union(self.isGlobal ? protocols : [])
    }

    /// In order.
    var all: [String] { self.tags.sorted() }

    /// Whether something is written for this one.
    func contains(_ tag: String) -> Bool { self.tags.contains(tag) }

    /// Whether there is one for a service; for any where it is not known which service it will be.
    func serve(_ service: String?, _ protocolName: String) -> Bool {
        if self.tags.contains("\(protocolName).Consumer") { return true }
        guard let service else { return self.tags.contains { $0.hasSuffix(".\(protocolName).Consumer") } }
        return self.tags.contains("\(service).\(protocolName).Consumer")
    }
}
