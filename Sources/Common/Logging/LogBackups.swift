// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import Glibc

/// The old files beside a log file: `chassis-2026-11-28T00-12-34.567.log` for `chassis.log`, with `.gz` when it is
/// compressed; the time, in UTC, is when the file was put aside.
///
/// - Source: lumberjack, which the original writes its logs with; files of either are known to the other.
struct LogBackups: Sendable {
    private static let pattern = Array("0000-00-00T00-00-00.000".utf8)

    /// Where they are.
    let directory: String
    private let prefix: String
    private let suffix: String

    /// The old files of the log file at `path`.
    init(of path: String) {
        let name = path.split(separator: "/", omittingEmptySubsequences: false).last.map(String.init) ?? path
        self.directory = name.count == path.count ? "." : String(path.dropLast(name.count))
        let dot = name.lastIndex(of: ".") ?? name.endIndex
        self.prefix = name[..<dot] + "-"
        self.suffix = String(name[dot...])
    }

    /// A path that is free, for the file that is put aside at this time.
    func newPath(at time: WallTime) -> String {
        var time = time
        while true {
            let path = self.path(Self.text(time))
            if !Self.exists(path), !Self.exists(path + ".gz") { return path }
            time = time + .milliseconds(1)
        }
    }

    /// The times of all old files, the newest first.
    func times() -> [String] { Set(self.names().compactMap(self.time)).sorted(by: >) }

    /// The paths of those that are not compressed, the newest first.
    func uncompressed() -> [String] {
        let paths = self.names().filter { !$0.hasSuffix(".gz") }.compactMap(self.time).map(self.path)
        return paths.sorted(by: >)
    }

    /// Those that are to go: beyond the count, or too old.
    func outdated(_ rotation: LogSettings.Rotation, at now: WallTime) -> [String] {
        let times = self.times()
        let kept = rotation.backupCount > 0 ? rotation.backupCount : times.count
        // Times in this form are in the order of their texts.
        let oldest = rotation.ageInDays > 0 ? Self.text(now + .seconds(-86_400 * rotation.ageInDays)) : ""
        return times.enumerated().filter { $0.offset >= kept || $0.element < oldest }.flatMap { _, time in
            let path = self.path(time)
            return [path, path + ".gz"].filter(Self.exists)
        }
    }

    private static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    private func names() -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: self.directory)) ?? [] }

    private func path(_ time: String) -> String {
        let name = self.prefix + time + self.suffix
        return self.directory == "." ? name : self.directory + name
    }

    /// The time in a name; `nil` for a file that is none of ours.
    private func time(in name: String) -> String? {
        let name = name.hasSuffix(".gz") ? String(name.dropLast(3)) : name
        guard name.hasPrefix(self.prefix), name.hasSuffix(self.suffix) else { return nil }
        let time = name.dropFirst(self.prefix.count).dropLast(self.suffix.count)
        guard time.utf8.count == Self.pattern.count else { return nil }
        let isTime = zip(time.utf8, Self.pattern).allSatisfy { $1.isDigit ? $0.isDigit : $0 == $1 }
        return isTime ? String(time) : nil
    }

    private static func text(_ time: WallTime) -> String {
        var text: [UInt8] = []
        time.appendFileName(to: &text)
        return String(decoding: text, as: UTF8.self)
    }
}
