// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import HTTPTypes
import Hummingbird
import NIOCore
import Serving

/// What the registry answers, by method and path.
///
/// - Source: service-center 2.2 for what becomes of paths and methods that it does not have.
struct RegistryTable: HTTPResponder {
    typealias Handler = @Sendable (RegistryCall) async throws -> Response

    private var routes = RouteList<Handler>(answersHead: false)
    /// `nil` where no test may ask for any.
    private let faults: Faults?

    init(faults: Faults?) { self.faults = faults }

    mutating func add(_ method: HTTPRequest.Method, _ pattern: String, _ handle: @escaping Handler) {
        self.routes.add(method, pattern, handle)
    }

    @concurrent func respond(to request: Request, context: RegistryContext) async throws -> Response {
        guard let faults = self.faults, !request.uri.path.hasPrefix(FaultRoutes.path) else {
            return await self.answer(request)
        }
        guard let rule = faults.take(request.method.rawValue, request.uri.string) else {
            return await self.answer(request)
        }
        // Before anything is done, so that requests overtake one another as they do behind a slow network.
        if let delay = rule.delay?.duration { try await Task.sleep(for: delay) }
        if rule.lose == nil {
            return if let status = rule.status { rule.answer(status) } else { await self.answer(request) }
        }
        if rule.lose == .after { _ = await self.answer(request) }
        try? await context.channel.close()
        return Response(status: .internalServerError)  // which goes nowhere
    }

    private func answer(_ request: Request) async -> Response {
        var response: Response
        do {
            response = try await self.route(request)
        } catch let error as ServiceCenterError {
            response = Self.refusal(error)
        } catch is NIOTooManyBytesError {
            response = Self.refusal(.init(.invalidParameters, "http: request body too large"))
        } catch let error as DecodingError {
            response = Self.refusal(.init(.invalidParameters, "Unmarshal error: \(error.debugDescription)"))
        } catch {
            response = RegistryAnswer.text(.internalServerError, "\(error)")
        }
        response.headers[.vary] = "Accept-Encoding"
        guard request.method == .head else { return response }
        if let length = response.body.contentLength { response.headers[.contentLength] = "\(length)" }
        return Response(status: response.status, headers: response.headers)
    }

    private static func refusal(_ error: ServiceCenterError) -> Response {
        (try? RegistryAnswer.error(error)) ?? Response(status: .internalServerError)
    }

    private func route(_ request: Request) async throws -> Response {
        let path = request.uri.path
        if path.contains("//") { return Self.moved(request) }
        switch self.routes.find(request.method, path) {
        case .target(let handle, let parameters):
            if let refusal = try self.faults?.accounts.judge(request) { return refusal }
            return try await handle(RegistryCall(request: request, parameters: parameters))
        case .otherMethods(let others):
            return RegistryAnswer.text(
                .methodNotAllowed, "Method Not Allowed",
                headers: [.allow: others.map(\.rawValue).joined(separator: ", ")])
        case .nothing: return RegistryAnswer.text(.notFound, "404 page not found")
        }
    }

    /// To the same path with single slashes.
    private static func moved(_ request: Request) -> Response {
        let parts = request.uri.path.split(separator: "/")
        let query = request.uri.query.map { "?\($0)" } ?? ""
        let end = request.uri.path.hasSuffix("/") && !parts.isEmpty ? "/" : ""
        return Response(
            status: .movedPermanently, headers: [.location: "/\(parts.joined(separator: "/"))\(end)\(query)"])
    }
}
