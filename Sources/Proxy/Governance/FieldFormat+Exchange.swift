// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// A field whose value is made for each message.
struct FormattedField: Sendable {
    let name: [UInt8]
    let format: FieldFormat
    /// Whether the field comes although its value is empty.
    let keepsEmpty: Bool

    init(_ name: [UInt8], _ format: FieldFormat, keepsEmpty: Bool) {
        self.name = name
        self.format = format
        self.keepsEmpty = keepsEmpty
    }
}

extension Exchange {
    /// Makes changes that were configured, some of which are filled in from what the exchange has.
    ///
    /// - Parameter isResponse: Whether it is the answer's fields that change.
    mutating func apply(filling edits: [RouteEffect.FieldEdit], toResponse isResponse: Bool) {
        // What changes add is seen by none of them.
        let count = isResponse ? self.responseHeaders.count : self.requestHeaders.count
        let worker = self.worker
        for edit in edits {
            guard let field = edit.formatted else {
                if isResponse { self.responseHeaders.apply(edit) } else { self.requestHeaders.apply(edit) }
                continue
            }
            worker.withScratch { value in
                self.fill(field.format, inResponse: isResponse, fields: count, to: &value)
                if value.isEmpty, !field.keepsEmpty { return }
                if isResponse {
                    self.responseHeaders.apply(edit, field, value)
                } else {
                    self.requestHeaders.apply(edit, field, value)
                }
            }
        }
    }

    /// The same changes with their values, for an answer of mesher's own.
    ///
    /// Allocates.
    func filled(_ edits: [HeaderEdit]) -> [HeaderEdit] {
        var filled: [HeaderEdit] = []
        for edit in edits {
            guard case .filled(let plain, let format, let keepsEmpty) = edit else {
                filled.append(edit)
                continue
            }
            var value: [UInt8] = []
            self.fill(format, inResponse: true, fields: 0, to: &value)
            if value.isEmpty, !keepsEmpty { continue }
            filled.append(plain.with(value: String(decoding: value, as: UTF8.self)))
        }
        return filled
    }

    /// Appends what a format comes to.
    ///
    /// - Parameter fields: How many of the fields of the message that changes are looked at.
    func fill(_ format: FieldFormat, inResponse isResponse: Bool, fields: Int, to out: inout [UInt8]) {
        for part in format.parts {
            switch part {
            case .text(let bytes): out.append(contentsOf: bytes)
            case .filled(let filling, let longest):
                let start = out.count
                self.fill(filling, inResponse: isResponse, fields: fields, to: &out)
                if out.count - start > longest { out.removeLast(out.count - start - longest) }
            }
        }
    }

    private func fill(
        _ filling: FieldFormat.Filling, inResponse isResponse: Bool, fields: Int, to out: inout [UInt8]
    ) {
        switch filling {
        case .request(let subject, let other):
            let count = isResponse ? self.requestHeaders.count : fields
            if self.appendRequest(subject, isResponse, fields: count, to: &out) { return }
            if let other { _ = self.appendRequest(other, isResponse, fields: count, to: &out) }
        case .response(let subject, let other):
            guard isResponse else { return }
            if self.appendResponse(subject, fields: fields, to: &out) { return }
            if let other { _ = self.appendResponse(other, fields: fields, to: &out) }
        case .protocolName: self.appendProtocol(to: &out)
        case .status: out.append(decimal: self.response.status)
        case .start(let parts): self.appendStart(parts, to: &out)
        case .client(let part): self.appendClient(part, to: &out)
        case .peer(let part): self.appendPeer(part, to: &out)
        case .endpoint(let part): if isResponse { self.appendEndpoint(part, to: &out) }
        case .cluster: out.append(contentsOf: self.clusterName.utf8)
        case .requestBytes: out.append(decimal: self.requestBytes)
        case .responseBytes: out.append(decimal: self.responseBytes)
        case .tries: out.append(decimal: self.attempts)
        case .flags(let isLong): self.appendFlags(isLong: isLong, to: &out)
        case .details: if isResponse { out.append(contentsOf: self.details.utf8) }
        }
    }

    private func appendFlags(isLong: Bool, to out: inout [UInt8]) {
        ResponseFlags(self).write(isLong: isLong) { out.append(contentsOf: $0.utf8) }
    }

    /// Who has answered, or why nobody has.
    private var details: String {
        if let reason = self.error?.reason { return ResponseFlags(self).details(reason) }
        return self.response.status > 0 ? "via_upstream" : "direct_response"
    }

    // MARK: Heads

    /// - Parameter isSent: Whether what was sent counts, and not what the client has asked for.
    /// - Returns: Whether the request has it.
    private func appendRequest(
        _ subject: FieldMatch.Subject, _ isSent: Bool, fields: Int, to out: inout [UInt8]
    ) -> Bool {
        switch subject {
        case .field(let name): return self.requestHeaders.append(valueOf: name, before: fields, to: &out)
        case .method: return self.requestHeaders.append(self.request.methodName, limit: .max, to: &out) > 0
        case .authority where isSent:
            guard let index = self.requestHeaders.firstIndex(of: .host) else { return false }
            self.requestHeaders.withValue(at: index) { $0.append(0..<$0.byteCount, to: &out) }
        case .authority: return self.requestHeaders.append(self.request.authority.whole, limit: .max, to: &out) > 0
        case .scheme: out.append(contentsOf: (self.isSecure ? "https" : "http").utf8)
        case .path:
            let path = isSent ? self.request.path : self.askedPath
            if self.requestHeaders.append(path, limit: .max, to: &out) == 0 { out.append(UInt8(ascii: "/")) }
        case .status: return false
        }
        return true
    }

