// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Files below `/proc`, which the kernel writes while they are read.
///
/// They have no size and come a page at a time; Foundation takes the first short piece for the whole.
enum ProcFile {
    /// All bytes; none when it cannot be read.
    static func bytes(_ path: String) -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = unsafe read(descriptor, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return bytes }
            bytes.append(contentsOf: piece[..<count])
        }
    }

    /// All of it as text; empty when it cannot be read.
    static func text(_ path: String) -> String { String(decoding: Self.bytes(path), as: UTF8.self) }
}
