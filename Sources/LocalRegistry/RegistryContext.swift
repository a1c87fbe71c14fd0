// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import NIOCore

/// What goes with a request to the registry.
struct RegistryContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    /// The connection that it came on.
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        self.coreContext = CoreRequestContextStorage(source: source)
        self.channel = source.channel
    }
}
