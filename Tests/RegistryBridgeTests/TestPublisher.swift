// SPDX-License-Identifier: Apache-2.0

import Common
import NIOPosix
import TestSupport

@testable import RegistryBridge

/// A registry's way to a mesh of which it is the only source, and the mesh.
struct TestPublisher: Sendable {
    let source = MeshSource(
        "test", place: 0, part: .empty, inbox: Mailbox("mesh", capacity: 1, whenFull: .dropNewest))

    /// Where the registry publishes.
    var publisher: DirectoryPublisher {
        DirectoryPublisher(
            self.source, sharing: Snapshot(Mesh(.empty, .plain), on: MultiThreadedEventLoopGroup.singleton),
            ownApp: "shop")
    }

    /// What it has published last.
    var current: ServiceDirectory { self.source.part }
}
