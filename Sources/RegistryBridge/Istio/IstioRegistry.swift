// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
import NIOCore
package import TLS

/// Services and routes as Istio says them.
package struct IstioRegistry: Registry {
    /// What the control plane is asked over.
    package typealias Connect =
        @Sendable (@escaping DiscoveryClient.Receiver, @escaping DiscoveryClient.Versions) -> any ControlPlaneClient

    /// What of a control plane's words counts.
    package struct Part: Sendable {
        let use: RegistryConfig.IstioUse
        let tellsExternalHosts: Bool
        let isIndexing: Bool

        /// - Parameter tellsExternalHosts: Whether it says which external hosts may be called.
        /// - Parameter isIndexing: Whether to know who is at each address, of all services that there are.
        package init(_ use: RegistryConfig.IstioUse, tellsExternalHosts: Bool = false, isIndexing: Bool = false) {
            self.use = use
            self.tellsExternalHosts = tellsExternalHosts
            self.isIndexing = isIndexing
        }

        /// Whether instances are chosen by what subsets select by.
        package var needsLabels: Bool { self.use == .services || self.use == .routes }
    }

    private enum News: Sendable { case names, unsaved }

    private let place: MeshPlace
    private let app: String
    private let part: Part
    private let inbox: Mailbox<RegistryMessage>
    private let mesh: Snapshot<Mesh>
    private let cache: ControlPlaneCache
    private let status: ControlPlaneStatus
    private let secrets: MeshSecrets
    private let subsets: (@Sendable () -> SubsetReader?)?
    private let connect: Connect
    private let logger: Logger

    /// A registry.
    ///
    /// - Parameter node: Who asks, and where from.
    /// - Parameter app: Whose names those of services are.
    /// - Parameter part: What of it counts.
    /// - Parameter inbox: What requests ask for.
    /// - Parameter mesh: What requests have used.
    /// - Parameter status: Where it says what it waits for.
    /// - Parameter secrets: What TLS to endpoints is spoken with.
    /// - Parameter subsets: Makes what asks for the labels of subsets; `nil` where they do not count.
    /// - Parameter cache: What an earlier process has saved, and where this one saves.
    package init(
        _ node: NodeIdentity, app: String, part: Part, inbox: Mailbox<RegistryMessage>, mesh: Snapshot<Mesh>,
        status: ControlPlaneStatus, secrets: MeshSecrets, cache: ControlPlaneCache,
        subsets: (@Sendable () -> SubsetReader?)? = nil, connect: @escaping Connect, logger: Logger
    ) {
        self.place = MeshPlace(namespace: node.namespace, domain: node.domain)
        self.app = app
        self.part = part
        self.inbox = inbox
        self.mesh = mesh
        self.cache = cache
        self.status = status
        self.secrets = secrets
        self.subsets = subsets
        self.connect = connect
        self.logger = logger
    }

    package func follow(_ directory: DirectoryPublisher) async throws {
        let news = Mailbox<News>("istio names", capacity: 1, whenFull: .dropNewest)
        let names = NameBook { _ in news.send(.names) }
        defer { names.use([]) }
        let saves = Mailbox<News>("istio saves", capacity: 1, whenFull: .dropNewest)
        let keeper = IstioKeeper(
            self.place, app: self.app, part: self.part, names: names,
            directory: directory, mesh: self.mesh, status: self.status, secrets: self.secrets, cache: self.cache,
            unsaved: { saves.send(.unsaved) }, logger: self.logger)
        let subsets = self.subsets?()
        let client = self.connect(
            { update in
                let refusals = await keeper.take(update)
                if update.kind == .cluster { await subsets?.want(keeper.subsets, in: self.place) }
                return refusals
            }, { await keeper.held($0) })
        await keeper.begin(client)
        // Those of an earlier process.
        await subsets?.want(keeper.subsets, in: self.place)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await client.run() }
            if let subsets {
                group.addTask { await subsets.run(own: self.place.namespace) { await keeper.take(labels: $0) } }
            }
            group.addTask {
                while !Task.isCancelled {
                    let pause = await keeper.nextTime - .now()
                    let messages = await self.inbox.receiveAll(until: .now + Duration(max(pause, .zero)))
                    await keeper.want(
                        messages.compactMap { if case .serviceWanted(let demand) = $0 { demand } else { nil } })
                }
            }
            group.addTask {
                while await news.receive() != nil { await keeper.namesChanged() }
            }
            group.addTask {
                while await saves.receive() != nil {
                    try? await Task.sleep(for: Duration(await keeper.pauseBeforeSaving))
                    await keeper.save()
                }
            }
            await group.waitForAll()
        }
    }
}
