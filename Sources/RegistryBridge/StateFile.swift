// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Glibc

/// A file of the state directory: what a sidecar knew, for its next start.
///
/// It is written as a whole or not at all, and only the user of the process can read it: what instances say of themselves
/// is nobody else's business on a machine.
package struct StateFile: Sendable {
    /// Why it was not read or written, in words.
    package struct Failure: Error, CustomStringConvertible {
        /// The system's, where it has some.
        package let description: String
    }

    /// Larger files are nobody's state.
    private static let sizeLimit = 256 << 20

    /// Where it is.
    package let path: String

    /// A file in `directory`.
    ///
    /// - Parameter kind: What it holds, the first word of its name.
    /// - Parameter owner: Application, service and port: what tells the sidecars of a machine apart.
    /// - Parameter type: The end of its name, without the dot.
    package init(_ kind: String, of owner: [String], in directory: String, type: String) {
        let parts = owner.map { $0.percentEncoded { $0.isUnreserved && $0 != UInt8(ascii: "~") } }
        self.path = "\(directory)/\(kind)-\(parts.joined(separator: "-")).\(type)"
    }

    /// - Returns: `nil` when there is no file.
    func read() throws(Failure) -> Data? {
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: self.path) else { return nil }
        do {
            guard (attributes[.size] as? Int ?? 0) <= Self.sizeLimit else { throw CocoaError(.fileReadTooLarge) }
            return try Data(contentsOf: URL(fileURLWithPath: self.path))
        } catch {
            throw Failure(description: Self.words(error))
        }
    }

    func write(_ data: Data) throws(Failure) {
        let url = URL(fileURLWithPath: self.path)
        let files = FileManager.default
        do {
            try files.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try data.write(to: url, options: .atomic)
            try files.setAttributes([.posixPermissions: 0o600], ofItemAtPath: self.path)
        } catch {
            throw Failure(description: Self.words(error))
        }
    }

    /// In the system's words where it has some: Foundation's are for programmers.
    private static func words(_ error: any Error) -> String {
        guard let system = (error as? CocoaError)?.underlying as? POSIXError else { return "\(error)" }
        return unsafe String(cString: strerror(system.code.rawValue))
    }
}
