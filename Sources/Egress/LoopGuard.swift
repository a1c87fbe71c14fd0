// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Ends a request that has come back to the sidecar which sent it: by a registry that names an outgoing listener as an
/// instance, or by sidecars that are each other's.
///
/// Each process has a token of its own, which it adds to `x-mesher-hop`. Only the outgoing listener looks for it: an
/// application may well call, by way of others, a service that calls it. The incoming side takes the field off.
///
/// - Source: promise T5.
struct LoopGuard: Sendable {
    /// More sidecars than this are none that anybody has put there.
    private static let longest = 16

    private let token: [UInt8]
    private let line: HeaderLine

    init() { self.init(token: HopToken.own) }

    init(token: String) {
        self.token = Array(token.utf8)
        self.line = HeaderLine("x-mesher-hop", token)
    }

    /// Marks a request as having been here.
    ///
    /// - Returns: `false` when it has been here before.
    func mark(_ headers: inout HeaderBlock) -> Bool {
        guard let index = headers.firstIndex(of: .meshHop) else {
            headers.append(self.line)
            return true
        }
        let tokens = headers.withValue(at: index) { $0.string(in: 0..<$0.byteCount) }
        let hops = tokens.utf8.split(separator: .comma).map { $0.filter { $0 != .space } }
        guard !hops.contains(self.token), hops.count < Self.longest else { return false }
        headers.remove(.meshHop)
        headers.append(.meshHop, "x-mesher-hop", "\(tokens), \(String(decoding: self.token, as: UTF8.self))")
        return true
    }
}

/// The token of this process.
enum HopToken {
    /// 64 random bits: two processes with the same would refuse each other's requests.
    static let own = {
        let digits = String(UInt64.random(in: 0 ... .max), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }()
}
