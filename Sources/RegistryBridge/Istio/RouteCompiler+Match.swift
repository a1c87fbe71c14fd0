// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf

extension RouteCompiler {
    /// Which requests a route is for.
    ///
    /// - Source: Envoy's `RouteMatch`.
    mutating func match(_ message: XDSRouteMatch) throws(ResourceMistake) -> Route.Match {
        var match = RequestMatch()
        let ignoresCase = message.hasCaseSensitive && !message.caseSensitive.value
        switch message.pathSpecifier {
        case .prefix(let prefix):
            if prefix != "/" { match.paths = [.prefix(.init(prefix, ignoresCase: ignoresCase))] }
        case .path(let path): match.paths = [.exact(.init(path, ignoresCase: ignoresCase))]
        case .safeRegex(let regex): match.paths = [try Self.whole(regex.regex)]
        case .regex(let regex): match.paths = [try Self.whole(regex)]
        case .pathSeparatedPrefix(let prefix):
            guard prefix.hasPrefix("/"), !prefix.hasSuffix("/"), !prefix.contains("?"), !prefix.contains("#") else {
                throw ResourceMistake("path_separated_prefix \"\(prefix)\"")
            }
            match.paths = [.segments(.init(prefix, ignoresCase: ignoresCase))]
        case nil:
            guard message.isUnderstood else { return self.never("its match") }
            throw ResourceMistake("its match names no path")
        }
        guard message.isUnderstood else { return self.never("its match") }
        for header in message.headers {
            guard header.isUnderstood else { return self.never("its match of the header \(header.name)") }
            if Self.ofEnvoy.contains(header.name.lowercased()) {
                self.note(
                    "a condition of the header \(header.name) meets what the client has sent, and not what Envoy adds")
            }
            match.fields.append(try Self.header(header))
        }
        for parameter in message.queryParameters {
            guard parameter.isUnderstood else { return self.never("its match of the parameter \(parameter.name)") }
            match.parameters.append(try Self.parameter(parameter))
        }
        match.isGRPC = message.hasGrpc
        if message.hasRuntimeFraction { match.share = message.runtimeFraction.defaultValue.millionths }
        let isAlways =
            match.paths.isEmpty && match.fields.isEmpty && match.parameters.isEmpty && !match.isGRPC
            && match.share == nil
        return isAlways ? .always : .request(match)
    }

    /// Fields that Envoy adds before it looks for a route.
    private static let ofEnvoy: Set<String> = [
        "x-request-id", "x-forwarded-proto", "x-envoy-expected-rq-timeout-ms", "x-envoy-attempt-count",
        "x-envoy-internal", "x-envoy-external-address", "x-envoy-downstream-service-cluster",
    ]

    /// A condition that is not understood: nobody knows which requests are meant.
    private mutating func never(_ what: String) -> Route.Match {
        self.note("a route never matches: \(what) has a condition that is not known")
        return .never
    }

    /// A text that an expression matches as a whole.
    static func whole(_ regex: String) throws(ResourceMistake) -> TextMatch {
        if regex.isEmpty { throw ResourceMistake("a regular expression is empty") }
        do throws(ConfigMistake) {
            return .regex(try RegularExpression("\\A(?:\(regex))\\z"))
        } catch {
            throw ResourceMistake(error.problem)
        }
    }

    static func text(_ message: XDSStringMatcher) throws(ResourceMistake) -> TextMatch {
        let ignoresCase = message.ignoreCase
        switch message.matchPattern {
        case .prefix(""), .suffix(""), .contains(""): throw ResourceMistake("a match of a text has none")
        case .exact(let text): return .exact(.init(text, ignoresCase: ignoresCase))
        case .prefix(let text): return .prefix(.init(text, ignoresCase: ignoresCase))
        case .suffix(let text): return .suffix(.init(text, ignoresCase: ignoresCase))
        case .contains(let text): return .contains(.init(text, ignoresCase: ignoresCase))
        case .safeRegex(let regex): return try Self.whole(regex.regex)
        case .regex(let regex): return try Self.whole(regex)
        case nil: throw ResourceMistake("a match of a text says nothing")
        }
    }

    static func header(_ message: XDSHeaderMatcher) throws(ResourceMistake) -> FieldMatch {
        if message.name.isEmpty { throw ResourceMistake("a match of a header has no name") }
        var operators: [TextMatch] = []
        var isPresent = true
        switch message.headerMatchSpecifier {
        // An empty text is any value.
        case .exactMatch(let text): operators = [text.isEmpty ? .prefix(.init("")) : .exact(.init(text))]
        case .prefixMatch(""), .suffixMatch(""), .containsMatch(""):
            throw ResourceMistake("a match of the header \"\(message.name)\" has no text")
        case .prefixMatch(let text): operators = [.prefix(.init(text))]
        case .suffixMatch(let text): operators = [.suffix(.init(text))]
        case .containsMatch(let text): operators = [.contains(.init(text))]
        case .safeRegexMatch(let regex): operators = [try Self.whole(regex.regex)]
        case .regexMatch(let regex): operators = [try Self.whole(regex)]
        case .stringMatch(let text): operators = [try Self.text(text)]
        case .rangeMatch(let range): operators = [.number(.noLess, Int(range.start)), .number(.less, Int(range.end))]
        case .presentMatch(let present): isPresent = present
        case nil: break
        }
        return FieldMatch(
            message.name, operators, isPresent: isPresent, inverts: message.invertMatch,
            treatsMissingAsEmpty: message.treatMissingHeaderAsEmpty)
    }

    private static func parameter(_ message: XDSQueryParameterMatcher) throws(ResourceMistake) -> ParameterMatch {
        if message.name.isEmpty { throw ResourceMistake("a match of a parameter has no name") }
        switch message.queryParameterMatchSpecifier {
        case .stringMatch(let text): return ParameterMatch(message.name, [try Self.text(text)])
        case .presentMatch(let isPresent): return ParameterMatch(message.name, [], isPresent: isPresent)
        case nil:
            if message.value.isEmpty { return ParameterMatch(message.name, []) }
            let text = message.regex.value ? try Self.whole(message.value) : .exact(.init(message.value))
            return ParameterMatch(message.name, [text])
        }
    }
}

extension SwiftProtobuf.Message {
    /// Whether it says nothing that is not read.
    fileprivate var isUnderstood: Bool { self.unknownFields.data.isEmpty }
}

extension XDSFractionalPercent {
    /// How many of a million.
    var millionths: Int {
        switch self.denominator {
        case .hundred: min(Int(self.numerator) * 10_000, 1_000_000)
        case .tenThousand: min(Int(self.numerator) * 100, 1_000_000)
        case .million, .UNRECOGNIZED: min(Int(self.numerator), 1_000_000)
        }
    }
}
