// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
package import Common
import FoundationEssentials
import NIOCore
import NIOHTTP1
import Serving

extension AdminClient {
    /// What is asked of a tap.
    package struct TapQuestion: Sendable {
        /// Whose calls; `nil` for all.
        package var service: String?
        /// Their statuses; see ``TapFilter``.
        package var status: String?
        /// How their paths begin.
        package var path: String?
        /// After how many it ends; `nil` for never.
        package var count: Int?
        /// What the admin API wants to be shown; empty where there is none.
        package var token = ""

        /// All requests, for ever.
        package init() {}
    }

    /// What comes out of a tap.
    package enum TapEvent: Sendable, Equatable {
        /// Nothing has happened; the first of these says that from now on nothing is missed.
        case quiet
        /// A request is over.
        case request(TappedRequest)
        /// So many more were, and are not shown.
        case dropped(Int)
    }

    /// The longest line that is read.
    private static let longestLine = 65_536

    /// Watches requests of a running sidecar until it has shown as many as were asked for, or stops.
    ///
    /// - Parameter address: `host:port` of its admin listener.
    /// - Parameter take: Gets what comes, in its order, and says whether to go on.
    /// - Throws: ``Failure``, also when the connection ends in between, or the task is cancelled.
    package static func tap(
        _ question: TapQuestion, at address: String, _ take: (TapEvent) -> Bool
    ) async throws {
        let pairs = [
            ("service", question.service), ("status", question.status), ("path", question.path),
            ("count", question.count.map { "\($0)" }),
        ]
        let query = pairs.compactMap { name, value in value.map { "\(name)=\($0.percentEncoded())" } }
        var request = HTTPClientRequest(url: try Self.url(address, "tap?\(query.joined(separator: "&"))"))
        if !question.token.isEmpty { request.headers.add(name: "Authorization", value: "Bearer \(question.token)") }
        let client = Self.client()
        defer { Task { try? await client.shutdown() } }
        let response: HTTPClientResponse
        do {
            response = try await client.execute(request, timeout: .seconds(5))
        } catch {
            throw Self.silence(address, error, otherwise: "or name its admin listener with --admin host:port")
        }
        guard response.status == .ok else {
            let body = try await response.body.collect(upTo: Self.longestLine)
            throw Self.refusal(Data(body.readableBytesView))
        }
        var rest: [UInt8] = []
        do {
            for try await piece in response.body {
                rest += piece.readableBytesView
                while let end = rest.firstIndex(of: .lineFeed) {
                    guard take(try Self.event(rest[..<end], of: address)) else { return }
                    rest.removeSubrange(...end)
                }
                guard rest.count <= Self.longestLine else { throw Self.stranger(address) }
            }
        } catch let error as Failure {
            throw error
        } catch {
            let words = ConnectionFailure.text(error, within: .seconds(5))
            throw Failure(description: "the sidecar at \(address) has gone (\(words))")
        }
    }

    private static func event(_ line: ArraySlice<UInt8>, of address: String) throws(Failure) -> TapEvent {
        if line.isEmpty { return .quiet }
        let decoder = JSONDecoder()
        if let request = try? decoder.decode(TappedRequest.self, from: Data(line)) { return .request(request) }
        guard let missing = try? decoder.decode(DroppedRequests.self, from: Data(line)) else {
            throw Self.stranger(address)
        }
        return .dropped(missing.dropped)
    }

    private static func stranger(_ address: String) -> Failure {
        Failure(description: "\(address) is no sidecar of this version")
    }
}
