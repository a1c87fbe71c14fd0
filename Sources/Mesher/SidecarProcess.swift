// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Glibc

/// A process of this machine that runs a sidecar, as `/proc` shows it.
///
/// Told from other processes of the same binary, such as a registry, by looking for USR1, which would end them.
struct SidecarProcess {
    /// Why none can be told anything.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let id: pid_t
    /// Its words, the program first.
    let words: [String]

    /// The only sidecar in this network that this user may signal; root may signal those of all users.
    static func only() throws(Failure) -> SidecarProcess {
        let found = self.all()
        switch found.count {
        case 1: return found[0]
        case 0:
            throw Failure(
                description: "no sidecar of this user runs here whose binary is \(Executable.path); name one of "
                    + "another binary, or of one that was replaced since, with --pid")
        default:
            let lines = found.map { "\($0.id)  \($0.words.joined(separator: " "))" }
            throw Failure(
                description: "several sidecars run here; name one with --pid:\n" + lines.joined(separator: "\n"))
        }
    }

    /// The process with this number.
    static func named(_ id: pid_t) throws(Failure) -> SidecarProcess {
        guard let process = Self(id) else {
            throw Failure(description: "no process \(id) runs here, or it is another user's")
        }
        guard self.looksForSignal(id) else {
            throw Failure(
                description: "process \(id) is no running sidecar: it does not look for the signal USR1, which would "
                    + "end it")
        }
        return process
    }

    /// Takes it out of service.
    func leave() throws(Failure) {
        guard kill(self.id, SIGUSR1) == 0 else {
            let reason = unsafe strerror(errno).map { unsafe String(cString: $0) } ?? "error \(errno)"
            throw Failure(description: "process \(self.id) cannot be told: \(reason)")
        }
    }

    private static func all() -> [SidecarProcess] {
        // The file and not its path: another container may have another one there. And it may have the same one.
        let (program, network) = (FileIdentity("/proc/self/exe"), FileIdentity("/proc/self/ns/net"))
        guard program != nil else { return [] }
        let ids = ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { pid_t($0) }
        return ids.sorted().compactMap { id in
            guard id != getpid(), FileIdentity("/proc/\(id)/exe") == program,
                FileIdentity("/proc/\(id)/ns/net") == network, self.isReachable(id), self.looksForSignal(id)
            else { return nil }
            return Self(id)
        }
    }

    private init?(_ id: pid_t) {
        guard Self.isReachable(id), let line = FileManager.default.contents(atPath: "/proc/\(id)/cmdline") else {
            return nil
        }
        self.id = id
        self.words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Whether this user may signal it: of others, root alone may.
    private static func isReachable(_ id: pid_t) -> Bool { kill(id, 0) == 0 }

    private static func looksForSignal(_ id: pid_t) -> Bool {
        guard let data = FileManager.default.contents(atPath: "/proc/\(id)/status") else { return false }
        let lines = String(decoding: data, as: UTF8.self).split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("SigCgt:") }) else { return false }
        let mask = UInt64(line.dropFirst("SigCgt:".count).trimmed, radix: 16) ?? 0
        return mask & 1 << UInt64(SIGUSR1 - 1) != 0
    }
}
