// SPDX-License-Identifier: Apache-2.0

import IstioMessages
import SwiftProtobuf

/// What one stream to the control plane says: pure, messages in and messages out, in one of the two forms of the protocol.
///
/// A value lives as long as its stream: nonces and accepted versions mean nothing on another one.
protocol DiscoveryStream: Sendable {
    associatedtype Request: SwiftProtobuf.Message

    /// The method of `AggregatedDiscoveryService` that the stream is a call of.
    static var method: String { get }

    /// The first request of every kind that something is wanted of, in order.
    ///
    /// - Parameter wanted: Names by kind; clusters need none, as all are wanted.
    /// - Parameter versions: What is held from streams before: versions by name.
    mutating func begin(_ wanted: [ResourceKind: Set<String>], versions: [ResourceKind: [String: String]]) -> [Request]

    /// What to say when these names of a kind are wanted from now on; `nil` for nothing.
    mutating func want(_ names: Set<String>, of kind: ResourceKind) -> Request?

    /// Reads a response, which ``answer(_:_:)`` has to follow.
    ///
    /// - Returns: `nil` for a kind that nobody has asked for.
    /// - Throws: When the bytes are no response.
    mutating func read(_ bytes: [UInt8]) throws -> ReadResponse?

    /// The acknowledgement of a response, and what had to wait for it.
    ///
    /// - Parameter refusals: What was not taken; nothing accepts the response.
    mutating func answer(_ response: ReadResponse, _ refusals: [ResourceRefusal]) -> [Request]
}

/// A response, and what its answer has to repeat.
struct ReadResponse: Sendable, Equatable {
    let update: ResourceUpdate
    let version: String
    let nonce: String
}

extension XDSStatus {
    /// Says what is refused, and why.
    init(_ refusals: [ResourceRefusal]) {
        self.init()
        // INVALID_ARGUMENT.
        self.code = 3
        let (first, more) = ResourceRefusal.first(refusals)
        let texts = first.map { "\($0.name): \($0.reason)" } + (more > 0 ? ["and \(more) more"] : [])
        self.message = texts.joined(separator: "; ")
    }
}
