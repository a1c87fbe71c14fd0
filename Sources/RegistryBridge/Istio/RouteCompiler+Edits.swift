// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf

extension RouteCompiler {
    /// What is done to the fields of requests, by the route, its host and its table: the nearest first.
    mutating func requestEdits(_ route: XDSRoute) throws(ResourceMistake) -> [HeaderEdit] {
        self.inOrder([
            try self.edits(route.requestHeadersToAdd, route.requestHeadersToRemove, of: route),
            try self.edits(self.host.requestHeadersToAdd, self.host.requestHeadersToRemove, of: route),
            try self.edits(self.table.requestHeadersToAdd, self.table.requestHeadersToRemove, of: route),
        ])
    }

    /// The same of answers.
    mutating func responseEdits(_ route: XDSRoute) throws(ResourceMistake) -> [HeaderEdit] {
        self.inOrder([
            try self.edits(route.responseHeadersToAdd, route.responseHeadersToRemove, of: route),
            try self.edits(self.host.responseHeadersToAdd, self.host.responseHeadersToRemove, of: route),
            try self.edits(self.table.responseHeadersToAdd, self.table.responseHeadersToRemove, of: route),
        ])
    }

    private func inOrder(_ levels: [[HeaderEdit]]) -> [HeaderEdit] {
        self.table.mostSpecificHeaderMutationsWins ? levels.reversed().flatMap { $0 } : levels.flatMap { $0 }
    }

    /// The edits of one level: fields go before others come.
    mutating func edits(
        _ added: [XDSHeaderValueOption], _ removed: [String], of route: XDSRoute
    ) throws(ResourceMistake) -> [HeaderEdit] {
        var edits: [HeaderEdit] = []
        for name in removed {
            guard !name.isEmpty, !name.hasPrefix(":"), name.lowercased() != "host" else {
                throw ResourceMistake("the header \"\(name)\" cannot be removed")
            }
            edits.append(.remove(name))
        }
        for option in added {
            let name = option.header.key
            guard !name.isEmpty, name.utf8.allSatisfy(\.isToken) else {
                throw ResourceMistake("\"\(name)\" is no name of a header")
            }
            guard name.lowercased() != "host" else { throw ResourceMistake("the header host cannot be changed so") }
            var value = option.header.value
            if !option.header.rawValue.isEmpty {
                value = String(decoding: option.header.rawValue, as: UTF8.self)
            }
            guard Self.isValue(value) else { throw ResourceMistake("the value of \(name) is none of a header") }
            let format: FieldFormat
            do throws(FieldFormat.Failure) {
                format = try FieldFormat(value, .ofProcess(route: route.name))
            } catch {
                switch error {
                case .malformed(let problem): throw ResourceMistake("the value of \(name), \(value): \(problem)")
                case .missing(let gap): self.note("the header \(name) is not set: \(gap)")
                }
                continue
            }
            let text = format.plain ?? value
            if text.isEmpty, !option.keepEmptyValue { continue }
            let isOld = option.hasAppend
            let edit: HeaderEdit
            switch isOld ? (option.append.value ? .appendIfExistsOrAdd : .overwriteIfExistsOrAdd) : option.appendAction
            {
            case .appendIfExistsOrAdd: edit = .add(name, text)
            case .addIfAbsent: edit = .addIfAbsent(name, text)
            case .overwriteIfExistsOrAdd: edit = .set(name, text)
            case .overwriteIfExists: edit = .setIfPresent(name, text)
            case .UNRECOGNIZED(let number): throw ResourceMistake("append_action \(number) of \(name) is not known")
            }
            edits.append(format.plain == nil ? .filled(edit, format, keepsEmpty: option.keepEmptyValue) : edit)
        }
        for edit in edits where edit.isForbidden {
            self.note("the header \(edit.name) is not changed: it delimits or directs messages")
        }
        edits.removeAll(where: \.isForbidden)
        // Fields are replaced before others are added, whatever the order in which that is written.
        return edits.filter(\.removes) + edits.filter { !$0.removes }
    }

    // MARK: Paths

    mutating func rewrite(_ action: XDSRouteAction, _ match: XDSRouteMatch) throws(ResourceMistake) -> PathRewrite? {
        if action.hasRegexRewrite {
            guard action.prefixRewrite.isEmpty else { throw ResourceMistake("both prefix_rewrite and regex_rewrite") }
            return try Self.rewrite(action.regexRewrite)
        }
        return try Self.rewrite(action.prefixRewrite, match)
    }

    /// A text that becomes a part of a line of a head.
    static func line(_ text: String, of field: String) throws(ResourceMistake) -> String {
        guard !text.utf8.contains(where: { $0 == 0 || $0 == 0x0A || $0 == 0x0D }) else {
            throw ResourceMistake("\(field) has a character that would end a line")
        }
        return text
    }

    /// What stands in place of everything that an expression finds.
    private static func rewrite(_ message: XDSRegexMatchAndSubstitute) throws(ResourceMistake) -> PathRewrite {
        let substitution = try Self.line(message.substitution, of: "substitution")
        do throws(ConfigMistake) {
            return .pattern(try PatternRewrite(message.pattern.regex, substitution))
        } catch {
            throw ResourceMistake(error.problem)
        }
    }

    /// What a replaced prefix comes to: of an exact path, and of one that an expression matches, all of it goes.
    static func rewrite(_ replacement: String, _ match: XDSRouteMatch) throws(ResourceMistake) -> PathRewrite? {
        let replacement = try Self.line(replacement, of: "prefix_rewrite")
        guard !replacement.isEmpty else { return nil }
        switch match.pathSpecifier {
        case .prefix(let prefix): return .bytes(length: prefix.utf8.count, replacement: Array(replacement.utf8))
        case .pathSeparatedPrefix(let prefix):
            return .bytes(length: prefix.utf8.count, replacement: Array(replacement.utf8))
        case .path, .safeRegex, .regex: return .whole(Array(replacement.utf8))
        case nil: return nil
        }
    }

    /// An answer that sends the client elsewhere.
    mutating func redirect(
        _ message: XDSRedirectAction, _ match: XDSRouteMatch
    ) throws(ResourceMistake) -> Redirect {
        var scheme: String?
        switch message.schemeRewriteSpecifier {
        case .httpsRedirect(let isSecure): scheme = isSecure ? "https" : nil
        case .schemeRedirect(let text): scheme = text.isEmpty ? nil : try Self.line(text, of: "scheme_redirect")
        case nil: break
        }
        guard message.portRedirect <= 65_535 else { throw ResourceMistake("port_redirect \(message.portRedirect)") }
        let status =
            switch message.responseCode {
            case .movedPermanently, .UNRECOGNIZED: 301
            case .found: 302
            case .seeOther: 303
            case .temporaryRedirect: 307
            case .permanentRedirect: 308
            }
        var rewrite: PathRewrite?
        var target: String?
        switch message.pathRewriteSpecifier {
        case .pathRedirect(let path): target = try Self.line(path, of: "path_redirect")
        case .prefixRewrite(let prefix): rewrite = try Self.rewrite(prefix, match)
        case .regexRewrite(let message): rewrite = try Self.rewrite(message)
        case nil: break
        }
        let host = try Self.line(message.hostRedirect, of: "host_redirect")
        return Redirect(
            status: status, scheme: scheme, host: host.isEmpty ? nil : host,
            port: message.portRedirect == 0 ? nil : UInt16(message.portRedirect), rewrite: rewrite,
            target: target, stripsQuery: message.stripQuery, keepsPort: true)
    }
}
