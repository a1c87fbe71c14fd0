// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore

extension RegistryRoutes {
    private struct ContractBody: Codable {
        var schemaId: String?
        var schema: String?
        var summary: String?
    }

    private struct ContractBodies: Codable {
        var schemas: [ContractBody]?
    }

    func addContracts(_ group: RouterGroup<Context>) {
        let contracts = group.group("microservices/{sid}/schemas")
        contracts.put("{id}") { request, context in
            let id = try context.parameters.require("id")
            return try await self.store(
                [try await Self.body(ContractBody.self, request)], id: id, request, context)
        }
        contracts.post { request, context in
            try await self.store(
                try await Self.body(ContractBodies.self, request).schemas ?? [], id: nil, request, context)
        }
        contracts.get("{id}") { request, context in
            let (service, id) = (try Self.serviceID(context), try context.parameters.require("id"))
            let contract = try await self.store.update(try Self.tenant(request, context)) { world, _ in
                try world.contract(id, of: service)
            }
            return try Self.json(["schema": contract.text], headers: [Self.summaryField: contract.summary])
        }
    }

    private func store(
        _ bodies: [ContractBody], id: String?, _ request: Request, _ context: Context
    ) async throws -> Response {
        let service = try Self.serviceID(context)
        try await self.store.update(try Self.tenant(request, context)) { world, _ in
            for body in bodies {
                guard let id = id ?? body.schemaId.nonEmpty, let text = body.schema.nonEmpty else {
                    throw ServiceCenterError(.invalidParameters, "a schema needs an id and a text")
                }
                try world.setContract(.init(text: text, summary: body.summary ?? ""), id, of: service)
            }
        }
        return Self.done
    }

    private struct ServiceDetail: Encodable {
        let microService: ServiceEntity
        let instances: [InstanceEntity]?
    }

    func addViews(_ group: RouterGroup<Context>) {
        group.get("apps") { request, context in
            let apps = try await self.store.update(try Self.tenant(request, context)) { world, _ in
                Set(world.services.values.compactMap(\.appId)).sorted()
            }
            return try Self.json(apps.isEmpty ? [:] : ["appIds": apps])
        }
        group.get("microservices") { request, context in
            let options = (request.uri.queryParameters["options"] ?? "").split(separator: ",")
            let withInstances = options.contains("instances") || options.contains("all")
            let details = try await self.store.update(try Self.tenant(request, context)) { world, _ in
                world.services.sorted { $0.key < $1.key }.map { id, service in
                    // This view of the real registry has no properties either, so clients must not come to need them.
                    var service = service
                    service.properties = nil
                    service.schemas = nil
                    var instances = withInstances ? world.instances(of: id) : []
                    for index in instances.indices { instances[index].properties = nil }
                    return ServiceDetail(microService: service, instances: instances.isEmpty ? nil : instances)
                }
            }
            return try Self.json(details.isEmpty ? [:] : ["allServicesDetail": details])
        }
    }
}

extension RegistryRoutes {
    static var summaryField: HTTPField.Name { .init("X-Schema-Summary") ?? .eTag }
    static var revisionField: HTTPField.Name { .init("X-Resource-Revision") ?? .eTag }

    /// The largest body of a request.
    private static let bodyLimit = 2 << 20

    /// What every call that only does something answers with.
    static var done: Response { Response(status: .ok, headers: [.contentType: "text/plain; charset=utf-8"]) }

    static func json(_ body: some Encodable, headers: HTTPFields = [:]) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes]
        var headers = headers
        headers[.contentType] = "application/json; charset=utf-8"
        return Response(
            status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: try encoder.encode(body))))
    }

    static func body<Body: Decodable>(_ type: Body.Type, _ request: Request) async throws -> Body {
        let bytes = try await request.body.collect(upTo: Self.bodyLimit)
        return try JSONDecoder().decode(type, from: Data(bytes.readableBytesView))
    }

    /// `tenant/project`: each is a world of its own.
    static func tenant(_ request: Request, _ context: Context) throws -> String {
        let name = HTTPField.Name("X-Domain-Name").flatMap { request.headers[$0] }
        return "\(name ?? "default")/\(try context.parameters.require("project"))"
    }

    static func consumer(_ request: Request) -> String? {
        HTTPField.Name("X-ConsumerId").flatMap { request.headers[$0] }.nonEmpty
    }

    static func serviceID(_ context: Context) throws -> String { try context.parameters.require("sid") }

    static func provider(_ request: Request) -> RegistryState.Provider {
        let query = request.uri.queryParameters
        return RegistryState.Provider(
            environment: String(query["env"] ?? ""), app: String(query["appId"] ?? "default"),
            name: String(query["serviceName"] ?? ""))
    }

    /// 32 hexadecimal digits.
    static func newID() -> String { UUID().uuidString.replacing("-", with: "").lowercased() }

    /// Does something with one instance.
    func change(
        _ request: Request, _ context: Context,
        _ body: @escaping @Sendable (inout RegistryState, String, String, RegistryState.Moment) throws -> Void
    ) async throws -> Response {
        let (service, id) = (try Self.serviceID(context), try context.parameters.require("iid"))
        try await self.store.update(try Self.tenant(request, context)) { world, now in
            try body(&world, service, id, now)
        }
        return Self.done
    }
}

/// Makes answers of errors.
struct RegistryErrors: RouterMiddleware {
    @concurrent func handle(
        _ request: Request, context: RegistryRoutes.Context,
        next: @concurrent (Request, RegistryRoutes.Context) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as ServiceCenterError {
            return try Self.answer(error)
        } catch let error as DecodingError {
            return try Self.answer(ServiceCenterError(.invalidParameters, "\(error)"))
        } catch is NIOTooManyBytesError {
            return try Self.answer(ServiceCenterError(.invalidParameters, "http: request body too large"))
        } catch let error as HTTPError where error.status == .notFound {
            return Response(
                status: .notFound, headers: [.contentType: "text/plain; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: "404 page not found\n")))
        }
    }

    private static func answer(_ error: ServiceCenterError) throws -> Response {
        var response = try RegistryRoutes.json(error)
        response.status = .init(code: Int(error.errorCode?.prefix(3) ?? "") ?? 500)
        return response
    }
}
