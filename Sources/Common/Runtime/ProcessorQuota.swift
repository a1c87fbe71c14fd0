// SPDX-License-Identifier: Apache-2.0

/// How much of the processors the system lets this process use: a container's CPU limit.
package enum ProcessorQuota {
    /// That of this process, in processors; `nil` when there is none.
    static var current: Double? { ControlGroups.own.flatMap(Self.processors) }

    /// The smallest quota of the control group and those that it is in, in processors.
    ///
    /// - Parameter groups: The text of `/proc/self/cgroup`.
    /// - Parameter read: The text of a file; `nil` when there is none.
    /// - Returns: `nil` when nothing is limited.
    /// - Source: the kernel's `cpu.max` of version 2, `max` or a quota and its period; `cpu.cfs_quota_us` of version 1,
    ///   which is -1 for none.
    package static func processors(groups: String, read: @escaping (String) -> String?) -> Double? {
        Self.processors(ControlGroups(groups, read: read))
    }

    private static func processors(_ groups: ControlGroups) -> Double? {
        groups.limits(of: "cpu") { version, read -> Double? in
            let words: [Substring]?
            switch version {
            case .two: words = read("cpu.max")?.split(whereSeparator: \.isWhitespace)
            case .one:
                words = ["cpu.cfs_quota_us", "cpu.cfs_period_us"].compactMap(read).flatMap {
                    $0.split(whereSeparator: \.isWhitespace)
                }
            }
            guard let words, words.count == 2, let quota = Int(words[0]), let period = Int(words[1]), quota > 0,
                period > 0
            else { return nil }
            return Double(quota) / Double(period)
        }.min()
    }
}
