// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Common
import ControlHTTP
import Foundation
import NIOCore
import NIOHTTP1
import NIOHTTPCompression
import NIOSSL

/// Asks a configuration server at one of its addresses.
///
/// An answer is taken whole, up to a limit, within a time limit. An address that fails gives way to the next one; when all
/// have failed, whoever asks waits for the turn.
actor ConfigServerClient {
    /// What the server answered.
    struct Answer {
        let status: Int
        let headers: HTTPHeaders
        let body: Data
        let address: String
    }

    private let client: HTTPClient
    private var addresses: AddressPool
    private let headers: HTTPHeaders
    private let login: ServiceCenterClient?
    private let tls: ControlTLS?

    /// The largest answer that is taken.
    static let bodyLimit = 8 << 20
    static let timeout = Duration.seconds(10)

    /// - Parameter headers: What every question says.
    /// - Parameter login: A registry that the server shares its accounts with, if somebody logs in there.
    /// - Parameter tls: How to speak TLS; `nil` when the addresses are `http`.
    init(
        _ addresses: [String], headers: HTTPHeaders, login: ServiceCenterClient?, tls: ControlTLS?,
        pace: Reconnect.Pace = .usual, loops: any EventLoopGroup
    ) {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow, decompression: .enabled(limit: .size(Self.bodyLimit)))
        configuration.timeout.connect = .seconds(2)
        configuration.connectionPool.idleTimeout = .seconds(50)
        // Whether and when to try again is decided here, not below.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        self.client = HTTPClient(eventLoopGroupProvider: .shared(loops), configuration: configuration)
        self.addresses = AddressPool(addresses, pace: pace)
        self.headers = headers
        self.login = login
        self.tls = tls
    }

    /// Closes the connections; nothing may be called afterwards.
    func close() async { await self.client.close() }

    /// The address that is asked now.
    func address() -> String { self.addresses.pick(at: .now) }

    /// How the next connection speaks TLS; `nil` when the addresses are `http`.
    func currentTLS() -> NIOSSL.TLSConfiguration? { self.tls?.current }

    /// Asks these too from now on.
    func setMembers(_ members: [String]) { self.addresses.setMembers(members) }

    /// What every question says, with the token if there is one.
    func allHeaders() async -> HTTPHeaders {
        var headers = self.headers
        headers.replaceOrAdd(name: "User-Agent", value: "mesher/\(BuildInfo.sourceVersion)")
        if let token = await self.login?.token() { headers.add(name: "Authorization", value: "Bearer \(token)") }
        return headers
    }

    /// The answer to a question: a status that says no is an answer, one that says that the server is in trouble is none.
    ///
    /// Waits for the turn first, which no time limit counts.
    ///
    /// - Parameter isRepeated: Whether to ask once more at once, at the next address if there is one, at the same only after
    ///   no answer at all: what fails most often is a connection that the server has closed meanwhile.
    func get(_ path: String, timeout: Duration = ConfigServerClient.timeout, isRepeated: Bool = true)
        async throws(ConfigServerFailure) -> Answer
    {
        let wasServing = self.addresses.isServing(at: .now)
        let address = try await self.turn()
        let deadline = ContinuousClock.now + timeout
        var isCutOff = false
        do {
            return try await self.attempt(address, path, timeout, &isCutOff)
        } catch {
            guard isRepeated, ContinuousClock.now + .seconds(1) < deadline, !Task.isCancelled,
                let next = self.addresses.take(at: .now) ?? (wasServing && isCutOff ? address : nil)
            else { throw error }
            return try await self.attempt(next, path, timeout, &isCutOff)
        }
    }

    /// The address to ask, when one may be asked.
    private func turn() async throws(ConfigServerFailure) -> String {
        while !Task.isCancelled {
            if let address = self.addresses.take(at: .now) { return address }
            // A little at least: another one may have taken the turn that was waited for.
            try? await Task.sleep(for: max(self.addresses.pause(at: .now), .milliseconds(1)))
        }
        throw ConfigServerFailure("the question was given up")
    }

    /// - Parameter isCutOff: Becomes true when the connection failed before an answer was whole.
    private func attempt(
        _ address: String, _ path: String, _ timeout: Duration, _ isCutOff: inout Bool
    ) async throws(ConfigServerFailure) -> Answer {
        var request = HTTPClientRequest(url: "\(address)\(path)")
        request.headers = await self.allHeaders()
        request.headers.add(name: "Accept-Encoding", value: "gzip")
        request.tlsConfiguration = self.tls?.current
        let answer: HTTPClient.WholeAnswer
        do {
            answer = try await self.client.whole(
                request, limit: Self.bodyLimit, timeout: timeout, silence: Self.timeout)
        } catch is NIOTooManyBytesError {
            self.addresses.failed(address, at: .now)
            throw ConfigServerFailure("\(address): the answer is larger than \(Self.bodyLimit) bytes")
        } catch {
            isCutOff = true
            if !Task.isCancelled { self.addresses.failed(address, at: .now) }
            throw ConfigServerFailure("\(address): \(ConnectionFailure.text(error, within: timeout))")
        }
        switch answer.status {
        case 200, 304, 404: break
        case 401:
            await self.login?.tokenRefused()
            throw ConfigServerFailure("\(address): status 401, it wants to know who asks")
        default:
            let retryAfter = Duration(retryAfter: answer.headers.first(name: "Retry-After"), at: Date())
            self.addresses.failed(address, at: .now, retryAfter: retryAfter)
            throw ConfigServerFailure("\(address): status \(answer.status)")
        }
        self.addresses.succeeded(address, at: .now)
        return Answer(status: answer.status, headers: answer.headers, body: answer.body, address: address)
    }

    /// A value as it may stand in the query of a URL.
    static func escaped(_ text: String) -> String {
        let allowed = CharacterSet(charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~@")
        return text.addingPercentEncoding(withAllowedCharacters: allowed) ?? ""
    }
}
