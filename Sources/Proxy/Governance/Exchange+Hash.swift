// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

extension Exchange {
    /// A hash of those of the route's keys that the request has, up to the first one that is the last to count; `nil` when it
    /// has none.
    ///
    /// A request without a cookie that clients are given gets one: what it will be is the hash.
    ///
    /// - Source: Envoy's hash policies, for how several values become one.
    package mutating func hash(_ effect: RouteEffect) -> UInt64? {
        var hash: UInt64?
        for key in effect.action.hashKeys {
            if let value = self.hash(of: key) { hash = (hash.map { $0 << 1 | $0 >> 63 } ?? 0) ^ value }
            if key.isLast, hash != nil { break }
        }
        return hash
    }

    private mutating func hash(of key: HashKey) -> UInt64? {
        switch key.part {
        case .header(let name):
            guard let index = self.requestHeaders.firstIndex(ofLowercased: name) else { return nil }
            return self.requestHeaders.withValue(at: index) { HashRing.hash($0) }
        case .cookie(let name):
            let known: UInt64?? = self.requestHeaders.withCookie(name) { value in
                let value = value.unquoted
                return value.isEmpty ? nil : HashRing.hash(value)
            }
            if let hash = known ?? nil { return hash }
            return key.newCookie.map { self.hash(ofNew: $0) }
        case .query(let name):
            return self.requestHeaders.withBytes(in: self.askedPath) { target in
                let query = target.extracting(min(target.pathEnd + 1, target.byteCount)..<target.byteCount)
                return query.parameter(name).map { HashRing.hash(query.extracting($0)) }
            }
        case .source:
            guard let peer = self.peer.flatMap({ IPAddress($0) }) else { return nil }
            return FastRandom.mix(peer.high ^ FastRandom.mix(peer.low))
        }
    }

    /// The hash of a cookie that the client is given with the answer: the same for all requests of a connection, since some
    /// of them may be under way at once.
    ///
    /// Allocates: once for a client, as a rule.
    private mutating func hash(ofNew cookie: NewCookie) -> UInt64 {
        let number =
            self.peer.map { peer in
                let bytes = Array("\(peer)".utf8)
                return HashRing.hash(bytes.rawSpan)
            } ?? self.worker.random.next()
        let digits = String(number, radix: 16)
        let value = String(repeating: "0", count: 16 - digits.count) + digits
        self.balancing.newCookie = cookie.field(value)
        let bytes = Array(value.utf8)
        return HashRing.hash(bytes.rawSpan)
    }
}

extension RawSpan {
    /// The text between quotes, or all of it: RFC 6265 §4.1.1.
    fileprivate var unquoted: RawSpan {
        @_lifetime(copy self)
        get {
            let quote = UInt8(ascii: "\"")
            guard self.byteCount >= 2, self.byte(at: 0) == quote, self.byte(at: self.byteCount - 1) == quote else {
                return self
            }
            return self.extracting(1..<self.byteCount - 1)
        }
    }
}
