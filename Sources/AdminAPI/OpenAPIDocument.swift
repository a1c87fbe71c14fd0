// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import HTTPTypes
import Serving

/// The admin API as an OpenAPI document, made from the table that answers.
///
/// - Source: OpenAPI 3.1.
struct OpenAPIDocument: Encodable {
    struct Info: Encodable {
        let title = "mesher admin API"
        let version: String
    }

    struct Operation: Encodable {
        let summary: String
        let parameters: [Parameter]?
        let security: [[String: [String]]]?
        let responses: [String: Answer]
    }

    struct Parameter: Encodable {
        let name: String
        let `in`: String
        let required: Bool
        let description: String?
        let schema = ["type": "string"]
    }

    struct Answer: Encodable {
        let description: String
        let content: [String: Content]
    }

    struct Content: Encodable { let schema: [String: String] }

    struct Components: Encodable {
        let schemas = ["Error": Schema()]
        let securitySchemes = ["token": ["type": "http", "scheme": "bearer"]]
    }

    struct Schema: Encodable {
        let type = "object"
        let properties = ["error": ["type": "string"], "remedy": ["type": "string"]]
        let required = ["error"]
    }

    let openapi = "3.1.0"
    let info: Info
    let paths: [String: [String: Operation]]
    let components = Components()

    init(_ endpoints: [ServedEndpoint], _ build: BuildInfo) {
        self.info = Info(version: build.version.isEmpty ? BuildInfo.sourceVersion : build.version)
        var paths: [String: [String: Operation]] = [:]
        for endpoint in endpoints {
            let names = endpoint.path.split(separator: "/").filter { $0.hasPrefix("{") }
            let parameters =
                names.map {
                    Parameter(name: String($0.dropFirst().dropLast()), in: "path", required: true, description: nil)
                }
                + endpoint.queries.map {
                    Parameter(name: $0.name, in: "query", required: false, description: $0.summary)
                }
            let isJSON = endpoint.content == "application/json"
            let answer = Answer(
                description: endpoint.summary,
                content: [endpoint.content: Content(schema: ["type": isJSON ? "object" : "string"])])
            let mistake = Answer(
                description: "What is wrong.",
                content: ["application/json": Content(schema: ["$ref": "#/components/schemas/Error"])])
            paths[endpoint.path, default: [:]][endpoint.method.rawValue.lowercased()] = Operation(
                summary: endpoint.summary,
                parameters: parameters.isEmpty ? nil : parameters,
                security: endpoint.isGuarded ? [["token": []]] : nil,
                responses: ["200": answer, "default": mistake])
        }
        self.paths = paths
    }
}
