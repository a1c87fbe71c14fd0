// SPDX-License-Identifier: Apache-2.0

import Common

/// A path that a server of ours answers, in which `{name}` stands for one segment.
package struct PathPattern: Sendable {
    private let segments: [Substring]

    /// A pattern such as `/v1/services/{name}`.
    package init(_ text: String) { self.segments = Self.segments(of: text) }

    /// The segments of a path, for ``parameters(of:)``.
    package static func segments(of path: String) -> [Substring] {
        path.split(separator: "/", omittingEmptySubsequences: false)
    }

    /// What stands for the names, without percent encoding.
    ///
    /// - Returns: `nil` when this is another path; an empty segment stands for no name, nor does one that cannot be decoded.
    package func parameters(of path: [Substring]) -> [String: String]? {
        guard path.count == self.segments.count else { return nil }
        var parameters: [String: String] = [:]
        for (segment, expected) in zip(path, self.segments) {
            if expected.hasPrefix("{"), expected.hasSuffix("}") {
                guard !segment.isEmpty, let value = segment.percentDecoded else { return nil }
                parameters[String(expected.dropFirst().dropLast())] = value
            } else if segment != expected {
                return nil
            }
        }
        return parameters
    }
}
