// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Common
import Foundation
import NIOCore
import NIOHTTP1
import NIOHTTPCompression
import NIOSSL

/// Asks a configuration server at one of its addresses.
///
/// An answer is taken whole, up to a limit, within a time limit. An address that fails gives way to the next one.
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
    /// How to speak TLS; `nil` when the addresses are `http`.
    let tls: NIOSSL.TLSConfiguration?

    /// The largest answer that is taken.
    static let bodyLimit = 8 << 20
    static let timeout = Duration.seconds(10)

    /// - Parameter headers: What every question says.
    /// - Parameter login: A registry that the server shares its accounts with, if somebody logs in there.
    init(
        _ addresses: [String], headers: HTTPHeaders, login: ServiceCenterClient?, tls: NIOSSL.TLSConfiguration?,
        loops: any EventLoopGroup
    ) {
        var configuration = HTTPClient.Configuration(
            tlsConfiguration: tls, redirectConfiguration: .disallow,
            decompression: .enabled(limit: .size(Self.bodyLimit)))
        configuration.timeout.connect = .seconds(5)
        configuration.connectionPool.idleTimeout = .seconds(50)
        // Whether and when to try again is decided here, not below.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        self.client = HTTPClient(eventLoopGroupProvider: .shared(loops), configuration: configuration)
        self.addresses = AddressPool(addresses)
        self.headers = headers
        self.login = login
        self.tls = tls
    }

    /// Closes the connections; nothing may be called afterwards.
    func close() async { try? await self.client.shutdown() }

    /// The address that is asked now.
    func address() -> String { self.addresses.pick(at: .now) }

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
    /// - Parameter isRepeated: Whether to ask once more at once, at the next address if there is one: what fails most often is
    ///   a connection that the server has closed meanwhile.
    func get(_ path: String, timeout: Duration = ConfigServerClient.timeout, isRepeated: Bool = true)
        async throws(ConfigServerFailure) -> Answer
    {
        let deadline = ContinuousClock.now + timeout
        do {
            return try await self.attempt(path, timeout)
        } catch {
            guard isRepeated, ContinuousClock.now + .seconds(1) < deadline, !Task.isCancelled else { throw error }
            return try await self.attempt(path, timeout)
        }
    }

    private func attempt(_ path: String, _ timeout: Duration) async throws(ConfigServerFailure) -> Answer {
        let address = self.addresses.pick(at: .now)
        var request = HTTPClientRequest(url: "\(address)\(path)")
        request.headers = await self.allHeaders()
        request.headers.add(name: "Accept-Encoding", value: "gzip")
        let answer: HTTPClient.WholeAnswer
        do {
            answer = try await self.client.whole(request, limit: Self.bodyLimit, timeout: timeout)
        } catch is NIOTooManyBytesError {
            self.addresses.failed(address, at: .now)
            throw ConfigServerFailure("\(address): the answer is larger than \(Self.bodyLimit) bytes")
        } catch {
            if !Task.isCancelled { self.addresses.failed(address, at: .now) }
            throw ConfigServerFailure("\(address): \(error)")
        }
        switch answer.status {
        case 200, 304, 404: break
        case 401:
            await self.login?.tokenRefused()
            throw ConfigServerFailure("\(address): status 401, it wants to know who asks")
        default:
            self.addresses.failed(address, at: .now)
            throw ConfigServerFailure("\(address): status \(answer.status)")
        }
        self.addresses.succeeded(address)
        return Answer(status: answer.status, headers: answer.headers, body: answer.body, address: address)
    }

    /// A value as it may stand in the query of a URL.
    static func escaped(_ text: String) -> String {
        let allowed = CharacterSet(charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~@")
        return text.addingPercentEncoding(withAllowedCharacters: allowed) ?? ""
    }
}
