// SPDX-License-Identifier: Apache-2.0

/// Where in the configuration something stands.
package struct ConfigLocation: Sendable, Hashable, Comparable {
    /// A file's path, or the name of another source: `environment`, `command line`.
    package let source: String
    /// From 1; 0 where a source has no lines.
    package let line: Int
    /// From 1; 0 where a source has no lines.
    package let column: Int

    /// A place.
    package init(_ source: String, line: Int = 0, column: Int = 0) {
        self.source = source
        self.line = line
        self.column = column
    }

    /// By source, line and column.
    package static func < (left: Self, right: Self) -> Bool {
        (left.source, left.line, left.column) < (right.source, right.line, right.column)
    }
}

extension ConfigLocation: CustomStringConvertible {
    /// `file:line:column`, as editors and compilers write it.
    package var description: String { self.line > 0 ? "\(self.source):\(self.line):\(self.column)" : self.source }
}

/// One error in the configuration: what is wrong, where, and what to write instead.
package struct ConfigProblem: Error, Sendable, Equatable {
    /// Whether the sidecar can start in spite of it.
    package enum Severity: String, Sendable {
        /// It cannot.
        case error
        /// It can, but something is likely meant otherwise.
        case warning
        /// It can; something has no effect.
        case note
    }

    /// Whether the sidecar can start in spite of it.
    package let severity: Severity
    /// Where it is.
    package let location: ConfigLocation
    /// The key, dotted; empty when the mistake concerns a whole file.
    package let key: String
    /// What is wrong.
    package let problem: String
    /// What to write instead; empty when nothing has to be done.
    package let remedy: String
    /// Whether it tells of a key that nobody reads or a name of nothing, which `--strict` makes an error of.
    package private(set) var isUnknownKey = false

    /// A mistake.
    package init(
        _ severity: Severity = .error, at location: ConfigLocation, key: String = "", _ problem: String,
        remedy: String = ""
    ) {
        self.severity = severity
        self.location = location
        self.key = key
        // What is wrong with a URL is told without its secrets.
        self.problem = Masked.urls(in: problem)
        self.remedy = Masked.urls(in: remedy)
    }
}

extension ConfigProblem: CustomStringConvertible {
    /// `file:line:column: key: what is wrong; what to write instead`.
    package var description: String {
        let kind = self.severity == .error ? "" : "\(self.severity.rawValue): "
        // The place of a server's setting names the key already.
        let isNamed = self.key.isEmpty || self.location.source.hasSuffix(", \(self.key)")
        let key = isNamed ? "" : "\(self.key): "
        let remedy = self.remedy.isEmpty ? "" : "; \(self.remedy)"
        return "\(self.location): \(kind)\(key)\(self.problem)\(remedy)"
    }

    /// A key that nobody reads.
    ///
    /// - Parameter severity: An error where a mistyped key changes what becomes of requests: routing, TLS and limits.
    /// - Parameter remedy: What to do where no key is near.
    package static func unknown(
        _ key: String, _ severity: Severity = .warning, at location: ConfigLocation, near: String?,
        remedy: String = "remove it"
    ) -> ConfigProblem {
        var problem = ConfigProblem(
            severity, at: location, key: key, "unknown key", remedy: near.map { "did you mean \($0)?" } ?? remedy)
        problem.isUnknownKey = true
        return problem
    }

    /// A file that nobody reads, but for its name; `--strict` takes its keys for mistakes.
    package static func unread(_ file: String, remedy: String) -> ConfigProblem {
        var problem = ConfigProblem(.warning, at: ConfigLocation(file), "nobody reads this file", remedy: remedy)
        problem.isUnknownKey = true
        return problem
    }

    /// A name of something that nobody has defined, which `--strict` makes an error of as well.
    package static func undefined(
        _ key: String, at location: ConfigLocation, _ problem: String, remedy: String
    ) -> ConfigProblem {
        var found = ConfigProblem(.warning, at: location, key: key, problem, remedy: remedy)
        found.isUnknownKey = true
        return found
    }

    /// The same as `--strict` has it: keys that nobody reads are errors, whoever found them.
    package var strict: ConfigProblem {
        guard self.isUnknownKey else { return self }
        var problem = ConfigProblem(at: self.location, key: self.key, self.problem, remedy: self.remedy)
        problem.isUnknownKey = true
        return problem
    }
}
