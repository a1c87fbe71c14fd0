// SPDX-License-Identifier: Apache-2.0
// request path

import Common

extension Exchange {
    /// The same with the port as Envoy has it.
    ///
    /// - Source: Envoy's `RouteEntryImplBase::newUri`.
    func exactLocation(_ redirect: Redirect, _ scheme: String) -> String {
        let authority = self.request.authority
        var host = redirect.host ?? self.requestHeaders.string(in: authority.whole)
        if redirect.host == nil, authority.port != 0 {
            // The usual port of the old scheme means nothing in the new one.
            let old = self.isSecure ? "https" : "http"
            let isUsual = authority.port == (self.isSecure ? 443 : 80)
            if redirect.port != nil || scheme != old && isUsual {
                host.removeLast(authority.portDigits.count + 1)
            }
        }
        if let port = redirect.port { host += ":\(port)" }
        var path = self.requestHeaders.string(in: self.request.path)
        if let rewrite = redirect.rewrite {
            let (front, kept) = self.requestHeaders.withBytes(in: self.request.path) { rewrite.parts(of: $0) }
            path = String(decoding: front + Array(path.utf8)[kept], as: UTF8.self)
        }
        if let target = redirect.target {
            let query = path.firstIndex(of: "?").map { path[$0...] } ?? ""
            path = target.contains("?") ? target : target + query
        }
        if redirect.stripsQuery, redirect.target?.contains("?") != true {
            path = String(path.prefix { $0 != "?" })
        }
        return "\(scheme)://\(host)\(path.hasPrefix("/") ? "" : "/")\(path)"
    }
}

extension PathRewrite {
    /// What a target begins with, and which part of the old one follows: with one slash where the two meet.
    func parts(of target: RawSpan) -> (front: [UInt8], kept: Range<Int>) {
        switch self {
        case .whole(let path): return (path, target.pathEnd..<target.byteCount)
        case .pattern(let pattern):
            let root = RequestMatch.root
            var path = pattern.rewrite(
                target.pathEnd > 0 ? target.extracting(0..<target.pathEnd) : root.rawSpan)
            if path.first != UInt8(ascii: "/") { path.insert(UInt8(ascii: "/"), at: 0) }
            return (path, target.pathEnd..<target.byteCount)
        case .bytes(let length, let replacement):
            // A target without a path asks for the root.
            return (replacement, (target.pathEnd > 0 ? min(length, target.byteCount) : 0)..<target.byteCount)
        case .prefix(let length, let replacement):
            // A target without a path asks for the root.
            let hasPath = target.pathEnd > 0
            let start = hasPath ? min(length, target.byteCount) : 0
            let goesOn = hasPath ? start < target.byteCount && target.byte(at: start) == UInt8(ascii: "/") : length == 0
            if goesOn {
                let joint: [UInt8] = hasPath || replacement.last == UInt8(ascii: "/") ? [] : [UInt8(ascii: "/")]
                let isDouble = hasPath && replacement.last == UInt8(ascii: "/")
                return (replacement + joint, (isDouble ? start + 1 : start)..<target.byteCount)
            }
            return (replacement.isEmpty ? [UInt8(ascii: "/")] : replacement, start..<target.byteCount)
        }
    }
}
