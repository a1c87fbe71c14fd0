// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import NIOSSL

/// A file without which nobody can be called: its description says what to do.
struct UnusableFile: Error, Equatable, CustomStringConvertible {
    let path: String
    /// What is wrong with it: a predicate.
    let problem: String
    let remedy: String

    var description: String { "\(self.path) \(self.problem): \(self.remedy)" }

    /// What a file has.
    static func read(_ path: String, remedy: String) throws(UnusableFile) -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw UnusableFile(path: path, problem: "cannot be read", remedy: remedy)
        }
        return Array(data)
    }

    /// What a file with certificates has, as it is written: PEM.
    static func readCertificates(_ path: String, remedy: String) throws(UnusableFile) -> [UInt8] {
        let bytes = try Self.read(path, remedy: remedy)
        guard !bytes.isEmpty, let found = try? NIOSSLCertificate.fromPEMBytes(bytes), !found.isEmpty else {
            throw UnusableFile(path: path, problem: "has no certificate", remedy: "write it as PEM")
        }
        return bytes
    }
}
