// SPDX-License-Identifier: Apache-2.0

/// The names that a server of ours may be asked by, so that no web page reaches it through a name of its own.
///
/// - Source: promise T6 (DNS rebinding).
package struct HostNames: Sendable {
    private let names: Set<String>
    /// Where others can be added.
    let key: String

    /// - Parameter names: Beside `localhost` and every IP address.
    /// - Parameter key: The setting that adds others.
    package init(_ names: [String], key: String) {
        self.names = Set(names.map { $0.lowercased() } + ["localhost"])
        self.key = key
    }

    /// Whether it may be asked by the name in `authority`, which may have a port.
    ///
    /// - Parameter authority: What the request says; one without may be anybody's.
    package func allow(_ authority: String?) -> Bool {
        guard let authority, !authority.isEmpty else { return true }
        if authority.hasPrefix("[") { return true }
        let host = authority.prefix { $0 != ":" }
        // A name cannot consist of digits and dots alone.
        if host.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }) { return true }
        return self.names.contains(host.lowercased())
    }
}
