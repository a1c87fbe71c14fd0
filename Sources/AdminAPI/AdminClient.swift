// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
package import Common
import FoundationEssentials
import NIOCore
import NIOHTTP1
import Serving

/// Asks the admin API of a running sidecar.
package enum AdminClient {
    /// Why there is no answer.
    package struct Failure: Error, CustomStringConvertible {
        /// What to tell the user.
        package let description: String
    }

    /// The largest answer that is read.
    private static let limit = 64 << 20

    /// What the sidecar says of a request.
    ///
    /// - Parameter address: `host:port` of its admin listener.
    package static func explain(_ question: ExplainQuestion, at address: String) async throws(Failure) -> Explanation {
        try await Self.ask(
            "explain", at: address, body: question,
            otherwise: "name its admin listener with --admin host:port, or write --files to go by the configuration "
                + "alone")
    }

    /// What its traffic is like now.
    ///
    /// - Parameter address: `host:port` of its admin listener.
    package static func traffic(at address: String) async throws(Failure) -> TrafficDocument {
        let nothing: ExplainQuestion? = nil
        return try await Self.ask("traffic", at: address, body: nothing, otherwise: Self.elsewhere)
    }

    /// Has the sidecar do what an operator asks for.
    ///
    /// - Parameter address: `host:port` of its admin listener.
    /// - Parameter token: What it wants to be shown; empty where there is none.
    package static func operate(
        _ request: OperatorRequest, at address: String, token: String
    ) async throws(Failure) -> OperatorAnswer {
        try await Self.ask("operations", at: address, body: request, token: token, otherwise: Self.elsewhere)
    }

    /// What operators have decided there.
    package static func operations(at address: String) async throws(Failure) -> OperatorOrders {
        let nothing: OperatorRequest? = nil
        return try await Self.ask("operations", at: address, body: nothing, otherwise: Self.elsewhere)
    }

    private static let elsewhere = "or name its admin listener with --admin host:port"

    private static func ask<Answer: Decodable & Sendable>(
        _ path: String, at address: String, body: (some Encodable & Sendable)?, token: String = "",
        otherwise remedy: String
    ) async throws(Failure) -> Answer {
        let url = try Self.url(address, path)
        let answer: HTTPClient.WholeAnswer
        do {
            var request = HTTPClientRequest(url: url)
            if let body {
                request.method = .POST
                request.headers.add(name: "Content-Type", value: "application/json")
                request.body = .bytes(Array(try JSONEncoder().encode(body)))
            }
            if !token.isEmpty { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
            let client = Self.client()
            defer { Task { try? await client.shutdown() } }
            answer = try await client.whole(request, limit: Self.limit, timeout: .seconds(5))
        } catch {
            throw Self.silence(address, error, otherwise: remedy)
        }
        guard answer.status == 200 else { throw Self.refusal(answer.body) }
        do {
            return try JSONDecoder().decode(Answer.self, from: answer.body)
        } catch {
            throw Failure(description: "\(address) is no sidecar of this version: \(error)")
        }
    }

    /// Where a path of the API is.
    ///
    /// Checked here, since the client of HTTP traps on a port that there cannot be.
    static func url(_ address: String, _ path: String) throws(Failure) -> String {
        let port = address.split(separator: ":").last.flatMap { UInt16($0) } ?? 0
        guard port > 0, address.contains(":") else {
            throw Failure(description: "\(address) is no address: write host:port, and ports end at 65535")
        }
        return "http://\(address)/v1/mesher/\(path)"
    }

    /// Nobody answers.
    static func silence(_ address: String, _ error: any Error, otherwise remedy: String) -> Failure {
        let words = ConnectionFailure.text(error, within: .seconds(5))
        return Failure(
            description: "no sidecar answers at \(address) (\(words)); start it with cse.protocols.rest-admin, "
                + remedy)
    }

    /// The sidecar does not do what it is asked for.
    static func refusal(_ body: Data) -> Failure {
        let mistake = try? JSONDecoder().decode(Mistake.self, from: body)
        return Failure(description: mistake?.error ?? String(decoding: body, as: UTF8.self).trimmed)
    }

    static func client() -> HTTPClient {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        // Nobody listens: that is the answer.
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    private struct Mistake: Decodable { let error: String }
}
