// SPDX-License-Identifier: Apache-2.0
// request path

package import Common

/// What one event loop knows of the work of one instance.
package final class EndpointLoad {
    /// The instance; kept alive, so that its identity is not given to another one.
    package let endpoint: Endpoint
    /// Where it stands on a ring.
    private(set) lazy var ringSeed = HashRing.seed(of: self.endpoint.description)
    /// Requests of this loop that it has not answered.
    package var outstanding = 0
    /// How long its answers take.
    package var latency = PeakEWMA()
    /// The same for those who go by means.
    package var latest = LatestLatencies()
    /// Its circuit, where instances have their own; filled in by whoever asks for it first.
    package var circuit: Circuit?
    /// The circuits that `circuit` was taken from: others govern after a reload.
    package var circuits: InstanceCircuits?

    /// Whether it was said that the instance is this sidecar.
    package var isReported = false

    /// Counts what is sent there.
    package let shard: EndpointShard

    init(_ endpoint: Endpoint, _ shard: EndpointShard) {
        self.endpoint = endpoint
        self.shard = shard
    }
}
