// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// What config center answers: for each dimension, its keys and their values.
enum ConfigCenterAnswer {
    /// Body of the list of members.
    struct Members: Decodable {
        struct Member: Decodable {
            let status: String?
            let endpoints: [String]?
            let isHttps: Bool?
        }

        let instances: [Member]?
    }

    /// Reads the body of an answer.
    ///
    /// The dimensions are laid over each other from the most general to the most special one: application, service, version
    /// of the service.
    static func settings(_ body: Data) throws(ConfigServerFailure) -> [String: String] {
        let values: [String: SettingValue]
        do {
            values = try JSONDecoder().decode([String: SettingValue].self, from: body)
        } catch {
            throw ConfigServerFailure("the answer makes no sense: \(DecodingText.of(error))")
        }
        var dimensions: [(name: String, items: [String: SettingValue])] = []
        for (name, value) in values {
            switch value {
            case .map(let items): dimensions.append((name, items))
            // A count of versions stands beside the dimensions in some answers.
            case .text, .integer, .null: if name == "revision" { continue } else { fallthrough }
            default: throw ConfigServerFailure("the answer makes no sense: \(name) is no dimension")
            }
        }
        guard dimensions.reduce(0, { $0 + $1.items.count }) <= SettingValue.limit else {
            throw ConfigServerFailure("the answer has more than \(SettingValue.limit) settings")
        }
        var settings: [String: String] = [:]
        let rank = { (name: String) in name.contains("#") ? 2 : name.contains("@") ? 1 : 0 }
        for (_, items) in dimensions.sorted(by: { (rank($0.name), $0.name) < (rank($1.name), $1.name) }) {
            for (key, value) in items where !key.isEmpty {
                if let text = value.asText { settings[key] = text }
            }
        }
        return settings
    }
}
