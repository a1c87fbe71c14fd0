// SPDX-License-Identifier: Apache-2.0

extension ServerAddress {
    /// The port where Istio's control plane speaks xDS in plain text.
    private static let discoveryPort = 15_010

    /// Reads the address of Istio's control plane: `grpc://host:port`, `http://host:port` or `host:port`, which mean the
    /// same; 15010 without a port.
    ///
    /// - Throws: Also for `https` and `grpcs`, as TLS is not spoken there yet, and for a path.
    package init(discovery written: some StringProtocol) throws(ConfigMistake) {
        let text = String(written.filter { !$0.isWhitespace })
        var rest = text[...]
        var scheme = "grpc"
        if let end = text.firstRange(of: "://") {
            scheme = text[..<end.lowerBound].lowercased()
            rest = text[end.upperBound...]
        }
        guard !["https", "grpcs"].contains(scheme) else {
            throw ConfigMistake(
                "TLS is not spoken to Istio's control plane yet", remedy: "write grpc://host:15010, its plain port")
        }
        guard scheme == "grpc" || scheme == "http" else {
            throw ConfigMistake(
                "\"\(scheme)\" is no scheme of Istio's control plane", remedy: "write grpc://host:15010")
        }
        while rest.last == "/" { rest.removeLast() }
        let hasPort = rest.last != "]" && rest.contains(":")
        try self.init(hasPort ? "http://\(rest)" : "http://\(rest):\(Self.discoveryPort)")
        guard self.path.isEmpty else {
            throw ConfigMistake("an address of Istio's control plane has no path", remedy: "write grpc://host:15010")
        }
    }
}
