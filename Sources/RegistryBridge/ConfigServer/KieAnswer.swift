// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// The documents that kie has under one set of labels.
struct KieAnswer: Decodable {
    /// One key and its value.
    ///
    /// What kind of text the value is, its key says and not the document.
    struct Document: Decodable {
        let key: String
        let value: SettingValue?
        let status: String?
        let priority: Int?

        enum CodingKeys: String, CodingKey { case key, value, status, priority }
    }

    let total: Int?
    let data: [Document]?

    /// Reads the body of an answer.
    ///
    /// It is taken as a whole or not at all: a document left out would look like one that was deleted.
    ///
    /// - Returns: The texts of all keys that are enabled; of several documents of one key the strongest counts, which is the
    ///   one with the smallest priority.
    static func settings(_ body: Data) throws(ConfigServerFailure) -> [String: String] {
        let answer: KieAnswer
        do {
            answer = try JSONDecoder().decode(Self.self, from: body)
        } catch {
            throw ConfigServerFailure("the answer makes no sense: \(DecodingText.of(error))")
        }
        guard let documents = answer.data ?? (answer.total == 0 ? [] : nil) else {
            throw ConfigServerFailure("the answer makes no sense: it has no data")
        }
        guard documents.count <= SettingValue.limit else {
            throw ConfigServerFailure("the answer has more than \(SettingValue.limit) documents")
        }
        var settings: [String: String] = [:]
        var priorities: [String: Int] = [:]
        for document in documents where document.status == "enabled" && !document.key.isEmpty {
            let priority = document.priority ?? .max
            if let other = priorities[document.key], other <= priority { continue }
            priorities[document.key] = priority
            settings[document.key] = document.value?.asText ?? ""
        }
        return settings
    }
}

extension KieAnswer {
    private struct Refusal: Decodable {
        let error_msg: String?
        let error_code: String?
        let errorMessage: String?
        let errorCode: String?
    }

    /// What the first versions of kie say when there is nothing: a message without a code.
    private static let nothing = "can not find any key value"

    /// Whether the body of an answer is kie's own way to say that there is nothing.
    ///
    /// A message alone is not enough, unless it is the very one of kie: gateways answer in the same form, and they say
    /// nothing of the settings.
    ///
    /// - Source: the error documents of kie before and after its version 0.2.
    static func isRefusal(_ body: Data) -> Bool {
        guard let found = try? JSONDecoder().decode(Refusal.self, from: body) else { return false }
        return found.error_msg == Self.nothing || found.error_msg != nil && found.error_code != nil
            || found.errorMessage != nil && found.errorCode != nil
    }
}

/// What was wrong with JSON, in a few words and without what it said.
enum DecodingText {
    static func of(_ error: any Error) -> String {
        func path(_ context: DecodingError.Context) -> String {
            context.codingPath.map(\.stringValue).joined(separator: ".")
        }
        switch error as? DecodingError {
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return "another type is expected at \(path(context))"
        case .keyNotFound(let key, let context): return "\(key.stringValue) is missing at \(path(context))"
        default: return "it is no JSON"
        }
    }
}
