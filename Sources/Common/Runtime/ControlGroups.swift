// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// The control groups that a process is in, by which the system limits what a container uses.
///
/// - Source: cgroups(7): `0::/path` is version 2, `n:controller:/path` version 1.
struct ControlGroups {
    /// Which version of the files a group has.
    enum Version { case one, two }

    private let groups: String
    private let read: (String) -> String?

    /// - Parameter groups: The text of `/proc/self/cgroup`.
    /// - Parameter read: The text of a file; `nil` when there is none.
    init(_ groups: String, read: @escaping (String) -> String?) {
        self.groups = groups
        self.read = read
    }

    /// Those of this process; `nil` when the system does not tell.
    static var own: ControlGroups? {
        Self.text("/proc/self/cgroup").map { ControlGroups($0, read: Self.text) }
    }

    /// The text of a file; `nil` when there is none.
    static func text(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }

    /// What `limit` makes of the files of each group, its parents and the root.
    ///
    /// A container may see its own group as the root, whatever the path says; so the root is looked at as well.
    ///
    /// - Parameter controller: That of version 1.
    /// - Parameter limit: Gets the version, and a function that reads a file of the group by its name.
    func limits<Limit>(of controller: Substring, _ limit: (Version, (String) -> String?) -> Limit?) -> [Limit] {
        var limits: [Limit] = []
        for line in self.groups.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let (root, version): (String, Version)
            if fields[0] == "0", fields[1].isEmpty {
                (root, version) = ("/sys/fs/cgroup", .two)
            } else if fields[1].split(separator: ",").contains(controller) {
                (root, version) = ("/sys/fs/cgroup/\(controller)", .one)
            } else {
                continue
            }
            var names = fields[2].split(separator: "/").filter { $0 != ".." }
            while true {
                let folder = ([root] + names.map(String.init)).joined(separator: "/")
                if let found = limit(version, { self.read("\(folder)/\($0)") }) { limits.append(found) }
                if names.popLast() == nil { break }
            }
        }
        return limits
    }
}
