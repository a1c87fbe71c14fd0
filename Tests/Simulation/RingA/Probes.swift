// SPDX-License-Identifier: Apache-2.0

import Common
@testable import Proxy

extension RingWorld {
    /// The first stage: hears how the call has ended.
    struct FrontProbe: Stage {
        static let name = "front-probe"
        private unowned let world: RingWorld

        init(_ world: RingWorld) { self.world = world }

        func onRequest(_ exchange: inout Exchange) -> Verdict { .proceed }
        func onFinish(_ exchange: inout Exchange) { self.world.ended(&exchange) }
    }

    /// Behind the choice of an instance: hears how each try has ended.
    struct TryProbe: Stage {
        static let name = "try-probe"
        private unowned let world: RingWorld

        init(_ world: RingWorld) { self.world = world }

        func onRequest(_ exchange: inout Exchange) -> Verdict {
            self.world.entered(&exchange)
            return .proceed
        }
        func onFinish(_ exchange: inout Exchange) { self.world.finished(&exchange) }
    }

    /// The same for copies, which are tried once.
    struct MirrorProbe: Stage {
        static let name = "mirror-probe"
        private unowned let world: RingWorld

        init(_ world: RingWorld) { self.world = world }

        func onRequest(_ exchange: inout Exchange) -> Verdict {
            self.world.enteredMirror(&exchange)
            return .proceed
        }
    }

    /// Where CONNECT leads: what stands for the stage that finds external hosts, whose names only a resolver knows.
    struct TunnelStage: Stage {
        static let name = "tunnel"
        private static let endpoint = Endpoint(loopbackPort: 443, protocolName: "rest")

        func onRequest(_ exchange: inout Exchange) -> Verdict {
            exchange.endpoint = Self.endpoint
            return .proceed
        }
    }
}
