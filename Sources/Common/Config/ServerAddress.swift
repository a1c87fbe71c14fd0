// SPDX-License-Identifier: Apache-2.0

/// The address of a server of the control plane, as people write it: `http://host:port`, without a port or without a scheme.
package struct ServerAddress: Sendable, Equatable {
    /// Whether TLS is spoken there.
    package let isSecure: Bool
    /// A name, or an address; one of IPv6 without its brackets.
    package let host: String
    /// As written, or that of the scheme: 80, or 443.
    package let port: Int
    /// What stands behind the port, without a slash at its end; mostly empty.
    package let path: String
    /// Whether a user or a password stood before the host: nobody sends them, and nothing shows them.
    package let hadUser: Bool

    /// Whether the host is a name, which has to be looked up.
    package var isName: Bool { !Self.isAddress(self.host[...]) }

    /// `scheme://host:port/path`, always with the port.
    package var text: String {
        "\(self.isSecure ? "https" : "http")://\(self.host.asHost):\(self.port)\(self.path)"
    }

    /// Reads an address.
    ///
    /// - Throws: A mistake that shows no password.
    package init(_ written: some StringProtocol) throws(ConfigMistake) {
        let text = String(written.filter { !$0.isWhitespace })
        let shown = text.split(separator: "@", omittingEmptySubsequences: false).last.map(String.init) ?? text
        let problem = "\"\(shown)\" is no address of a server"
        let mistake = ConfigMistake(problem, remedy: "write http://host:port or https://host:port")
        var rest = text[...]
        var scheme = "http"
        if let end = rest.firstRange(of: "://") {
            scheme = rest[..<end.lowerBound].lowercased()
            rest = rest[end.upperBound...]
        }
        if rest.contains(";") { throw ConfigMistake(problem, remedy: "write a comma between addresses") }
        guard scheme == "http" || scheme == "https", !rest.contains(where: { "?#;".contains($0) }) else {
            throw mistake
        }
        self.isSecure = scheme == "https"
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        var path = rest[slash...]
        while path.last == "/" { path.removeLast() }
        self.path = String(path)
        rest = rest[..<slash]
        let at = rest.lastIndex(of: "@")
        self.hadUser = at != nil
        if let at { rest = rest[rest.index(after: at)...] }
        guard let (host, port) = Self.split(rest) else { throw mistake }
        guard Self.isAddress(host) || !host.contains(":") && HostName.isName(String(host)) else { throw mistake }
        self.host = String(host)
        if let port {
            if let number = Int(port), number > 65_535 { throw ConfigMistake(problem, remedy: "ports end at 65535") }
            guard !port.isEmpty, port.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(port),
                (1...65_535).contains(number)
            else { throw mistake }
            self.port = number
        } else {
            self.port = self.isSecure ? 443 : 80
        }
    }

    private static func isAddress(_ host: Substring) -> Bool {
        let bytes = Array(host.utf8)
        return IPLiteral(bytes.rawSpan) != nil
    }

    private static func split(_ text: Substring) -> (host: Substring, port: Substring?)? {
        guard text.first == "[" else {
            let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            return parts.count == 2 ? (parts[0], parts[1]) : (text, nil)
        }
        guard let end = text.firstIndex(of: "]") else { return nil }
        let host = text[text.index(after: text.startIndex)..<end]
        let rest = text[text.index(after: end)...]
        if rest.isEmpty { return host.contains(":") ? (host, nil) : nil }
        return host.contains(":") && rest.first == ":" ? (host, rest.dropFirst()) : nil
    }
}

extension ConfigReader {
    /// The addresses of an entry, separated by commas, which share one store; mistakes are noted.
    ///
    /// - Parameter allowsPath: Whether something may stand behind the port.
    mutating func readServers(_ key: ConfigKey<String>, allowsPath: Bool, isControlPlane: Bool = false)
        -> [ServerAddress]
    {
        guard let entry = self.store.entry(key.name) else { return [] }
        var addresses: [ServerAddress] = []
        for part in self.read(key).split(separator: ",") where !part.allSatisfy(\.isWhitespace) {
            do throws(ConfigMistake) {
                if part.split(whereSeparator: \.isWhitespace).count > 1 {
                    throw ConfigMistake("there is a blank inside an address", remedy: "write a comma between addresses")
                }
                let address = isControlPlane ? try ServerAddress(discovery: part) : try ServerAddress(part)
                guard allowsPath || address.path.isEmpty else {
                    throw ConfigMistake(
                        "\"\(address.text)\" has a path, which is chosen here",
                        remedy: "write it without \(address.path)")
                }
                addresses.append(address)
                guard address.hadUser else { continue }
                self.note(
                    ConfigProblem(
                        .warning, at: entry.value.location, key: entry.key,
                        "the user and the password in the address of \(address.host) are sent to nobody",
                        remedy: "write cse.credentials.account instead"))
            } catch {
                self.note(entry, error)
            }
        }
        if Set(addresses.map(\.isSecure)).count > 1 {
            self.note(
                entry,
                isControlPlane
                    ? ConfigMistake(
                        "addresses with TLS and without stand side by side", remedy: "write grpcs:// before all of them"
                    )
                    : ConfigMistake("http and https stand side by side", remedy: "write https:// before all of them"))
        }
        return addresses
    }
}
