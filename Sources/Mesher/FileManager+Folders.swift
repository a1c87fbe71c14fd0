// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

extension FileManager {
    /// Whether there is a folder at the path.
    func isFolder(_ path: String) -> Bool { self.fileExists(atPath: "\(path)/.") }
}
