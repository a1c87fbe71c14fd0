// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FoundationEssentials
import Glibc

/// A manifest that a command is given: a file, or standard input.
struct ManifestFile {
    /// What it is called in messages.
    let name: String
    let bytes: [UInt8]

    /// What a cluster would not take either.
    private static let mostBytes = 64 * 1_024 * 1_024

    /// - Parameter path: `-` for standard input; `nil` for that unless it is a terminal.
    init(_ path: String?) throws {
        let isInput = path == nil || path == "-"
        if path == nil, isatty(STDIN_FILENO) == 1 {
            throw ValidationError("there is no manifest; write -f FILE, or -f - for standard input")
        }
        self.name = isInput ? "standard input" : path ?? ""
        if isInput {
            guard let bytes = Self.input() else {
                throw Exit.because("standard input cannot be read, or has more than \(Self.mostBytes) bytes")
            }
            self.bytes = bytes
            return
        }
        do {
            self.bytes = Array(try Data(contentsOf: URL(fileURLWithPath: self.name)))
        } catch {
            throw Exit.because("\(self.name) cannot be read")
        }
    }

    private static func input() -> [UInt8]? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(STDIN_FILENO, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count == 0 { return bytes }
            guard count > 0, bytes.count + count <= Self.mostBytes else { return nil }
            bytes += buffer[..<count]
        }
    }
}
