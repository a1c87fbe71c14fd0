// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore
import Serving

/// Requests as they end, a line of JSON each: what `mesher tap` shows.
///
/// An empty line is written at once, when nothing is missed any more, and twice a second while nothing happens: so a client that
/// has gone is noticed. While one does not read, nothing is fetched for it, and the event loops count what they drop.
enum TapStream {
    /// Watchers at a time: under load each costs a look at every request.
    static let most = 4
    /// The most requests that can be asked for.
    static let mostRequests = 1_000_000
    static let type = "application/x-ndjson"
    static let queries: [ServedEndpoint.Query] = [
        .init("service", "Calls of this service, or from it; without it all."),
        .init("status", "A status such as 404, a class such as 5xx, or several with commas between them."),
        .init("path", "How the path begins."),
        .init("count", "After how many requests the answer ends."),
    ]

    private static let places = WatcherPlaces(TapStream.most)
    /// Time between two looks.
    private static let pause = Duration.milliseconds(100)
    /// Looks after which there is a sign of life.
    private static let looksPerSign = 5

    /// An answer that goes on until it has `count` requests, the client leaves or the process stops.
    static func response(_ state: AdminState, _ request: Request) throws(Refusal) -> Response {
        let (filter, count) = try Self.question(request.uri, own: state.identity.name)
        let headers: HTTPFields = [.contentType: Self.type]
        if request.method == .head { return Response(status: .ok, headers: headers) }
        let place = try Self.places.take()
        return Response(
            status: .ok, headers: headers,
            body: ResponseBody { writer in
                defer { place.leave() }
                let tap = try await state.views.tap(filter)
                defer { tap.end() }
                try await writer.write(ByteBuffer(string: "\n"))
                var (rest, quiet) = (count, 0)
                while rest > 0, !state.readiness.isStopping, !Task.isCancelled {
                    let lines = try Self.lines(try await tap.fetch(), own: state.identity.name, rest: &rest)
                    quiet = lines.readableBytes > 0 ? 0 : quiet + 1
                    if quiet == 0 {
                        try await writer.write(lines)
                    } else if quiet % Self.looksPerSign == 0 {
                        try await writer.write(ByteBuffer(string: "\n"))
                    }
                    if rest > 0 { try await Task.sleep(for: Self.pause) }
                }
                try await writer.finish(nil)
            })
    }

    private static func question(_ uri: URI, own: String) throws(Refusal) -> (TapFilter, count: Int) {
        func value(_ name: Substring) -> String? { uri.queryParameters[name].map { String($0) } }
        var count = Int.max
        if let text = value("count") {
            guard let number = Int(text), (1...Self.mostRequests).contains(number) else {
                throw Refusal(.badRequest, "count is 1 to \(Self.mostRequests)")
            }
            count = number
        }
        do throws(TapFilter.Mistake) {
            var filter = try TapFilter(service: value("service"), status: value("status"), path: value("path"))
            filter.isOwnService = filter.service == own
            return (filter, count)
        } catch {
            throw Refusal(.badRequest, error.description)
        }
    }

    /// The lines for what the loops have gathered, in the order in which the requests ended.
    ///
    /// - Parameter rest: How many requests are still wanted.
    static func lines(_ portions: [ExchangeRecords], own: String, rest: inout Int) throws -> ByteBuffer {
        let offset = Telemetry.clockOffset
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var lines = ByteBuffer()
        func write(_ line: some Encodable) throws {
            lines.writeBytes(try encoder.encode(line))
            lines.writeString("\n")
        }
        let ended = portions.flatMap { portion in portion.records.map { (record: $0, portion: portion) } }
            .sorted { $0.record.startedAt + $0.record.duration < $1.record.startedAt + $1.record.duration }
        for (record, portion) in ended.prefix(rest) {
            let time = Int(record.startedAt.uptimeNanoseconds / 1000) + offset
            try write(TappedRequest(record, of: portion, own: own, at: time))
        }
        rest -= min(rest, ended.count)
        let dropped = portions.reduce(0) { $0 + $1.dropped }
        if dropped > 0 { try write(DroppedRequests(dropped)) }
        return lines
    }
}
