// SPDX-License-Identifier: Apache-2.0

import Common

/// A route rule as the original's admin API shows it.
///
/// - Source: `/v1/mesher/routeRule` of the original's newest version.
struct RouteRuleBody: Encodable {
    struct Target: Encodable {
        let tags: [String: String]
        let weight: Int
        let label: String

        enum CodingKeys: String, CodingKey {
            case tags, weight
            case label = "Label"
        }
    }

    struct Match: Encodable {
        let refer: String
        let source: String
        let sourceTags: [String: String]?
        let headers: [String: [String: String]]?

        enum CodingKeys: String, CodingKey { case refer, source, sourceTags, httpHeaders, headers }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(self.refer, forKey: .refer)
            try container.encode(self.source, forKey: .source)
            // Absent maps are null, as the original's are.
            try container.encode(self.sourceTags, forKey: .sourceTags)
            try container.encodeNil(forKey: .httpHeaders)
            try container.encode(self.headers, forKey: .headers)
        }
    }

    let precedence: Int
    let route: [Target]
    let match: Match

    /// The rules of all services.
    static func all(_ table: RouteTable) -> [String: [RouteRuleBody]] { table.services.mapValues(Self.rules) }

    /// The rules of one service, in the order in which they are tried.
    static func rules(_ routes: ServiceRoutes) -> [RouteRuleBody] {
        routes.rules.map { rule in
            RouteRuleBody(
                precedence: rule.precedence, route: rule.targets.map { Self.target($0, routes) },
                match: Self.match(rule))
        }
    }

    private static func target(_ target: RouteTarget, _ routes: ServiceRoutes) -> Target {
        let tags = routes.subsets[target.subset]
        var all = tags.properties
        all["version"] = tags.version
        if let app = tags.app { all["app"] = app }
        let label = all.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }.joined(separator: "|")
        return Target(tags: all, weight: target.weight, label: label)
    }

    private static func match(_ rule: RouteRule) -> Match {
        guard case .request(let match) = rule.match else {
            return Match(refer: rule.reference ?? "", source: "", sourceTags: nil, headers: nil)
        }
        var headers: [String: [String: String]] = [:]
        for header in match.headers {
            for comparison in header.operators {
                let (name, value, ignoresCase) = comparison.written
                headers[header.name, default: [:]][name] = value
                if ignoresCase { headers[header.name]?["caseInsensitive"] = "true" }
            }
        }
        return Match(
            refer: rule.reference ?? "", source: match.source ?? "",
            sourceTags: match.sourceTags.isEmpty ? nil : match.sourceTags, headers: headers.isEmpty ? nil : headers)
    }
}

extension TextMatch {
    /// As rules write it: the operator, the value, and whether letter case does not count.
    fileprivate var written: (name: String, value: String, ignoresCase: Bool) {
        func text(_ pattern: Pattern) -> String { String(decoding: pattern.bytes, as: UTF8.self) }
        switch self {
        case .exact(let pattern): return ("exact", text(pattern), pattern.ignoresCase)
        case .notEqual(let pattern): return ("noEqu", text(pattern), pattern.ignoresCase)
        case .contains(let pattern): return ("contains", text(pattern), pattern.ignoresCase)
        case .prefix(let pattern): return ("prefix", text(pattern), pattern.ignoresCase)
        case .suffix(let pattern): return ("suffix", text(pattern), pattern.ignoresCase)
        case .regex(let expression): return ("regex", expression.text, false)
        case .number(.greater, let number): return ("greater", "\(number)", false)
        case .number(.less, let number): return ("less", "\(number)", false)
        case .number(.noLess, let number): return ("noLess", "\(number)", false)
        case .number(.noGreater, let number): return ("noGreater", "\(number)", false)
        case .never: return ("never", "", false)
        }
    }
}
