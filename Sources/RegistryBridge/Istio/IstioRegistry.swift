// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
import NIOCore

/// Services and routes as Istio says them.
package struct IstioRegistry: Registry {
    /// What the control plane is asked over.
    package typealias Connect =
        @Sendable (@escaping DiscoveryClient.Receiver, @escaping DiscoveryClient.Versions) -> DiscoveryClient

    private enum News: Sendable { case names }

    private let place: MeshPlace
    private let app: String
    private let inbox: Mailbox<RegistryMessage>
    private let mesh: Snapshot<Mesh>
    private let connect: Connect
    private let logger: Logger

    /// A registry.
    ///
    /// - Parameter node: Who asks, and where from.
    /// - Parameter app: Whose names those of services are.
    /// - Parameter inbox: What requests ask for.
    /// - Parameter mesh: What requests have used.
    package init(
        _ node: NodeIdentity, app: String, inbox: Mailbox<RegistryMessage>, mesh: Snapshot<Mesh>,
        connect: @escaping Connect, logger: Logger
    ) {
        self.place = MeshPlace(namespace: node.namespace, domain: node.domain)
        self.app = app
        self.inbox = inbox
        self.mesh = mesh
        self.connect = connect
        self.logger = logger
    }

    package func follow(_ directory: DirectoryPublisher) async throws {
        let news = Mailbox<News>("istio names", capacity: 1, whenFull: .dropNewest)
        let names = NameBook { _ in news.send(.names) }
        defer { names.use([]) }
        let keeper = IstioKeeper(
            self.place, app: self.app, names: names, directory: directory, mesh: self.mesh, logger: self.logger)
        let client = self.connect({ await keeper.take($0) }, { await keeper.held($0) })
        await keeper.begin(client)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await client.run() }
            group.addTask {
                while !Task.isCancelled {
                    let messages = await self.inbox.receiveAll(until: .now + Duration(IstioKeeper.pace))
                    await keeper.want(
                        messages.compactMap { if case .serviceWanted(let demand) = $0 { demand } else { nil } })
                }
            }
            group.addTask {
                while await news.receive() != nil { await keeper.namesChanged() }
            }
            await group.waitForAll()
        }
    }
}
