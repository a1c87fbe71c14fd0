// SPDX-License-Identifier: Apache-2.0

import Common

/// Route rules as the original's admin API shows them.
///
/// - Source: `/v1/mesher/routeRule` of the original's newest version.
extension OrderedJSON {
    /// The rules of one service, in the order in which they are tried.
    static func routeRules(_ routes: VirtualHost) -> OrderedJSON {
        .array(routes.routes.map { Self.routeRule($0, of: routes, precedence: $0.precedence) })
    }

    /// One of them.
    static func routeRule(_ rule: Route, of routes: VirtualHost, precedence: Int) -> OrderedJSON {
        .object([
            ("precedence", .number(precedence)),
            ("route", .array(rule.targets.map { Self.target($0, routes) })), ("match", Self.match(rule)),
        ])
    }

    private static func target(_ target: RouteTarget, _ routes: VirtualHost) -> OrderedJSON {
        guard let cluster = routes.cluster(of: target) else {
            var status = 0
            if case .reply(let reply)? = target.action?.answer { status = reply.status }
            return .object([("weight", .number(target.weight)), ("reply", .number(status))])
        }
        let tags = cluster.tags
        var all = tags.properties
        all["version"] = tags.version
        if let app = tags.app { all["app"] = app }
        let label = all.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }.joined(separator: "|")
        let members: [(String, OrderedJSON)] = [
            ("tags", OrderedJSON(all)), ("weight", .number(target.weight)), ("Label", .string(label)),
        ]
        guard let name = cluster.name else { return .object(members) }
        switch cluster.members {
        case .own, .requested: return .object(members + [("cluster", .string(name))])
        case .service(let service, _):
            return .object(members + [("cluster", .string(name)), ("service", .string(service))])
        case .fixed(let entries):
            let endpoints = entries.map { OrderedJSON.string($0.endpoint) }
            return .object([
                ("weight", .number(target.weight)), ("cluster", .string(name)), ("endpoints", .array(endpoints)),
            ])
        }
    }

    private static func match(_ rule: Route) -> OrderedJSON {
        var (source, tags, headers) = ("", [String: String](), [(String, OrderedJSON)]())
        if case .request(let match) = rule.match {
            source = match.source ?? ""
            tags = match.sourceTags
            let fields = match.fields.filter(\.isWritable).map { ($0.name, $0.operators) }
            headers = (match.headers.map { ($0.name, $0.operators) } + fields).sorted { $0.0 < $1.0 }.map {
                ($0.0, OrderedJSON($0.1.written))
            }
        }
        // Absent maps are null, as the original's are.
        var members: [(String, OrderedJSON)] = [
            ("refer", .string(rule.reference ?? "")), ("source", .string(source)),
            ("sourceTags", tags.isEmpty ? .null : OrderedJSON(tags)), ("httpHeaders", .null),
            ("headers", headers.isEmpty ? .null : .object(headers)),
        ]
        // What only mesh.yaml and control planes can ask for stands there where it is asked for.
        guard case .request(let match) = rule.match else { return .object(members) }
        if let path = match.paths.first { members.append(("path", OrderedJSON([path].written))) }
        if !match.methods.isEmpty {
            members.append(("methods", .array(match.methods.map { .string(String(decoding: $0, as: UTF8.self)) })))
        }
        if !match.parameters.isEmpty {
            let queries = match.parameters.map { parameter in
                (String(decoding: parameter.name, as: UTF8.self), OrderedJSON(parameter.operators.written))
            }
            members.append(("queries", .object(queries)))
        }
        var others = match.fields.filter { !$0.isWritable }.map(\.description)
        if match.isGRPC { others.append("gRPC") }
        if let share = match.share { others.append("\(Double(share) * 100 / Double(RequestMatch.all)) % at random") }
        if !others.isEmpty { members.append(("others", .array(others.map { .string($0) }))) }
        return .object(members)
    }
}

extension FieldMatch {
    /// Whether rules can say the same of a header.
    fileprivate var isWritable: Bool {
        guard case .field = self.subject else { return false }
        return !self.operators.isEmpty && !self.inverts && !self.treatsMissingAsEmpty
    }
}

extension [TextMatch] {
    /// As rules write them: values by operator.
    fileprivate var written: [String: String] {
        var all: [String: String] = [:]
        for comparison in self {
            let (name, value, ignoresCase) = comparison.written
            all[name] = value
            if ignoresCase { all["caseInsensitive"] = "true" }
        }
        return all
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
        case .segments(let pattern): return ("below", text(pattern), pattern.ignoresCase)
        case .regex(let expression):
            // mesh.yaml means the whole path, and control planes the whole of any text.
            let text = expression.text
            if text.hasPrefix("^(?:"), text.hasSuffix(")$") {
                return ("regex", String(text.dropFirst(4).dropLast(2)), false)
            }
            let isWhole = text.hasPrefix("\\A(?:") && text.hasSuffix(")\\z")
            return ("regex", isWhole ? String(text.dropFirst(5).dropLast(3)) : text, false)
        case .number(.greater, let number): return ("greater", "\(number)", false)
        case .number(.less, let number): return ("less", "\(number)", false)
        case .number(.noLess, let number): return ("noLess", "\(number)", false)
        case .number(.noGreater, let number): return ("noGreater", "\(number)", false)
        case .never: return ("never", "", false)
        }
    }
}
