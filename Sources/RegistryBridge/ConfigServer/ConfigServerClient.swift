// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Common
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOSSL
import Serving
import TLS

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
        /// Who has answered.
        let place: ServerPlace
    }

    /// How fast the server is tried again, by whoever does.
    nonisolated let pace: Reconnect.Pace
    private let client: ControlClient
    private var addresses: AddressPool
    private let names: NameBook
    private let headers: HTTPHeaders
    private let login: ServiceCenterClient?
    private let tls: ControlTLS?

    /// The largest answer that is taken.
    static let bodyLimit = 8 << 20
    static let timeout = Duration.seconds(10)

    /// - Parameter headers: What every question says.
    /// - Parameter login: A registry that the server shares its accounts with, if somebody logs in there.
    /// - Parameter tls: How to speak TLS; `nil` when the addresses are `http`.
    /// - Parameter resolver: Looks up the names in `addresses`.
    init(
        _ addresses: [String], headers: HTTPHeaders, login: ServiceCenterClient?, tls: ControlTLS?,
        pace: Reconnect.Pace = .usual, resolver: NameResolver = .shared, loops: any EventLoopGroup
    ) {
        self.pace = pace
        self.client = ControlClient(bodyLimit: Self.bodyLimit, loops: loops)
        let names = NameBook(resolver, for: .servers)
        self.names = names
        self.addresses = AddressPool(addresses, pace: pace) { names[$0] }
        names.use(self.addresses.names)
        self.headers = headers
        self.login = login
        self.tls = tls
    }

    /// Closes the connections; nothing may be called afterwards.
    func close() async { await self.client.close() }

    /// Where the server is asked now.
    func place() -> ServerPlace? { self.addresses.pick(at: .now) }

    /// How long the server is left alone, which whoever asks waits for; zero when it is not.
    var pause: Duration { self.addresses.pause(at: .now) }

    /// Whether the last that was heard of it is an answer.
    var isServing: Bool { self.addresses.isServing(at: .now) }

    /// How the next connection speaks TLS; `nil` when the addresses are `http`.
    func currentTLS() -> NIOSSL.TLSConfiguration? { self.tls?.current }

    /// Asks these too from now on.
    func setMembers(_ members: [String]) {
        self.addresses.setMembers(members)
        self.names.use(self.addresses.names)
    }

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
        let place = try await self.turn()
        let deadline = ContinuousClock.now + timeout
        var isCutOff = false
        do {
            return try await self.attempt(place, path, timeout, &isCutOff)
        } catch {
            guard isRepeated, ContinuousClock.now + .seconds(1) < deadline, !Task.isCancelled,
                let next = self.addresses.take(at: .now) ?? (wasServing && isCutOff ? place : nil)
            else { throw error }
            return try await self.attempt(next, path, timeout, &isCutOff)
        }
    }

    /// Where to ask, when that may be.
    private func turn() async throws(ConfigServerFailure) -> ServerPlace {
        while !Task.isCancelled {
            if let place = self.addresses.pick(at: .now), !place.isKnown, let name = place.name {
                await self.names.firstAnswer(about: name)
            }
            if let place = self.addresses.take(at: .now) { return place }
            // A little at least: another one may have taken the turn that was waited for.
            try? await Task.sleep(for: max(self.addresses.pause(at: .now), .milliseconds(1)))
        }
        throw ConfigServerFailure("the question was given up")
    }

    /// - Parameter isCutOff: Becomes true when the connection failed before an answer was whole.
    private func attempt(
        _ place: ServerPlace, _ path: String, _ timeout: Duration, _ isCutOff: inout Bool
    ) async throws(ConfigServerFailure) -> Answer {
        guard place.isKnown else {
            self.addresses.failed(place, at: .now)
            throw ConfigServerFailure("\(place): no address is known of this host")
        }
        var request = HTTPClientRequest(url: "\(place.url)\(path)")
        request.headers = await self.allHeaders()
        request.headers.add(name: "Accept-Encoding", value: "gzip")
        request.tlsConfiguration = self.tls?.current
        let answer: HTTPClient.WholeAnswer
        do {
            answer = try await self.client.whole(
                request, name: place.name, at: place.address, timeout: timeout, silence: Self.timeout)
        } catch is NIOTooManyBytesError {
            self.addresses.failed(place, at: .now)
            throw ConfigServerFailure("\(place): the answer is larger than \(Self.bodyLimit) bytes")
        } catch {
            isCutOff = true
            if !Task.isCancelled { self.addresses.failed(place, at: .now) }
            throw ConfigServerFailure("\(place): \(ConnectionFailure.text(error, within: timeout))")
        }
        switch answer.status {
        case 200, 304, 404: break
        case 401:
            await self.login?.tokenRefused()
            throw ConfigServerFailure("\(place): status 401, it wants to know who asks")
        default:
            let retryAfter = Duration(retryAfter: answer.headers.first(name: "Retry-After"), at: Date())
            self.addresses.failed(place, at: .now, retryAfter: retryAfter)
            throw ConfigServerFailure("\(place): status \(answer.status)")
        }
        self.addresses.succeeded(place, at: .now)
        return Answer(status: answer.status, headers: answer.headers, body: answer.body, place: place)
    }

    /// A value as it may stand in the query of a URL.
    static func escaped(_ text: String) -> String {
        text.percentEncoded { $0.isUnreserved || $0 == UInt8(ascii: "@") }
    }
}
