// SPDX-License-Identifier: Apache-2.0

import Common

/// An explanation for people: a line for each handler, what belongs to it below, the answer at the end.
struct ExplanationText {
    private let explanation: Explanation

    init(_ explanation: Explanation) { self.explanation = explanation }

    /// The whole text, without a line end behind it.
    var text: String {
        let question = self.explanation.question
        let from = question.from.map { "   from \($0)" } ?? ""
        var lines = ["\(question.method) \(question.url)\(from)"]
        lines += question.headers.map { "  \($0)" }
        lines.append("")
        let width = self.explanation.steps.map(\.handler.count).max() ?? 0
        for step in self.explanation.steps {
            lines.append("\(step.isAnswer ? "!" : "+") \(Self.pad(step.handler, width))  \(step.summary)")
            let indent = String(repeating: " ", count: width + 4)
            lines += step.details.map { "\(indent)\($0)" }
            if step.handler == "router" { lines += self.rules.map { "\(indent)\($0)" } }
            if step.handler == "loadbalance" {
                lines += (self.shares + self.candidates).map { "\(indent)\($0)" }
            }
        }
        lines.append("")
        lines += self.answer
        return lines.joined(separator: "\n")
    }

    private var rules: [String] {
        self.explanation.rules.map { rule in
            let verdict = rule.isMatch.map { $0 ? "yes" : "no " } ?? "-  "
            let place = rule.location.split(separator: "/").last.map(String.init) ?? rule.location
            return "\(verdict)  \(rule.precedence)  \(place)  \(rule.reason)"
        }
    }

    private var shares: [String] {
        guard self.explanation.shares.count > 1 else { return [] }
        return self.explanation.shares.map { share in
            let count = share.endpoints.count
            return "\(Int(share.percent.rounded())) % to \(share.tags): \(count) instance\(count == 1 ? "" : "s")"
        }
    }

    private var candidates: [String] {
        let width = self.explanation.candidates.map(\.endpoint.count).max() ?? 0
        return self.explanation.candidates.map { candidate in
            let left = candidate.leftOutSeconds.map { "  left out for \(Int($0.rounded(.up))) s: it has failed" } ?? ""
            let why = candidate.reason.isEmpty ? "" : "  \(candidate.reason)"
            let version = candidate.version.isEmpty ? "" : "  \(candidate.version)"
            return "\(candidate.remains ? "yes" : "no ")  \(Self.pad(candidate.endpoint, width))\(version)\(why)\(left)"
        }
    }

    private var answer: [String] {
        let answer = self.explanation.answer
        let reason = answer.reason.map { " (\($0))" } ?? ""
        let own = answer.status.map { "\($0)\(reason): \(answer.body ?? "")" }
        guard answer.isForwarded else { return ["answer  \(own ?? "not known yet")"] }
        let forwarded =
            switch answer.endpoints.count {
            case 0: "forwarded"
            case 1: "forwarded to \(answer.endpoints[0])"
            case let count: "forwarded to one of \(count) instances"
            }
        guard let percent = answer.failingPercent, let own else { return ["answer  \(forwarded)"] }
        let failing = Int(percent.rounded())
        return ["answer  \(100 - failing) % \(forwarded)", "        \(failing) % \(own)"]
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}
