// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A log file that is opened again when it was moved away, and put aside when it is full or its day is over.
///
/// For one thread. Only regular files are put aside; a device or a pipe is written to as it is. One process may write
/// to a file that it rotates; with others, let logrotate do it.
final class LogFile {
    /// How long a look at the path is good for.
    private static let lookInterval = Duration.seconds(1)
    /// How long after a failure a file is not put aside again.
    private static let retryInterval = Duration.seconds(60)
    /// How often old files are looked at when nothing else makes us do so.
    private static let tidyInterval = Duration.seconds(3600)

    /// Where it is.
    let path: String
    /// When it is put aside, and what becomes of the old ones.
    var rotation = LogSettings.Rotation()
    private let complaints: LogComplaints
    private let rotations: Counter
    private let backups: LogBackups
    private var descriptor: Int32 = -1
    private var status = stat()
    private var size = 0
    /// The day of what is in the file.
    private var day: Int64 = 0
    private var lastLook: WallTime?
    private var lastTidy: WallTime?
    private var failedRotation: WallTime?
    /// The last line is not whole.
    private var isTorn = false

    /// A file that is opened when it is needed.
    init(_ path: String, _ complaints: LogComplaints, rotations: Counter) {
        self.path = path
        self.complaints = complaints
        self.rotations = rotations
        self.backups = LogBackups(of: path)
    }

    deinit { self.close() }

    /// Opens the file unless it is open; complains when that fails.
    func open(at now: WallTime) {
        do throws(LogFailure) { try self.look(at: now) } catch { self.complaints.report(error, at: now) }
    }

    /// Writes whole lines.
    ///
    /// - Throws: What was left unwritten is lost; the next call tries again.
    func write(_ lines: RawSpan, at now: WallTime) throws(LogFailure) {
        try self.look(at: now)
        var rest = lines
        while rest.byteCount > 0 {
            if self.isOfEarlierDay(now) { try self.rotate(at: now) }
            let end = self.end(ofWhatFits: rest, at: now)
            if end > 0 {
                try self.append(rest.extracting(first: end), at: now)
                rest = rest.extracting(droppingFirst: end)
            } else {
                try self.rotate(at: now)
            }
        }
    }

    private func append(_ lines: RawSpan, at now: WallTime) throws(LogFailure) {
        if self.size == 0 { self.day = now.day }
        if self.isTorn {
            let end: [UInt8] = [.lineFeed]
            try self.append(end.rawSpan)
            self.isTorn = false
        }
        try self.append(lines)
    }

    private func append(_ bytes: RawSpan) throws(LogFailure) {
        let descriptor = self.descriptor
        let (written, code) = unsafe bytes.withUnsafeBytes { unsafe LogStream.writeAll($0, to: descriptor) }
        self.size += written
        guard code != 0 else { return }
        if written > 0 { self.isTorn = bytes.byte(at: written - 1) != .lineFeed }
        throw LogFailure("write", self.path, code: code)
    }
}

/// Opening.
extension LogFile {
    /// Opens the file when it is not open, or no longer the one at its path; looks at most once a second.
    private func look(at now: WallTime) throws(LogFailure) {
        if self.descriptor >= 0 {
            if let last = self.lastLook, !last.isOver(Self.lookInterval, at: now) { return }
            self.lastLook = now
            if self.isInPlace() {
                self.tidyNowAndThen(at: now)
                return
            }
            self.close()
        }
        try self.reopen(at: now)
        self.tidyNowAndThen(at: now)
    }

    private func isInPlace() -> Bool {
        var status = stat()
        guard unsafe stat(self.path, &status) == 0 else { return false }
        guard status.st_ino == self.status.st_ino, status.st_dev == self.status.st_dev else { return false }
        // Somebody else may have cut it short, as logrotate's `copytruncate` does.
        if self.isRegular { self.size = Int(status.st_size) }
        return true
    }

    private func reopen(at now: WallTime) throws(LogFailure) {
        // Not waiting for the reader of a pipe; for a regular file it changes nothing.
        let flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK
        var descriptor = unsafe Glibc.open(self.path, flags, 0o640)
        if descriptor < 0, errno == ENOENT {
            try self.makeDirectory()
            descriptor = unsafe Glibc.open(self.path, flags, 0o640)
        }
        guard descriptor >= 0 else { throw LogFailure("open", self.path) }
        unsafe fstat(descriptor, &self.status)
        self.descriptor = descriptor
        self.size = self.isRegular ? Int(self.status.st_size) : 0
        self.day = WallTime(milliseconds: Int64(self.status.st_mtim.tv_sec) * 1000).day
        self.isTorn = false
        self.lastLook = now
    }

    private func makeDirectory() throws(LogFailure) {
        var end = self.path.startIndex
        while let slash = self.path[end...].firstIndex(of: "/") {
            end = self.path.index(after: slash)
            let directory = String(self.path[..<slash])
            if !directory.isEmpty, unsafe mkdir(directory, 0o755) != 0, errno != EEXIST {
                throw LogFailure("make the directory of", self.path)
            }
        }
    }

    private func close() {
        if self.descriptor >= 0 { _ = Glibc.close(self.descriptor) }
        self.descriptor = -1
    }
}

/// Putting aside.
extension LogFile {
    private var isRegular: Bool { self.status.st_mode & S_IFMT == S_IFREG }

    /// Whether the file may be put aside now: not when that has just failed, and the log goes on in the old file.
    private func isRotating(at now: WallTime) -> Bool {
        guard !self.rotation.isDisabled, self.isRegular, self.size > 0 else { return false }
        return self.failedRotation?.isOver(Self.retryInterval, at: now) ?? true
    }

    private func isOfEarlierDay(_ now: WallTime) -> Bool {
        self.rotation.policy == .daily && self.day != now.day && self.isRotating(at: now)
    }

    /// How many bytes of the lines the file has room for; whole lines, none when it must be put aside first.
    private func end(ofWhatFits lines: RawSpan, at now: WallTime) -> Int {
        guard self.rotation.policy == .size, !self.rotation.isDisabled, self.isRegular else { return lines.byteCount }
        var end = max(self.rotation.sizeInMegabytes << 20 - self.size, 0)
        if end >= lines.byteCount { return lines.byteCount }
        while end > 0, lines.byte(at: end - 1) != .lineFeed { end -= 1 }
        if end > 0 || self.isRotating(at: now) { return end }
        return lines.byteCount
    }

    private func rotate(at now: WallTime) throws(LogFailure) {
        if self.isInPlace() {
            guard unsafe rename(self.path, self.backups.newPath(at: now)) == 0 else {
                self.failedRotation = now
                self.complaints.report(LogFailure("rotate", self.path), at: now)
                return
            }
            self.rotations.add()
            self.failedRotation = nil
        }
        self.close()
        try self.reopen(at: now)
        self.tidy(at: now)
    }

    private func tidyNowAndThen(at now: WallTime) {
        if self.lastTidy?.isOver(Self.tidyInterval, at: now) ?? true { self.tidy(at: now) }
    }

    private func tidy(at now: WallTime) {
        self.lastTidy = now
        guard !self.rotation.isDisabled, self.isRegular else { return }
        for path in self.backups.outdated(self.rotation, at: now) where unsafe unlink(path) != 0 {
            self.complaints.report(LogFailure("remove", path), at: now)
        }
        if self.rotation.isCompressing { LogCompression.start(self.backups, self.complaints, at: now) }
    }
}
