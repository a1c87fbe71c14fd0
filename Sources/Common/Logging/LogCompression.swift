// SPDX-License-Identifier: Apache-2.0

import CMesher
import Glibc
import Synchronization

/// Compresses old files, on a thread that ends when there are no more.
///
/// By zlib, since small images lack `/usr/bin/gzip`.
enum LogCompression {
    /// Directories at work, so that no two threads compress one file.
    private static let busy = Mutex<Set<String>>([])

    /// Begins to compress what is not compressed, unless a thread is doing so already.
    ///
    /// - Parameter now: The time of complaints.
    static func start(_ backups: LogBackups, _ complaints: LogComplaints, at now: WallTime) {
        guard self.busy.withLock({ $0.insert(backups.directory).inserted }) else { return }
        let isRunning = SystemThread.start("mesher-log-gzip") {
            defer { _ = Self.busy.withLock { $0.remove(backups.directory) } }
            var failed: Set<String> = []
            while let path = backups.uncompressed().last(where: { !failed.contains($0) }) {
                do throws(LogFailure) { try Self.compress(path) } catch {
                    failed.insert(path)
                    complaints.report(error, at: now)
                }
            }
        }
        // The next rotation tries again.
        if !isRunning { _ = Self.busy.withLock { $0.remove(backups.directory) } }
    }

    /// Puts `path` with `.gz` in the place of the file at `path`, or leaves it as it is.
    ///
    /// Blocks for about a second for each 50 megabytes.
    static func compress(_ path: String) throws(LogFailure) {
        let source = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard source >= 0 else { throw LogFailure("compress", path) }
        defer { close(source) }
        // A name that no list of old files has, until it is whole.
        let unfinished = "\(path).gz.part"
        let target = unsafe open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard target >= 0 else { throw LogFailure("compress", path) }
        guard cmesher_gzip_file(source, target), unsafe rename(unfinished, "\(path).gz") == 0 else {
            let code = errno == 0 ? EIO : errno
            unsafe unlink(unfinished)
            throw LogFailure("compress", path, code: code)
        }
        guard unsafe unlink(path) == 0 else { throw LogFailure("remove", path) }
    }
}
