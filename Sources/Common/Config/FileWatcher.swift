// SPDX-License-Identifier: Apache-2.0

import Foundation

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
        case changed(String)
    }

    private struct Stamp: Equatable {
        let seconds: Int
        let nanoseconds: Int
        let size: Int
        let inode: UInt
    }

    private enum Known: Equatable {
        case nothing
        case missing
        case file(Stamp, content: Int)
    }

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
        if case .file(stamp, _) = self.known { return .unchanged }
        guard let data = FileManager.default.contents(atPath: self.path) else { return .unchanged }
        let text = String(decoding: data, as: UTF8.self)
        let content = text.hashValue
        defer { self.known = .file(stamp, content: content) }
        if case .file(_, content) = self.known { return .unchanged }
        return .changed(text)
    }

    private func stamp() -> Stamp? {
        var status = stat()
        guard unsafe stat(self.path, &status) == 0 else { return nil }
        return Stamp(
            seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec, size: Int(status.st_size),
            inode: UInt(status.st_ino))
    }
}
