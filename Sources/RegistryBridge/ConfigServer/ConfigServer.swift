// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials

/// A server that has settings for this sidecar.
protocol ConfigServer: Sendable {
    /// Asks, and is told of changes, until cancelled.
    ///
    /// - Parameter report: Called with what was found out, changed or not; one call after the other.
    func follow(_ report: @escaping @Sendable (ConfigServerReport) async -> Void) async
}

/// What was found out about the settings of a server.
enum ConfigServerReport: Sendable, Equatable {
    /// All that it says, keys and their texts, and how messages name it.
    case settings([String: String], from: String)
    /// It could not be asked, or its answer makes no sense; nothing is known but what was known before.
    case failed(String)
}

/// Why a question brought nothing.
struct ConfigServerFailure: Error, Equatable {
    let text: String
    init(_ text: String) { self.text = text }
}

/// Whose settings are asked for.
package struct ConfigServerScope: Sendable {
    let app: String
    let environment: String
    let service: String
    let version: String

    /// Those of the local service.
    package init(_ identity: ServiceIdentity) {
        self.app = identity.app
        self.environment = identity.environment
        self.service = identity.name
        self.version = identity.version
    }
}

/// The JSON of a setting's value, which is a text or stands for one.
enum SettingValue: Codable, Equatable {
    case text(String)
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case list([SettingValue])
    case map([String: SettingValue])
    case null

    /// The most settings of one server that are taken.
    static let limit = 10_000

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let text = try? container.decode(String.self) {
            self = .text(text)
        } else if let bool = try? container.decode(Bool.self) {
            self = .bool(bool)
        } else if let integer = try? container.decode(Int.self) {
            self = .integer(integer)
        } else if let number = try? container.decode(Double.self) {
            self = .number(number)
        } else if let list = try? container.decode([SettingValue].self) {
            self = .list(list)
        } else {
            self = .map(try container.decode([String: SettingValue].self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let text): try container.encode(text)
        case .bool(let bool): try container.encode(bool)
        case .integer(let integer): try container.encode(integer)
        case .number(let number): try container.encode(number)
        case .list(let list): try container.encode(list)
        case .map(let map): try container.encode(map)
        case .null: try container.encodeNil()
        }
    }

    /// As it would stand in a file; `nil` for nothing.
    ///
    /// Lists and maps as JSON, which is YAML too.
    var asText: String? {
        switch self {
        case .text(let text): return text
        case .bool(let bool): return "\(bool)"
        case .integer(let integer): return "\(integer)"
        case .number(let number): return "\(number)"
        case .list, .map:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) }
        case .null: return nil
        }
    }
}
