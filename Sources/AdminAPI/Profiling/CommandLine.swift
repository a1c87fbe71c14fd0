// SPDX-License-Identifier: Apache-2.0

/// How this process was started.
///
/// Hides the standard library's type of this name in this module.
enum CommandLine {
    /// The program and its arguments, each followed by a zero byte; empty when the system does not tell.
    ///
    /// - Source: proc_pid_cmdline(5); Go's `/debug/pprof/cmdline` separates them in the same way.
    static func bytes() -> [UInt8] { ProcFile.bytes("/proc/self/cmdline") }
}
