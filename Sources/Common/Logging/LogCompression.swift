// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// Compresses old files, on a thread that ends when there are no more.
///
/// zlib is called by name, since the C library's module for Swift does not have it and the program links it anyway: that
/// needs neither a shim nor `/usr/bin/gzip`, which small images lack. Where it is missing, files stay as they are.
enum LogCompression {
    /// Directories at work, so that no two threads compress one file.
    private static let busy = Mutex<Set<String>>([])

    /// Begins to compress what is not compressed, unless a thread is doing so already.
    ///
    /// - Parameter now: The time of complaints.
    static func start(_ backups: LogBackups, _ complaints: LogComplaints, at now: WallTime) {
        guard self.busy.withLock({ $0.insert(backups.directory).inserted }) else { return }
        let thread = Thread {
            defer { _ = Self.busy.withLock { $0.remove(backups.directory) } }
            var failed: Set<String> = []
            while let path = backups.uncompressed().last(where: { !failed.contains($0) }) {
                do throws(LogFailure) { try Self.compress(path) } catch {
                    failed.insert(path)
                    complaints.report(error, at: now)
                }
            }
        }
        thread.name = "mesher-log-gzip"
        thread.start()
    }

    /// Puts `path` with `.gz` in the place of the file at `path`, or leaves it as it is.
    ///
    /// Blocks for about a second for each 50 megabytes.
    static func compress(_ path: String) throws(LogFailure) {
        guard let zlib = Zlib() else { throw LogFailure("compress", path, code: ENOSYS) }
        let source = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard source >= 0 else { throw LogFailure("compress", path) }
        defer { close(source) }
        // A name that no list of old files has, until it is whole.
        let unfinished = "\(path).gz.part"
        let target = unsafe open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard target >= 0 else { throw LogFailure("compress", path) }
        let isDone = zlib.copy(from: source, to: target)
        guard isDone, unsafe rename(unfinished, "\(path).gz") == 0 else {
            let code = errno == 0 ? EIO : errno
            unsafe unlink(unfinished)
            throw LogFailure("compress", path, code: code)
        }
        guard unsafe unlink(path) == 0 else { throw LogFailure("remove", path) }
    }
}

/// The part of zlib that writes gzip files.
@safe private struct Zlib {
    private typealias Open = @convention(c) (Int32, UnsafePointer<CChar>) -> OpaquePointer?
    private typealias Write = @convention(c) (OpaquePointer, UnsafeRawPointer?, UInt32) -> Int32
    private typealias Close = @convention(c) (OpaquePointer) -> Int32

    private let open: Open
    private let write: Write
    private let close: Close

    /// `nil` when the library is not there.
    init?() {
        guard let library = unsafe dlopen("libz.so.1", RTLD_NOW),
            let open = unsafe dlsym(library, "gzdopen"), let write = unsafe dlsym(library, "gzwrite"),
            let close = unsafe dlsym(library, "gzclose")
        else { return nil }
        // The types are those of zlib.h.
        unsafe self.open = unsafeBitCast(open, to: Open.self)
        unsafe self.write = unsafeBitCast(write, to: Write.self)
        unsafe self.close = unsafeBitCast(close, to: Close.self)
    }

    /// Compresses all of `source` into `target`, which is closed then.
    ///
    /// - Returns: `false` when reading or writing failed.
    func copy(from source: Int32, to target: Int32) -> Bool {
        guard let stream = unsafe self.open(target, "wb") else {
            _ = Foundation.close(target)
            return false
        }
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        var isWhole = true
        while isWhole {
            let count = unsafe read(source, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            if count == 0 { break }
            isWhole = unsafe count > 0 && self.write(stream, buffer, UInt32(count)) == Int32(count)
        }
        return unsafe self.close(stream) == 0 && isWhole
    }
}
