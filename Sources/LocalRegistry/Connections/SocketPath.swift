// SPDX-License-Identifier: Apache-2.0

/// What a WebSocket is for.
enum SocketPath: Sendable, Equatable {
    /// Tells a service of changes.
    case watcher(project: String, consumer: String)
    /// Renews an instance's lease.
    case heartbeat(project: String, service: String, instance: String)

    /// - Returns: `nil` where no WebSocket is served.
    init?(_ uri: String) {
        let parts = uri.prefix { $0 != "?" }.split(separator: "/").map(String.init)
        guard parts.count >= 6, parts[0] == "v4", parts[2] == "registry", parts[3] == "microservices" else {
            return nil
        }
        switch parts.count {
        case 6 where parts[5] == "watcher": self = .watcher(project: parts[1], consumer: parts[4])
        case 8 where parts[5] == "instances" && parts[7] == "heartbeat":
            self = .heartbeat(project: parts[1], service: parts[4], instance: parts[6])
        default: return nil
        }
    }
}
