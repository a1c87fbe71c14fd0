// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Common
import FoundationEssentials
package import NIOCore
import NIOHTTP1
import NIOSSL
import Serving

/// Asks the API server for single objects.
///
/// Whether and when to try again is decided elsewhere.
package final class ClusterClient: Sendable {
    /// How long an answer may take.
    private static let patience = Duration.seconds(10)
    /// Seconds after which the API server ends a watch, so that a connection that is dead is none for long.
    private static let watchLife = 240...300
    /// An object may have a megabyte and a half.
    private static let bodyLimit = 4 << 20

    private let access: ClusterAccess
    private let client: HTTPClient

    /// A client without connections.
    package init(_ access: ClusterAccess, loops: any EventLoopGroup) {
        self.access = access
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.timeout.connect = .seconds(5)
        configuration.timeout.read = .seconds(Int64(Self.watchLife.upperBound) + 30)
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        self.client = HTTPClient(eventLoopGroupProvider: .shared(loops), configuration: configuration)
    }

    /// Closes the connections; nothing may be asked afterwards.
    package func close() async { await self.client.close() }

    /// An object as it is.
    func get(_ object: ClusterObject) async throws(ClusterFailure) -> JSONValue {
        try await self.call(.get, object, .GET, object.path)
    }

    /// Makes an object that is not there yet.
    func create(_ object: ClusterObject, _ body: OrderedJSON) async throws(ClusterFailure) -> JSONValue {
        try await self.call(.create, object, .POST, object.collection, body)
    }

    /// Puts another object in its place, if that has still the `resourceVersion` of the other one.
    func update(_ object: ClusterObject, _ body: OrderedJSON) async throws(ClusterFailure) -> JSONValue {
        try await self.call(.update, object, .PUT, object.path, body)
    }

    /// Changes parts of it.
    ///
    /// - Parameter patch: As RFC 6902 has it.
    func patch(_ object: ClusterObject, _ patch: OrderedJSON) async throws(ClusterFailure) -> JSONValue {
        try await self.call(.patch, object, .PATCH, object.path, patch, type: "application/json-patch+json")
    }

    /// Waits for changes, a few minutes at most.
    ///
    /// - Parameter version: The `resourceVersion` from which on they count.
    /// - Parameter onChange: Called for each, without saying which: whoever wants to know asks.
    func watch(
        _ object: ClusterObject, after version: String, onChange: @Sendable () -> Void
    ) async throws(ClusterFailure) {
        let query =
            "watch=true&fieldSelector=metadata.name%3D\(object.name)&resourceVersion=\(version)"
            + "&timeoutSeconds=\(Int.random(in: Self.watchLife))"
        let request = self.request(.GET, "\(object.collection)?\(query)")
        do {
            let response = try await self.client.execute(request, timeout: TimeAmount(Self.patience))
            guard response.status == .ok else {
                let body = try await response.body.collect(upTo: Self.bodyLimit)
                throw ClusterFailure(
                    .watch, object, status: Int(response.status.code), response.headers, Data(body.readableBytesView),
                    self.access)
            }
            for try await _ in response.body { onChange() }
        } catch let failure as ClusterFailure {
            throw failure
        } catch {
            throw ClusterFailure(error, from: self.access, within: Self.patience)
        }
    }

    /// The version of the API server, such as 1.34.
    ///
    /// Everybody may ask for it whom the API server knows.
    func version() async throws(ClusterFailure) -> Version {
        let answer = try await self.whole(self.request(.GET, "/version"))
        let root = (try? JSONDocument(Array(answer.body)))?.root
        // Vendors add a sign to the minor one.
        guard answer.status == 200, let major = root?["major"]?.text, let minor = root?["minor"]?.text,
            let number = Int(minor.prefix { $0.isASCII && $0.isNumber })
        else {
            throw ClusterFailure(
                "\(self.access.url)/version says nothing of use (status \(answer.status))",
                remedy: "name it with --kubernetesVersion", status: answer.status)
        }
        return Version("\(major).\(number)")
    }

    private func request(_ method: HTTPMethod, _ path: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: self.access.url + path)
        request.method = method
        request.headers.add(name: "Accept", value: "application/json")
        request.headers.add(name: "User-Agent", value: "mesher-injector/\(BuildInfo.sourceVersion)")
        if let token = self.access.token() { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
        var tls = self.access.tls()
        // How long it may take to say that it has heard of the end: who stops waits for it.
        tls.shutdownTimeout = .seconds(1)
        request.tlsConfiguration = tls
        return request
    }

    private func whole(_ request: HTTPClientRequest) async throws(ClusterFailure) -> HTTPClient.WholeAnswer {
        do {
            return try await self.client.whole(request, limit: Self.bodyLimit, timeout: Self.patience)
        } catch {
            throw ClusterFailure(error, from: self.access, within: Self.patience)
        }
    }

    private func call(
        _ verb: ClusterObject.Verb, _ object: ClusterObject, _ method: HTTPMethod, _ path: String,
        _ body: OrderedJSON? = nil, type: String = "application/json"
    ) async throws(ClusterFailure) -> JSONValue {
        var request = self.request(method, path)
        if let body {
            request.headers.add(name: "Content-Type", value: type)
            request.body = .bytes(ByteBuffer(bytes: body.bytes))
        }
        let answer = try await self.whole(request)
        guard 200..<300 ~= answer.status else {
            throw ClusterFailure(
                verb, object, status: answer.status, answer.headers, answer.body, self.access)
        }
        guard let document = try? JSONDocument(Array(answer.body)), document.root["metadata"] != nil else {
            throw ClusterFailure(
                "what answers at \(self.access.url) is no API server", remedy: "look at \(self.access.source)")
        }
        return document.root
    }
}
