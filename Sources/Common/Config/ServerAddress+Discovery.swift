// SPDX-License-Identifier: Apache-2.0

extension ServerAddress {
    /// The port where Istio's control plane speaks xDS in plain text.
    private static let plainPort = 15_010
    /// Where it speaks TLS, and wants a certificate of its clients: Istio up to 1.6.
    private static let mutualPort = 15_011
    /// Where it speaks TLS, and takes a token of its clients.
    private static let securePort = 15_012

    /// Reads the address of Istio's control plane: `grpc://host:port`, `http://host:port` or `host:port`, which mean the
    /// same, or with `grpcs` or `https`, which is TLS; without a port 15010, with TLS 15012.
    ///
    /// The ports 15011 and 15012 are TLS however they are written.
    ///
    /// - Throws: Also for a path.
    package init(discovery written: some StringProtocol) throws(ConfigMistake) {
        let text = String(written.filter { !$0.isWhitespace })
        var rest = text[...]
        var scheme = "grpc"
        if let end = text.firstRange(of: "://") {
            scheme = text[..<end.lowerBound].lowercased()
            rest = text[end.upperBound...]
        }
        let saysTLS = ["grpcs", "https"].contains(scheme)
        guard saysTLS || ["grpc", "http"].contains(scheme) else {
            throw ConfigMistake(
                "\"\(scheme)\" is no scheme of Istio's control plane",
                remedy: "write grpc://host:15010, or grpcs://host:15012")
        }
        while rest.last == "/" { rest.removeLast() }
        let hasPort = rest.last != "]" && rest.contains(":")
        let place = hasPort ? "\(rest)" : "\(rest):\(saysTLS ? Self.securePort : Self.plainPort)"
        let port = try ServerAddress("http://\(place)").port
        let isSecure = saysTLS || port == Self.securePort || port == Self.mutualPort
        try self.init("\(isSecure ? "https" : "http")://\(place)")
        guard self.path.isEmpty else {
            throw ConfigMistake("an address of Istio's control plane has no path", remedy: "write grpc://host:15010")
        }
    }

    /// Whether Istio's control plane wants a certificate of its clients there, rather than a token.
    package var isMutual: Bool { self.isSecure && self.port == Self.mutualPort }
}
