// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOPosix

/// Whether instances are there of which the registry says that they are gone.
extension ServiceCenterRegistry {
    /// How long a connection may take.
    private static let patience = TimeAmount.seconds(1)

    /// Those that take no connection at any of their addresses; all are tried at the same time.
    static func dead(
        among held: [(demand: ServiceDemand, instance: InstanceEntity)], _ hosts: NameBook,
        _ loops: any EventLoopGroup
    ) async -> [(demand: ServiceDemand, id: String)] {
        await withTaskGroup(of: (demand: ServiceDemand, id: String)?.self) { group in
            for (demand, instance) in held {
                group.addTask {
                    let texts = (instance.endpoints ?? []).compactMap { try? EndpointText($0) }
                    // Where nobody knows the addresses yet, nothing could be tried.
                    if texts.contains(where: { $0.address == nil && hosts[$0.host] == nil }) { return nil }
                    let endpoints = texts.flatMap { text in
                        let addresses = text.address == nil ? hosts[text.host] ?? [] : [text.host]
                        return addresses.compactMap { try? Endpoint(text.text(at: $0)) }
                    }
                    if await Self.isTakingConnections(endpoints, loops) { return nil }
                    return (demand, instance.instanceId ?? "")
                }
            }
            var dead: [(demand: ServiceDemand, id: String)] = []
            for await found in group { if let found { dead.append(found) } }
            return dead
        }
    }

    /// Whether somebody accepts connections at one of these within a second.
    static func isTakingConnections(_ endpoints: [Endpoint], _ loops: any EventLoopGroup) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            for endpoint in endpoints {
                group.addTask {
                    let connecting = ClientBootstrap(group: loops).connectTimeout(Self.patience).connect(
                        to: endpoint.address)
                    let connected = try? await connecting.getCancellable { late in late.close(promise: nil) }
                    connected?.close(promise: nil)
                    return connected != nil
                }
            }
            defer { group.cancelAll() }
            for await isTaken in group where isTaken { return true }
            return false
        }
    }
}