    private func appendResponse(_ subject: FieldMatch.Subject, fields: Int, to out: inout [UInt8]) -> Bool {
        switch subject {
        case .field(let name): return self.responseHeaders.append(valueOf: name, before: fields, to: &out)
        case .status where self.response.status > 0:
            out.append(decimal: self.response.status)
            return true
        case .status, .method, .authority, .scheme, .path: return false
        }
    }

    private func appendProtocol(to out: inout [UInt8]) {
        if self.request.flags.contains(.http2) {
            out.append(contentsOf: "HTTP/2".utf8)
        } else {
            out.append(contentsOf: (self.request.minorVersion == 0 ? "HTTP/1.0" : "HTTP/1.1").utf8)
        }
    }

    private func appendStart(_ parts: [FieldFormat.TimePart], to out: inout [UInt8]) {
        let age = (self.worker.now - self.startedAt).nanoseconds / 1_000_000
        let time = WallTime(milliseconds: WallTime.now().milliseconds - age)
        for part in parts {
            switch part {
            case .text(let bytes): out.append(contentsOf: bytes)
            case .seconds: out.append(decimal: Int(time.milliseconds / 1000))
            case .digits(let range):
                let start = out.count
                time.append(to: &out)
                out.removeLast(out.count - start - range.upperBound)
                out.removeSubrange(start..<start + range.lowerBound)
            }
        }
    }

    // MARK: Addresses

    /// The last address that a proxy before has told, unless it is none, or else that of the connection.
    private func appendClient(_ part: FieldFormat.AddressPart, to out: inout [UInt8]) {
        let start = out.count
        if let index = self.requestHeaders.firstIndex(of: .xForwardedFor) {
            self.requestHeaders.withValue(at: index) { value in
                var begin = value.byteCount
                while begin > 0, value.byte(at: begin - 1) != .comma { begin -= 1 }
                while begin < value.byteCount, value.byte(at: begin) == .space { begin += 1 }
                let text = value.extracting(begin..<value.byteCount)
                guard let literal = IPLiteral(text) else { return }
                let isV6 = part == .whole && literal.address.v4 == nil
                if isV6 { out.append(UInt8(ascii: "[")) }
                if part == .port {
                    out.append(0x30)
                } else {
                    text.append(0..<text.byteCount, to: &out)
                }
                if isV6 { out.append(UInt8(ascii: "]")) }
                if part == .whole { out.append(contentsOf: ":0".utf8) }
            }
        }
        if out.count == start { self.appendPeer(part, to: &out) }
    }

    private func appendPeer(_ part: FieldFormat.AddressPart, to out: inout [UInt8]) {
        guard let peer = self.peer, let address = IPAddress(peer) else { return }
        if part != .port {
            if let v4 = address.v4 {
                for shift in [24, 16, 8, 0] as [UInt32] {
                    out.append(decimal: Int(v4 >> shift & 255))
                    if shift > 0 { out.append(.dot) }
                }
            } else if part == .whole {
                out.append(contentsOf: "[\(peer.ipAddress ?? "")]".utf8)
            } else {
                out.append(contentsOf: (peer.ipAddress ?? "").utf8)
            }
        }
        if part == .whole { out.append(.colon) }
        if part != .host { out.append(decimal: peer.port ?? 0) }
    }

    private func appendEndpoint(_ part: FieldFormat.AddressPart, to out: inout [UInt8]) {
        guard let endpoint = self.endpoint else { return }
        switch part {
        case .whole: out.append(contentsOf: endpoint.url.utf8.dropFirst(endpoint.protocolName.utf8.count + 3))
        case .host: out.append(contentsOf: endpoint.host.utf8)
        case .port: out.append(decimal: endpoint.port)
        }
    }

    /// The name of the cluster that the route leads to, or of the service where clusters have none.
    private var clusterName: String {
        guard let policy = self.target?.policy else { return "" }
        let named = self.cluster > 0 ? policy.host?.clusters[self.cluster - 1].name : nil
        return named ?? policy.service
    }
}

extension ResponseFlags {
    /// Those of a request, so far as it has come.
    init(_ exchange: borrowing Exchange) {
        self = exchange.noted.adding(
            exchange.error?.reason, hasCluster: exchange.cluster > 0,
            isStreamReset: exchange.attempt.resetCode != nil)
    }
}

extension HeaderBlock {
    /// Appends the value of the first field of a name among the first `count` of the table.
    ///
    /// - Returns: Whether there is one.
    fileprivate func append(valueOf name: [UInt8], before count: Int, to out: inout [UInt8]) -> Bool {
        guard let index = self.firstIndex(ofLowercased: name), index < count else { return false }
        self.withValue(at: index) { $0.append(0..<$0.byteCount, to: &out) }
        return true
    }
}

extension [UInt8] {
    /// Appends a number that is not negative.
    fileprivate mutating func append(decimal number: Int) {
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            self.append(UInt8(truncatingIfNeeded: 0x30 + number / divisor % 10))
            divisor /= 10
        }
    }
}
