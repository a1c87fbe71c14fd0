// SPDX-License-Identifier: Apache-2.0

/// Policies that mark requests, limits of marked ones, and faults.
extension EffectReview {
    mutating func reviewMarks() {
        let rules = self.config.rules
        var used = Set(rules.rateLimits.map(\.match))
        for host in rules.routes.services.values {
            for route in host.routes {
                if case .marked(let policy) = route.match { used.insert(policy.name) }
            }
        }
        let given = Set(rules.policies.map(\.name))
        let missing = rules.rateLimits.map(\.match).filter { !given.contains($0) }
        for policy in rules.policies
        where !used.contains(policy.name) && !policy.alternatives.contains(where: \.isPassedOn) {
            guard let entry = self.store.entry("cse.match.\(policy.name)") else { continue }
            let near = Spelling.nearest(to: policy.name, among: missing)
            self.warn(
                entry, "has no effect: nothing uses the mark \(policy.name)",
                near.map { "call it \($0), as a limit does" }
                    ?? "write match: \(policy.name) in a limit below cse.rateLimiting, or refer: \(policy.name) in a rule"
            )
        }
        for limit in rules.rateLimits
        where limit.match != "none" && !given.contains(limit.match) {
            guard let entry = self.store.entry("cse.rateLimiting.\(limit.name)") else { continue }
            let place = self.tree(entry)?["match"]?.location ?? entry.value.location
            let problem = "no policy gives the mark \(limit.match): only requests are limited that come with it"
            let near = Spelling.nearest(to: limit.match, among: given.sorted() + ["none"])
            self.warn(
                place, entry.key, problem, near.map { "did you mean \($0)?" } ?? "write cse.match.\(limit.match)")
        }
        self.reviewMarkPolicies()
    }

    private mutating func reviewMarkPolicies() {
        for (name, entry) in self.entries(below: "cse.match") where !name.contains(".") {
            for element in self.tree(entry)?["matches"]?.elements ?? [] {
                guard let place = element["trafficMarkPolicy"], let text = place.text,
                    !["once", "perservice", ""].contains(text.lowercased())
                else { continue }
                let near = Spelling.nearest(to: text, among: ["once", "perService"])
                self.warn(
                    place.location, entry.key, "\"\(text)\" is no trafficMarkPolicy: the mark is not passed on",
                    near.map { "did you mean \($0)?" } ?? "write once or perService")
            }
        }
    }

    // MARK: Faults

    mutating func reviewFaults() {
        let middle = ".policy.fault.protocols."
        var told: Set<String> = []
        var entries: [String: [String: ConfigSource.Entry]] = [:]
        for (suffix, entry) in self.entries(below: "cse.governance.Consumer") {
            guard let place = suffix.range(ofFirst: middle) else { continue }
            let service = String(suffix[..<place.lowerBound])
            guard service.range(ofFirst: ".schemas.") == nil, service.range(ofFirst: ".operations.") == nil else {
                continue
            }
            let parts = suffix[place.upperBound...].split(separator: ".", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { continue }
            guard parts[0] == "rest" else {
                if told.insert("\(service).\(parts[0])").inserted {
                    self.warn(
                        entry, "has no effect: there are no faults of \(parts[0])", "write fault.protocols.rest")
                }
                continue
            }
            entries[service, default: [:]][parts[1]] = entry
        }
        let global = entries["_global"] ?? [:]
        for (service, leaves) in entries.sorted(by: { $0.key < $1.key }) {
            if service != "_global", !self.isNamed(service), let first = leaves.values.min(by: Self.isBefore) {
                self.warnOfAbsence(of: service, first, besides: ["_global"])
            }
            for (fault, value) in [("delay", "fixedDelay"), ("abort", "httpStatus")] {
                guard let percent = leaves["\(fault).percent"] else { continue }
                let isSet =
                    leaves["\(fault).\(value)"] != nil
                    || (service == "_global" ? Array(entries.values) : [global]).contains {
                        $0["\(fault).\(value)"] != nil
                    }
                if !isSet {
                    self.warn(percent, "has no effect without \(fault).\(value)", "write \(fault).\(value) beside it")
                } else if percent.value.text == "0" {
                    self.warn(
                        percent, "0 counts as not written: the share is that of _global, or else 100",
                        "take \(fault).\(value) out to have none")
                }
            }
        }
    }

    static func isBefore(_ left: ConfigSource.Entry, _ right: ConfigSource.Entry) -> Bool {
        left.value.location < right.value.location
    }
}
