// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages

extension RouteCompiler {
    /// What hashes of a route's requests are taken of.
    ///
    /// - Source: Envoy's `RouteAction.HashPolicy`.
    mutating func hashKeys(_ policies: [XDSRouteAction.HashPolicy]) throws(ResourceMistake) -> [HashKey] {
        var keys: [HashKey] = []
        for policy in policies {
            let isLast = policy.terminal
            switch policy.policySpecifier {
            case .header(let header):
                guard !header.headerName.isEmpty else { throw ResourceMistake("hash_policy: a header without a name") }
                keys.append(HashKey(.header(Array(header.headerName.lowercased().utf8)), isLast: isLast))
            case .cookie(let cookie): keys.append(try Self.hashKey(cookie, isLast: isLast))
            case .queryParameter(let parameter):
                guard !parameter.name.isEmpty else { throw ResourceMistake("hash_policy: a parameter without a name") }
                keys.append(HashKey(.query(Array(parameter.name.utf8)), isLast: isLast))
            case .connectionProperties(let properties):
                // Without it there is nothing else of a connection that could be meant.
                if properties.sourceIp { keys.append(HashKey(.source, isLast: isLast)) }
            case nil: self.note("a hash policy is not known, and passed by")
            }
        }
        return keys
    }

    private static func hashKey(
        _ cookie: XDSRouteAction.HashPolicy.Cookie, isLast: Bool
    ) throws(ResourceMistake) -> HashKey {
        guard !cookie.name.isEmpty else { throw ResourceMistake("hash_policy: a cookie without a name") }
        let name = Array(cookie.name.utf8)
        guard cookie.hasTtl else { return HashKey(.cookie(name), isLast: isLast) }
        let attributes = cookie.attributes.map { $0.value.isEmpty ? $0.name : "\($0.name)=\($0.value)" }
        for text in [cookie.path] + attributes + [cookie.name] {
            guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F && $0 != UInt8(ascii: ";") }) else {
                throw ResourceMistake("hash_policy: the cookie \(cookie.name) cannot be written")
            }
        }
        return HashKey(
            .cookie(name), isLast: isLast,
            newCookie: NewCookie(
                cookie.name, lifetime: try Duration(cookie.ttl, of: "ttl"), path: cookie.path, attributes: attributes))
    }
}
