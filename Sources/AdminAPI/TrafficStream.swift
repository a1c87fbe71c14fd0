// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import HTTPTypes
import Hummingbird
import NIOCore
import Serving

/// The traffic document once a second, as server-sent events.
///
/// - Source: WHATWG HTML, server-sent events.
enum TrafficStream {
    /// Watchers at a time.
    static let most = 20

    private static let places = WatcherPlaces(TrafficStream.most)

    /// An answer that goes on until the client leaves or the process stops.
    static func response(_ state: AdminState, isHead: Bool) throws(Refusal) -> Response {
        let headers: HTTPFields = [.contentType: "text/event-stream"]
        if isHead { return Response(status: .ok, headers: headers) }
        let place = try self.places.take()
        return Response(
            status: .ok, headers: headers,
            body: ResponseBody { writer in
                defer { place.leave() }
                while !state.readiness.isStopping, !Task.isCancelled {
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
