// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import Glibc

/// Notices that a file has changed, by its status first and by its content then.
///
/// Not file-system notification: that follows one inode, while an editor or a mounted ConfigMap puts another file, or
/// another directory behind a symbolic link, in its place.
package struct FileWatcher: Sendable {
    /// What a look has found.
    package enum Look: Equatable {
        /// Nothing has happened since the last look.
        case unchanged
        /// The file has gone since the last look, or was never there.
        case missing
        /// The content is new.
        case changed([UInt8])
    }

    private struct Stamp: Equatable {
        let modified: Time
        /// Unlike the time above nobody can set it.
        let changed: Time
        let size: Int
        let inode: UInt

        struct Time: Equatable {
            let seconds: Int
            let nanoseconds: Int

            init(_ time: timespec) {
                self.seconds = time.tv_sec
                self.nanoseconds = time.tv_nsec
            }
        }
    }

    private enum Known: Equatable {
        case nothing
        case missing
        /// - Parameter isFresh: Whether the file was changed just before it was read: another change may then leave its
        ///   status as it was, since the clock of a file system is a coarse one.
        case file(Stamp, content: Int, isFresh: Bool)
    }

    /// Seconds.
    private static let freshness = 1

    /// The file's path.
    package let path: String
    private var known = Known.nothing

    /// A watcher whose first look finds the file changed, or missing.
    package init(_ path: String) { self.path = path }

    /// Looks at the file.
    package mutating func look() -> Look {
        guard let stamp = self.stamp() else {
            defer { self.known = .missing }
            return self.known == .missing ? .unchanged : .missing
        }
        if case .file(stamp, _, isFresh: false) = self.known { return .unchanged }
        guard let data = FileManager.default.contents(atPath: self.path) else { return .unchanged }
        let bytes = Array(data)
        let content = bytes.hashValue
        let isFresh = abs(Int(Date().timeIntervalSince1970) - stamp.changed.seconds) <= Self.freshness
        defer { self.known = .file(stamp, content: content, isFresh: isFresh) }
        if case .file(_, content, _) = self.known { return .unchanged }
        return .changed(bytes)
    }

    private func stamp() -> Stamp? {
        var status = stat()
        guard unsafe stat(self.path, &status) == 0 else { return nil }
        return Stamp(
            modified: .init(status.st_mtim), changed: .init(status.st_ctim), size: Int(status.st_size),
            inode: UInt(status.st_ino))
    }
}
