// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Synchronization

/// The traffic document once a second, as server-sent events.
///
/// - Source: WHATWG HTML, server-sent events.
enum TrafficStream {
    /// Watchers at a time.
    static let most = 20

    private static let watchers = Atomic<Int>(0)

    /// An answer that goes on until the client leaves or the process stops.
    static func response(_ state: AdminState) throws(AdminMistake) -> Response {
        guard Self.watchers.load(ordering: .relaxed) < Self.most else {
            throw AdminMistake(.serviceUnavailable, "\(Self.most) are watching already")
        }
        return Response(
            status: .ok, headers: [.contentType: "text/event-stream"],
            body: ResponseBody { writer in
                Self.watchers.wrappingAdd(1, ordering: .relaxed)
                defer { Self.watchers.wrappingSubtract(1, ordering: .relaxed) }
                while !state.readiness.isDraining, !Task.isCancelled {
                    try await writer.write(try Self.event(state))
                    try await Task.sleep(for: .seconds(1))
                }
                try await writer.finish(nil)
            })
    }

    private static func event(_ state: AdminState) throws -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        var buffer = ByteBuffer(string: "data: ")
        buffer.writeBytes(try encoder.encode(state.document()))
        buffer.writeString("\n\n")
        return buffer
    }
}
