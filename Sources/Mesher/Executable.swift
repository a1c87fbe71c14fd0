// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// The binary of this process.
enum Executable {
    /// Where it is, symbolic links resolved; configuration is looked for beside it.
    static var path: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    }

    /// The directory that it is in.
    static var directory: String { URL(fileURLWithPath: self.path).deletingLastPathComponent().path }
}
