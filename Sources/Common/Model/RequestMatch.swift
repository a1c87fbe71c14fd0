// SPDX-License-Identifier: Apache-2.0

/// What a rule asks of a header.
package struct HeaderMatch: Sendable {
    /// As the rule writes it.
    package let name: String
    /// The names by which the header may go, in lower case; the first one that is there counts.
    package let lowercasedNames: [[UInt8]]
    /// All of them must hold.
    package let operators: [TextMatch]
    /// Whether a header that is absent or empty never matches; otherwise it is compared as an empty text.
    package let isRequired: Bool
    /// Whether requests match that have no such header.
    package let acceptsAbsence: Bool

    /// A match of the header `name`, or of another spelling of it.
    package init(_ name: String, or other: String? = nil, _ operators: [TextMatch], isRequired: Bool = false) {
        self.name = name
        let names = [name] + (other.map { [$0] } ?? [])
        self.lowercasedNames = names.map { Array($0.lowercased().utf8) }
        self.operators = operators
        self.isRequired = isRequired
        let nothing: [UInt8] = []
        self.acceptsAbsence = !isRequired && operators.allSatisfy { $0.matches(nothing.rawSpan) }
    }
}

/// What a rule asks of a parameter of the query.
package struct ParameterMatch: Sendable {
    /// As it stands in the query, not decoded.
    package let name: [UInt8]
    /// All of them must hold for the first value; a parameter that is absent never matches.
    package let operators: [TextMatch]
    /// Whether it must be there; otherwise it must not.
    package let isPresent: Bool

    /// A match.
    package init(_ name: String, _ operators: [TextMatch], isPresent: Bool = true) {
        self.isPresent = isPresent
        self.name = Array(name.utf8)
        self.operators = operators
    }
}

/// What a rule asks of a request: everything that is given must hold.
///
/// ServiceComb's rules and markers use it, and so do those of Istio: all of them say hardly more than this.
package struct RequestMatch: Sendable {
    /// The calling service.
    package var source: String?
    /// What the caller must be: its `version`, `app`, or a property of its instance.
    package var sourceTags: [String: String] = [:]
    /// All of them must hold.
    package var headers: [HeaderMatch] = []
    /// Of the path, without the query: one of them must hold, unless there is none.
    package var paths: [TextMatch] = []
    /// Of the query as it came: one of them must hold, unless there is none.
    ///
    /// A request without a query does not match.
    package var queries: [TextMatch] = []
    /// Of single parameters of the query: all of them must hold.
    package var parameters: [ParameterMatch] = []
    /// In upper case: one of them, unless there is none.
    package var methods: [[UInt8]] = []

    /// What is asked of fields in the way of a control plane: all of them must hold.
    package var fields: [FieldMatch] = []
    /// Whether only calls of gRPC match, which their content type tells.
    package var isGRPC = false
    /// How many of the requests that match otherwise do so, in millionths, at random; `nil` for all.
    package var share: Int?

    /// A share of all.
    package static let all = 1_000_000

    /// Whether there is anything that only a control plane asks.
    package var hasRareConditions: Bool { !self.fields.isEmpty || self.isGRPC || self.share != nil }

    /// Matches every request.
    package init() {}
}

/// Gives requests a name, so that other rules can speak of them.
///
/// - Source: `servicecomb.match.<name>` of go-chassis 2.
package struct MatchPolicy: Sendable {
    /// The mark.
    package let name: String
    /// One of them must hold.
    package let alternatives: [Alternative]
    /// Where it is written.
    package let location: ConfigLocation

    /// One description of requests.
    package struct Alternative: Sendable {
        /// What is asked.
        package let match: RequestMatch
        /// Whether the mark travels on with the request, as the header `X-Mark`.
        package let isPassedOn: Bool

        /// An alternative.
        package init(_ match: RequestMatch, isPassedOn: Bool) {
            self.match = match
            self.isPassedOn = isPassedOn
        }
    }

    /// A policy.
    package init(_ name: String, _ alternatives: [Alternative], at location: ConfigLocation) {
        self.name = name
        self.alternatives = alternatives
        self.location = location
    }
}
