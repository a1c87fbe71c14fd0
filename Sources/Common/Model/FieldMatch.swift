// SPDX-License-Identifier: Apache-2.0

/// What a route of a control plane asks of a field, or of something beside the fields that has a name like one.
///
/// - Source: Envoy's `HeaderMatcher`.
package struct FieldMatch: Sendable {
    /// What is compared.
    package enum Subject: Sendable, Equatable {
        /// The fields of this name, in lower case; the value of one of them has to be so.
        case field([UInt8])
        case method
        /// Host and port, as written.
        case authority
        case scheme
        /// With the query.
        case path
        /// Of an answer.
        case status

        /// What has this name: that of a field, or one with a colon in front.
        package init(_ name: some StringProtocol) {
            let lowercased = name.lowercased()
            self =
                switch lowercased {
                case ":method": .method
                case ":authority", "host": .authority
                case ":scheme": .scheme
                case ":path": .path
                case ":status": .status
                default: .field(Array(lowercased.utf8))
                }
        }
    }

    /// As the route writes it.
    package let name: String
    /// See ``Subject``.
    package let subject: Subject
    /// All of them must hold for the value; none to ask only whether there is one.
    package let operators: [TextMatch]
    /// Whether it has to be there; of matches without operators only.
    package let isPresent: Bool
    /// Whether the answer is turned round, for all fields together; what is absent never has the value that is asked for, nor
    /// another one.
    package let inverts: Bool
    /// Whether an absent one has an empty value, and so is there.
    package let treatsMissingAsEmpty: Bool

    /// A match.
    package init(
        _ name: String, _ operators: [TextMatch], isPresent: Bool = true, inverts: Bool = false,
        treatsMissingAsEmpty: Bool = false
    ) {
        self.name = name
        self.subject = Subject(name)
        self.operators = operators
        self.isPresent = isPresent
        self.inverts = inverts
        self.treatsMissingAsEmpty = treatsMissingAsEmpty
    }

    /// Whether this value is what is asked for, before the answer is turned round.
    package func isMeant(_ value: RawSpan) -> Bool {
        self.operators.isEmpty ? self.isPresent : self.operators.allSatisfy { $0.matches(value) }
    }

    /// Whether the only value is what is asked for.
    package func holds(for value: RawSpan) -> Bool { self.isMeant(value) != self.inverts }

    /// The same where there is no value.
    package var holdsForAbsence: Bool {
        guard self.treatsMissingAsEmpty else { return self.operators.isEmpty && self.isPresent == self.inverts }
        let nothing: [UInt8] = []
        return self.holds(for: nothing.rawSpan)
    }
}

extension FieldMatch: CustomStringConvertible {
    /// As explanations show it.
    package var description: String {
        if self.operators.isEmpty { return "\(self.name) is \(self.isPresent != self.inverts ? "there" : "absent")" }
        let texts = self.operators.map { "\($0)" }.joined(separator: " and ")
        return self.inverts ? "\(self.name) not (\(texts))" : "\(self.name) \(texts)"
    }
}

extension FieldMatch: Equatable {
    /// Whether both were written alike.
    package static func == (left: FieldMatch, right: FieldMatch) -> Bool {
        left.subject == right.subject && left.treatsMissingAsEmpty == right.treatsMissingAsEmpty
            && left.inverts == right.inverts && left.isPresent == right.isPresent
            && left.operators.map(\.description) == right.operators.map(\.description)
    }
}
