// SPDX-License-Identifier: Apache-2.0

import Common

/// Names that Kubernetes takes.
enum Names {
    /// Whether it may name a container or a volume.
    ///
    /// - Source: RFC 1123 §2.1, as Kubernetes has it.
    static func isLabel(_ text: String) -> Bool {
        1...63 ~= text.utf8.count && text.utf8.first != 0x2d && text.utf8.last != 0x2d
            && text.utf8.allSatisfy { $0.isDigit || $0 &- 0x61 < 26 || $0 == 0x2d }
    }

    /// Whether it may name an object: labels with dots between them.
    static func isSubdomain(_ text: String) -> Bool {
        text.utf8.count <= 253
            && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy {
                !$0.isEmpty && $0.utf8.first != 0x2d && $0.utf8.last != 0x2d
                    && $0.utf8.allSatisfy { $0.isDigit || $0 &- 0x61 < 26 || $0 == 0x2d }
            }
    }
}
