// SPDX-License-Identifier: Apache-2.0

import Common
import HTTPTypes
import Hummingbird

extension RegistryRoutes {
    struct ContractBody: Codable, Sendable {
        var schemaId: String?
        var summary: String?
        var schema: String?
    }

    private struct ContractBodies: Codable {
        var schemas: [ContractBody]?
    }

    func addContracts(to table: inout RegistryTable) {
        let path = "\(Self.oneService)/schemas"
        table.add(.put, "\(path)/{id}") { call in
            let (id, body) = (call.parameter("id"), try await call.body(ContractBody.self))
            try RegistryRules.checkContract(id, body.schema, summary: body.summary, needsSummary: false)
            return try await self.change(call) { world, _ in
                try world.setContract(
                    .init(text: body.schema ?? "", summary: body.summary ?? ""), id, of: call.service)
            }
        }
        table.add(.post, path) { call in
            let bodies = try await call.body(ContractBodies.self).schemas ?? []
            guard (1...100).contains(bodies.count) else {
                throw ServiceCenterError(.invalidParameters, "Invalid request.")
            }
            for body in bodies {
                try RegistryRules.checkContract(
                    body.schemaId, body.schema, summary: body.summary, needsSummary: true)
            }
            return try await self.change(call) { world, _ in
                let contracts = bodies.map { body in
                    (body.schemaId ?? "", RegistryState.Contract(text: body.schema ?? "", summary: body.summary ?? ""))
                }
                try world.setContracts(contracts, of: call.service)
            }
        }
        table.add(.get, path) { call in
            let isWhole = try call.flag("withSchema", ["0": false, "1": true])
            let schemas = try await self.read(call) { world in
                _ = try world.service(call.service)
                return Self.contracts(of: call.service, isWhole: isWhole, in: world)
            }
            return try RegistryAnswer.json(ContractBodies(schemas: schemas.nonEmpty))
        }
        table.add(.get, "\(path)/{id}") { call in
            let contract = try await self.read(call) { try $0.contract(call.parameter("id"), of: call.service) }
            return try RegistryAnswer.json(["schema": contract.text], headers: [.schemaSummary: contract.summary])
        }
        table.add(.delete, "\(path)/{id}") { call in
            try await self.change(call) { world, _ in
                try world.removeContract(call.parameter("id"), of: call.service)
            }
        }
    }

    /// Those that were declared, with what was uploaded of them.
    static func contracts(of id: String, isWhole: Bool, in world: RegistryState) -> [ContractBody] {
        (world.services[id]?.schemas ?? []).map { name in
            let contract = world.contracts[id]?[name]
            return ContractBody(
                schemaId: name, summary: (contract?.summary).nonEmpty, schema: isWhole ? contract?.text : nil)
        }
    }
}
