// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
package import Hummingbird

/// Endpoints, and what is common to all of them: HEAD, OPTIONS, names that are refused, answers to bad requests.
package struct EndpointTable: HTTPResponder {
    /// All of them, in their order.
    package let endpoints: [ServedEndpoint]
    private let routes: RouteList<ServedEndpoint>
    private let hosts: HostNames?
    private let index: String

    /// A table of `endpoints`; of two for the same requests the first one answers.
    ///
    /// - Parameter hosts: Names that it may be asked by; `nil` for every name.
    /// - Parameter index: Where it stands what there is.
    package init(endpoints: [ServedEndpoint], hosts: HostNames?, index: String = "/openapi.json") {
        var routes = RouteList<ServedEndpoint>(answersHead: true)
        for endpoint in endpoints { routes.add(endpoint.method, endpoint.path, endpoint) }
        self.endpoints = endpoints
        self.routes = routes
        self.hosts = hosts
        self.index = index
    }

    /// The answer, which nobody may keep.
    package func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        var response = await self.answer(request)
        response.headers[.cacheControl] = "no-store"
        response.headers[.xContentTypeOptions] = "nosniff"
        guard request.method == .head else { return response }
        // The length of the body stays, as RFC 9110 §9.3.2 has it.
        if let length = response.body.contentLength, response.headers[.contentLength] == nil {
            response.headers[.contentLength] = "\(length)"
        }
        return Response(status: response.status, headers: response.headers)
    }

    private func answer(_ request: Request) async -> Response {
        if let hosts = self.hosts, !hosts.allow(request.head.authority) {
            return ServedAnswer.error(
                .forbidden, "this name is not allowed; ask by address, or list it in \(hosts.key)")
        }
        let path = request.uri.path
        switch self.routes.find(request.method, path) {
        case .target(let endpoint, let parameters):
            do {
                return try await endpoint.handle(.init(request: request, parameters: parameters))
            } catch let refusal as Refusal {
                return ServedAnswer.error(refusal.status, refusal.text)
            } catch {
                return ServedAnswer.error(.internalServerError, "\(error)")
            }
        case .otherMethods(let others):
            let methods = (others + [.options]).map(\.rawValue).joined(separator: ", ")
            if request.method == .options { return Response(status: .noContent, headers: [.allow: methods]) }
            var response = ServedAnswer.error(.methodNotAllowed, "\(request.method.rawValue) is not for \(path)")
            response.headers[.allow] = methods
            return response
        case .nothing:
            // The text of the original, in which its clients may look for it.
            return ServedAnswer.error(.notFound, "404: Page Not Found", remedy: "\(self.index) lists what there is")
        }
    }
}
