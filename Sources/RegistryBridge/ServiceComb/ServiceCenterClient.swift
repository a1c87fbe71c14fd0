// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
package import Common
import FoundationEssentials
package import Logging
package import NIOCore
import NIOHTTP1
import Serving
package import TLS

/// Speaks service-center's API v4.
///
/// One call at a time leaves here from each caller; several callers may call at once. An answer is taken whole, up to a
/// limit, within a time limit, so neither an endless nor a dripping one can hold anything for long.
package actor ServiceCenterClient {
    /// Why a call brought nothing.
    ///
    /// Only ``refused`` is the registry's word on what was asked; nothing may be forgotten for any of the others.
    package enum Failure: Error, CustomStringConvertible {
        /// The registry has answered no.
        case refused(ServiceCenterError, status: Int)
        /// It could not be reached, did not answer in time, or is in trouble itself.
        ///
        /// - Parameter isCutOff: Nothing was heard of it: the connection failed, or was closed before the answer.
        case unreachable(String, isCutOff: Bool = false)
        /// It has no such call.
        case unknownPath(String)
        /// Its answer makes no sense.
        case unreadable(String)

        /// A sentence for logs and operators, without secrets.
        package var description: String {
            switch self {
            case .refused(let error, let status): error.errorCode == nil ? "status \(status): \(error)" : "\(error)"
            case .unreachable(let text, _), .unreadable(let text): text
            case .unknownPath(let address): "\(address) has no such call: it may be no service-center"
            }
        }
    }

    /// What the registry answered.
    struct Answer {
        let status: Int
        let revision: String?
        let retryAfter: Duration?
        let body: Data
        /// Who has answered.
        let place: ServerPlace
    }

    /// How fast the registry is tried again, by whoever does.
    nonisolated let pace: Reconnect.Pace
    private let client: ControlClient
    private let project: String
    private let tenant: String
    private var addresses: AddressPool
    private let names: NameBook
    private let isLocal: Bool
    private let tls: ControlTLS?
    private var login: RegistryLogin?
    private let logger: Logger
    private var loggingIn: Task<Void, Never>?
    /// How often the registry has answered with something that it may have written: whoever wants to know whether it is
    /// there need not ask.
    private(set) var answers = 0
    /// Why the registry could not be reached last.
    private var failure = ""

    /// The largest answer that is taken: some 50,000 instances.
    private static let bodyLimit = 16 << 20
    private static let timeout = Duration.seconds(10)
    private static let tokenPath = "/v4/token"

    /// A client of the registry at `addresses`, which share one store.
    ///
    /// - Parameter addresses: `http://host:port`, or `https://host:port` with `tls`.
    /// - Parameter account: Who logs in, if anybody does.
    /// - Parameter resolver: Looks up the names in `addresses`.
    package init(
        addresses: [String], project: String, tenant: String, account: RegistryConfig.Account? = nil,
        tls: ControlTLS? = nil, pace: Reconnect.Pace = .usual, resolver: NameResolver = .shared,
        loops: any EventLoopGroup, logger: Logger
    ) {
        self.pace = pace
        self.tls = tls
        self.logger = logger
        self.login = account.map { RegistryLogin($0) }
        self.client = ControlClient(bodyLimit: Self.bodyLimit, loops: loops)
        let names = NameBook(resolver, for: .servers)
        self.names = names
        self.addresses = AddressPool(addresses, pace: pace) { names[$0] }
        names.use(self.addresses.names)
        self.isLocal = addresses.contains {
            $0.contains("://127.") || $0.contains("://localhost") || $0.contains("://[::1]")
        }
        self.project = project
        self.tenant = tenant
    }

    /// Closes the connections; nothing may be called afterwards.
    package func close() async { await self.client.close() }

    /// What a call of another server that knows the same accounts has to say; `nil` when nobody logs in.
    func token() async -> String? {
        await self.logInIfDue()
        return self.login?.token
    }

    /// Such a server has refused the token.
    func tokenRefused() { _ = self.login?.refused(.tokenUnusable) }

    /// The watcher's socket of `service`, at the address that works now.
    func watchTarget(_ service: String) async -> PushSocket.Target? {
        await self.logInIfDue()
        await self.waitForName()
        guard let place = self.addresses.pick(at: .now) else { return nil }
        var headers: HTTPHeaders = [
            "X-Domain-Name": self.tenant, "User-Agent": "mesher/\(BuildInfo.sourceVersion)",
        ]
        if let token = self.login?.token { headers.add(name: "Authorization", value: "Bearer \(token)") }
        return PushSocket.Target(
            place, path: "/v4/\(self.project)/registry/microservices/\(service)/watcher", headers: headers,
            tls: self.tls?.current)
    }

    /// Whether the registry has answered since it failed last.
    var isServing: Bool { self.addresses.isServing(at: .now) }

    /// How long until it may be called again; zero when it may.
    var pause: Duration { self.addresses.pause(at: .now) }

    /// How long until it may be called for somebody who waits; urgently, unless that is as long as ``pause``.
    var hurriedPause: Duration { self.addresses.hurriedPause(at: .now) }

    /// Whether it may be called urgently though nobody waits.
    var mayInsist: Bool { self.addresses.mayInsist(at: .now) }

    /// The registry has answered a watcher with anything but a socket, which is how it refuses a token.
    func watchRefused() { self.tokenRefused() }

    /// No connection could be made for a watcher: whoever calls the registry would fare no better.
    func watchFailed(_ target: PushSocket.Target, _ error: PushSocket.NoConnection) {
        self.failed(target.place, "\(target.place): \(ConnectionFailure.text(error.cause, within: Self.timeout))")
    }

    /// Has the registry name its members, and asks them too from now on.
    ///
    /// One behind a proxy may name loopback addresses, which are this machine's only when the configured ones are.
    func findMembers() async throws(Failure) {
        let answer = try await self.call(.GET, "/health", isOpen: true)
        let scheme = self.tls == nil ? "http" : "https"
        let endpoints = (try Self.read(InstanceBodies.Many.self, answer).instances ?? []).flatMap { $0.endpoints ?? [] }
        let members = endpoints.compactMap { text -> String? in
            guard let endpoint = try? Endpoint(text), endpoint.protocolName == "rest",
                !endpoint.isLoopback || self.isLocal
            else { return nil }
            return "\(scheme)://\(endpoint.host.asHost):\(endpoint.port)"
        }
        // Whoever answers is a member: an empty list says nothing.
        guard !members.isEmpty else { return }
        self.addresses.setMembers(members)
        self.names.use(self.addresses.names)
    }

    /// Makes one call; when the registry cannot be reached, once more at its next address, or at the same when that has
    /// served until now: it may have closed the connection meanwhile.
    ///
    /// - Parameter path: Below `/v4/{project}/{family}`.
    /// - Parameter isOpen: Whether the call needs no login, and must come without one: service-center 2.2 checks the
    ///   permissions of a token that is there.
    /// - Parameter isUrgent: Called also when the registry is left alone because it has failed.
    func call(
        _ method: HTTPMethod, _ path: String, query: [(String, String)] = [], consumer: String? = nil,
        body: (any Encodable & Sendable)? = nil, family: String = "registry",
        timeout: Duration = ServiceCenterClient.timeout, isOpen: Bool = false, isUrgent: Bool = false
    ) async throws(Failure) -> Answer {
        let data: Data?
        do {
            data = try body.map { try JSONEncoder().encode($0) }
        } catch {
            throw .unreadable("the question cannot be written")
        }
        if !isOpen { await self.logInIfDue() }
        let path = "/v4/\(self.project)/\(family)\(path)\(Self.text(query))"
        let (wasServing, began) = (self.isServing, ContinuousClock.now)
        do {
            return try await self.attempt(
                method, path, consumer, data, timeout, isOpen: isOpen, isUrgent: isUrgent)
        } catch .unreachable where self.addresses.pause(at: .now) == .zero {
            return try await self.attempt(method, path, consumer, data, timeout, isOpen: isOpen)
        } catch .unreachable(_, isCutOff: true) where wasServing && ContinuousClock.now - began < .seconds(1) {
            return try await self.attempt(method, path, consumer, data, timeout, isOpen: isOpen, isUrgent: true)
        } catch .refused(let error, let status) {
            guard !isOpen, case .renew = self.login?.refused(error.code) else {
                throw .refused(error, status: status)
            }
            await self.logInIfDue()
            return try await self.attempt(method, path, consumer, data, timeout)
        }
    }

    /// Gets a token if one is needed; callers that come meanwhile wait for the same one.
    private func logInIfDue() async {
        if let loggingIn = self.loggingIn { return await loggingIn.value }
        guard let login = self.login, login.isDue(at: .now) else { return }
        let task = Task { await self.logIn(login.account) }
        self.loggingIn = task
        await task.value
        self.loggingIn = nil
    }

    private func logIn(_ account: RegistryConfig.Account) async {
        do throws(Failure) {
            let body = RegistryLogin.Request(name: account.name, password: account.password)
            guard let data = try? JSONEncoder().encode(body) else { return }
            let answer = try await self.attempt(.POST, Self.tokenPath, nil, data, Self.timeout, isOpen: true)
            guard let token = try Self.read(RegistryLogin.Answer.self, answer).token, !token.isEmpty else {
                throw .unreadable("the answer has no token")
            }
            self.login?.succeeded(token, at: .now, wall: Date())
            self.logger.info("logged in at the registry")
        } catch .refused(let error, _) {
            self.login?.failed(error.code, at: .now)
            self.logger.error(
                "the registry refuses the account",
                metadata: ["account": "\(account.name)", "error": "\(error)"])
        } catch .unknownPath {
            self.login?.isNotNeeded(at: .now)
        } catch {
            self.login?.failed(nil, at: .now)
        }
    }

    private func attempt(
        _ method: HTTPMethod, _ path: String, _ consumer: String?, _ body: Data?, _ timeout: Duration,
        isOpen: Bool = false, isUrgent: Bool = false
    ) async throws(Failure) -> Answer {
        await self.waitForName()
        guard let place = self.addresses.take(at: .now) ?? (isUrgent ? self.addresses.insist(at: .now) : nil) else {
            throw .unreachable(self.failure)
        }
        guard place.isKnown else {
            self.failed(place, "\(place): no address is known of this host")
            throw .unreachable(self.failure)
        }
        var request = HTTPClientRequest(url: "\(place.url)\(path)")
        request.method = method
        request.headers.add(name: "Content-Type", value: "application/json")
        request.headers.add(name: "User-Agent", value: "mesher/\(BuildInfo.sourceVersion)")
        request.headers.add(name: "X-Domain-Name", value: self.tenant)
        request.headers.add(name: "Accept-Encoding", value: "gzip")
        if let token = self.login?.token, !isOpen {
            request.headers.add(name: "Authorization", value: "Bearer \(token)")
        }
        if let consumer { request.headers.add(name: "X-ConsumerId", value: consumer) }
        if let body { request.body = .bytes(ByteBuffer(bytes: body)) }
        request.tlsConfiguration = self.tls?.current
        let answer: Answer
        do {
            let whole = try await self.client.whole(request, name: place.name, at: place.address, timeout: timeout)
            answer = Answer(
                status: whole.status, revision: whole.headers.first(name: "X-Resource-Revision"),
                retryAfter: Duration(retryAfter: whole.headers.first(name: "Retry-After"), at: Date()),
                body: whole.body, place: place)
        } catch is NIOTooManyBytesError {
            self.failed(place, "the answer of \(place) is larger than \(Self.bodyLimit) bytes")
            throw .unreadable(self.failure)
        } catch {
            // Says nothing of the registry, which others go on calling.
            if Task.isCancelled { throw .unreachable("the question was given up") }
            self.failed(place, "\(place): \(ConnectionFailure.text(error, within: timeout))")
            throw .unreachable(self.failure, isCutOff: true)
        }
        return try self.judge(answer, mayBeUnknown: path == Self.tokenPath)
    }

    /// Waits until it is known what the name of the server to ask stands for, or that nobody says.
    private func waitForName() async {
        guard let place = self.addresses.pick(at: .now), !place.isKnown, let name = place.name else { return }
        await self.names.firstAnswer(about: name)
    }

    /// - Parameter mayBeUnknown: The call is one that not every registry has.
    private func judge(_ answer: Answer, mayBeUnknown: Bool) throws(Failure) -> Answer {
        let place = answer.place
        if answer.status == 200 || answer.status == 304 {
            self.addresses.succeeded(place, at: .now)
            // Any other server answers 200 too, mostly with a page.
            if answer.body.first == UInt8(ascii: "{") { self.answers += 1 }
            return answer
        }
        let error = try? JSONDecoder().decode(ServiceCenterError.self, from: answer.body)
        // 429: it has too much to do.
        if answer.status >= 500 || answer.status == 429 || error?.code == .unhealthy {
            let said = error.map { "\($0)" } ?? "\(answer.status)"
            self.failed(place, "\(place) answers \(said)", answer.retryAfter)
            throw .unreachable(self.failure)
        }
        // Other servers answer 404 with an object too, which has no such code.
        guard let error, answer.status != 404 || error.errorCode != nil else {
            if answer.status == 404, mayBeUnknown {
                self.addresses.succeeded(place, at: .now)
                throw .unknownPath("\(place)")
            }
            // It may be no service-center, so the next address is asked from now on.
            let failure: Failure =
                answer.status == 404
                ? .unknownPath("\(place)")
                : .unreadable("\(place) answers \(answer.status), and not as a service-center does")
            self.failed(place, "\(failure)")
            throw failure
        }
        self.addresses.succeeded(place, at: .now)
        throw .refused(error, status: answer.status)
    }

    /// Leaves an address alone for a while, for the reason that `text` gives.
    func failed(_ place: ServerPlace, _ text: String, _ retryAfter: Duration? = nil) {
        self.addresses.failed(place, at: .now, retryAfter: retryAfter)
        self.failure = text
    }

    private static func text(_ query: [(String, String)]) -> String {
        let pairs = query.filter { !$0.1.isEmpty }.map { name, value in "\(name)=\(value.percentEncoded())" }
        return pairs.isEmpty ? "" : "?\(pairs.joined(separator: "&"))"
    }
}
