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
        let `in` = "path"
        let required = true
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
            let isJSON = endpoint.content == "application/json"
            let answer = Answer(
                description: endpoint.summary,
                content: [endpoint.content: Content(schema: ["type": isJSON ? "object" : "string"])])
            let mistake = Answer(
                description: "What is wrong.",
                content: ["application/json": Content(schema: ["$ref": "#/components/schemas/Error"])])
            paths[endpoint.path, default: [:]][endpoint.method.rawValue.lowercased()] = Operation(
                summary: endpoint.summary,
                parameters: names.isEmpty ? nil : names.map { Parameter(name: String($0.dropFirst().dropLast())) },
                security: endpoint.method == .put ? [["token": []]] : nil,
                responses: ["200": answer, "default": mistake])
        }
        self.paths = paths
    }
}
