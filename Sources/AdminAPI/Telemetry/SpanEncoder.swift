// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore

/// Writes requests as spans, in the JSON of one of three formats.
///
/// Pure. The side that a span shows follows from the request's direction: outgoing requests are spans of a client, incoming
/// ones of a server.
///
/// - Source: the models 1 and 2 of Zipkin; OpenTelemetry's protocol 1.x in JSON, with the stable semantic conventions for
///   HTTP and those for RPC. The name `service/path` and the tags of Zipkin are the original's.
struct SpanEncoder {
    let format: TracingConfig.Format
    /// The sidecar's own service.
    let own: ServiceIdentity
    /// Its name, as it stands inside of a string.
    private let ownName: [UInt8]

    init(format: TracingConfig.Format, own: ServiceIdentity) {
        self.format = format
        self.own = own
        var name: [UInt8] = []
        LineEscaper.appendJSON(own.name.rawSpan, to: &name)
        self.ownName = name
    }

    /// What stands before and behind the spans of one post.
    var frame: (start: [UInt8], end: [UInt8]) {
        guard self.format == .otlp else { return (Array("[".utf8), Array("]".utf8)) }
        var start = ByteBuffer()
        let room = [self.own.name, self.own.version, self.own.app].reduce(1024) { $0 + 6 * $1.utf8.count }
        start.writeWithOutputRawSpan(minimumWritableBytes: room) { out in
            out.append("{\"resourceSpans\":[{\"resource\":{\"attributes\":[")
            Self.attribute("service.name", self.own.name.rawSpan, to: &out)
            out.append(",")
            Self.attribute("service.version", self.own.version.rawSpan, to: &out)
            out.append(",")
            Self.attribute("service.namespace", self.own.app.rawSpan, to: &out)
            out.append("]},\"scopeSpans\":[{\"scope\":{\"name\":\"mesher\"},\"spans\":[")
        }
        return (Array(start.readableBytesView), Array("]}]}]}".utf8))
    }

    /// Appends one span.
    ///
    /// - Parameter isClean: Whether none of the record's texts needs an escape in JSON.
    /// - Parameter start: When it began, in microseconds since 1970.
    func write(
        _ record: consuming ExchangeRecord, _ trace: TraceContext, of records: ExchangeRecords, isClean: Bool,
        start: Int, to out: inout ByteBuffer
    ) {
        let (method, target) = (records.method(record), records.target(record))
        let (path, host) = (records.path(record), records.host(record))
        let span = Span(
            duration: max(1, Int(record.duration.nanoseconds / 1000)), record: record, trace: trace, start: start,
            isClean: isClean, method: method, target: target, path: path, host: host)
        // The path stands there up to three times, the own name with each of the tags.
        let text = method.count + 4 * target.count + host.count
        let operation = span.record.operation?.utf8.count ?? 0
        let names = 12 * self.own.name.utf8.count + 2 * (span.remoteName?.utf8.count ?? 0) + operation
        out.writeWithOutputRawSpan(minimumWritableBytes: 3072 + OutputRawSpan.room(for: text + names)) { out in
            let bytes = records.text.rawSpan
            switch self.format {
            case .zipkinV1: self.writeV1(span, bytes, to: &out)
            case .zipkinV2: self.writeV2(span, bytes, to: &out)
            case .otlp: self.writeOTLP(span, bytes, to: &out)
            }
        }
    }

    /// What the formats make a span of.
    private struct Span {
        /// Microseconds.
        let duration: Int
        let record: ExchangeRecord
        let trace: TraceContext
        /// Microseconds since 1970.
        let start: Int
        /// Whether no text of the request needs an escape.
        let isClean: Bool
        /// Where the texts are in the bytes of the records.
        let method, target, path, host: Range<Int>

        var isClient: Bool { self.record.side == .consumer }

        /// Why it failed; `nil` when it did not.
        var error: String? {
            if let reason = self.record.reason { return reason.rawValue }
            if let status = self.record.grpcStatus { return status == 0 ? nil : "grpc \(status)" }
            // What a server answers below 500 is its client's mistake, and no failure of the server.
            return self.record.status >= (self.isClient ? 400 : 500) ? "\(self.record.status)" : nil
        }

        /// The service at the other end.
        var remoteName: String? { self.isClient ? self.record.service?.name : self.record.caller }
    }

    // MARK: Zipkin

    private func ids(_ span: Span, _ bytes: RawSpan, to out: inout OutputRawSpan) {
        out.append("{\"traceId\":")
        out.traceID(span.trace, isShort: true)
        out.append(",\"id\":")
        out.spanID(span.trace.span)
        if span.trace.parent != 0 {
            out.append(",\"parentId\":")
            out.spanID(span.trace.parent)
        }
        out.append(",\"name\":\"")
        if let operation = span.record.operation {
            out.escaped(operation.rawSpan)
        } else {
            self.name(span, bytes, to: &out)
        }
        out.append(span.trace.isDebug ? "\",\"debug\":true" : "\"")
    }

    private func name(_ span: Span, _ bytes: RawSpan, to out: inout OutputRawSpan) {
        if span.isClient {
            out.escaped((span.record.service?.name ?? "unknown").rawSpan)
        } else {
            out.append(self.ownName.rawSpan)
        }
        if span.path.isEmpty {
            out.append("/")
        } else {
            out.escaped(bytes.extracting(span.path), isClean: span.isClean)
        }
    }

    private func localEndpoint(_ out: inout OutputRawSpan) {
        out.append("{\"serviceName\":\"")
        out.append(self.ownName.rawSpan)
        out.append("\"}")
    }

    private func writeV2(_ span: Span, _ bytes: RawSpan, to out: inout OutputRawSpan) {
        self.ids(span, bytes, to: &out)
        out.append(span.isClient ? ",\"kind\":\"CLIENT\",\"timestamp\":" : ",\"kind\":\"SERVER\",\"timestamp\":")
        out.decimal(span.start)
        out.append(",\"duration\":")
        out.decimal(span.duration)
        out.append(span.trace.isShared ? ",\"shared\":true,\"localEndpoint\":" : ",\"localEndpoint\":")
        self.localEndpoint(&out)
        Self.remoteEndpoint(span, to: &out)
        // Methods are tokens, which need no escape.
        out.append(",\"tags\":{\"http.method\":\"")
        out.append(bytes.extracting(span.method))
        out.append("\",\"http.path\":\"")
        out.escaped(bytes.extracting(span.path), isClean: span.isClean)
        if !span.host.isEmpty {
            out.append("\",\"http.host\":\"")
            out.escaped(bytes.extracting(span.host), isClean: span.isClean)
        }
        if span.record.status > 0 {
            out.append("\",\"http.status_code\":\"")
            out.decimal(span.record.status)
        }
        if let status = span.record.grpcStatus {
            out.append("\",\"grpc.status_code\":\"")
            out.decimal(status)
        }
        if span.record.attempts > 1 {
            out.append("\",\"mesher.retries\":\"")
            out.decimal(span.record.attempts - 1)
        }
        if let error = span.error {
            out.append("\",\"error\":\"")
            out.append(error.rawSpan)
        }
        out.append("\"}}")
    }

    private static func remoteEndpoint(_ span: Span, to out: inout OutputRawSpan) {
        out.append(",\"remoteEndpoint\":{")
        var isFirst = true
        if let name = span.remoteName, !name.isEmpty {
            out.append("\"serviceName\":")
            out.quoted(name)
            isFirst = false
        }
        if span.isClient, let endpoint = span.record.endpoint {
            if !isFirst { out.append(",") }
            out.append(endpoint.isV6 ? "\"ipv6\":\"" : "\"ipv4\":\"")
            out.append(endpoint.host.rawSpan)
            out.append("\",\"port\":")
            out.decimal(endpoint.port)
        } else if !span.isClient, let peer = span.record.peer {
            if !isFirst { out.append(",") }
            if case .v4 = peer { out.append("\"ipv4\":\"") } else { out.append("\"ipv6\":\"") }
            out.address(peer)
            out.append("\"")
        }
        out.append("}")
    }

    private func writeV1(_ span: Span, _ bytes: RawSpan, to out: inout OutputRawSpan) {
        self.ids(span, bytes, to: &out)
        // Who has begun a span says how long it took; of a shared one that is the client.
        if !span.trace.isShared {
            out.append(",\"timestamp\":")
            out.decimal(span.start)
            out.append(",\"duration\":")
            out.decimal(span.duration)
        }
        out.append(",\"annotations\":[{\"timestamp\":")
        out.decimal(span.start)
        out.append(span.isClient ? ",\"value\":\"cs\",\"endpoint\":" : ",\"value\":\"sr\",\"endpoint\":")
        self.localEndpoint(&out)
        out.append("},{\"timestamp\":")
        out.decimal(span.start + span.duration)
        out.append(span.isClient ? ",\"value\":\"cr\",\"endpoint\":" : ",\"value\":\"ss\",\"endpoint\":")
        self.localEndpoint(&out)
        out.append("}],\"binaryAnnotations\":[")
        self.annotation("http.method", isFirst: true, &out) { $0.append(bytes.extracting(span.method)) }
        self.annotation("http.path", &out) { $0.escaped(bytes.extracting(span.path)) }
        if !span.host.isEmpty { self.annotation("http.host", &out) { $0.escaped(bytes.extracting(span.host)) } }
        let record = span.record
        if record.status > 0 { self.annotation("http.status_code", &out) { $0.decimal(record.status) } }
        if let status = record.grpcStatus { self.annotation("grpc.status_code", &out) { $0.decimal(status) } }
        if record.attempts > 1 { self.annotation("mesher.retries", &out) { $0.decimal(record.attempts - 1) } }
        if let error = span.error { self.annotation("error", &out) { $0.append(error.rawSpan) } }
        out.append("]}")
    }

    /// A binary annotation, whose value is a text.
    private func annotation(
        _ key: StaticString, isFirst: Bool = false, _ out: inout OutputRawSpan, _ value: (inout OutputRawSpan) -> Void
    ) {
        out.append(isFirst ? "{\"key\":\"" : ",{\"key\":\"")
        out.append(key)
        out.append("\",\"value\":\"")
        value(&out)
        out.append("\",\"endpoint\":")
        self.localEndpoint(&out)
        out.append("}")
    }

    // MARK: OpenTelemetry

    private func writeOTLP(_ span: Span, _ bytes: RawSpan, to out: inout OutputRawSpan) {
        out.append("{\"traceId\":")
        out.traceID(span.trace, isShort: false)
        out.append(",\"spanId\":")
        out.spanID(span.trace.span)
        if span.trace.parent != 0 {
            out.append(",\"parentSpanId\":")
            out.spanID(span.trace.parent)
        }
        out.append(",\"flags\":1,\"name\":\"")
        // The method alone: a path would be another name for every request. A call of gRPC has a method of its own.
        let name = span.record.isGRPC && !span.path.isEmpty ? span.path.dropFirst() : span.method[...]
        if let operation = span.record.operation {
            out.escaped(operation.rawSpan)
        } else {
            out.escaped(bytes.extracting(name.startIndex..<name.endIndex))
        }
        out.append(span.isClient ? "\",\"kind\":3,\"startTimeUnixNano\":\"" : "\",\"kind\":2,\"startTimeUnixNano\":\"")
        out.decimal(span.start)
        out.append("000\",\"endTimeUnixNano\":\"")
        out.decimal(span.start + span.duration)
        out.append("000\",\"attributes\":[")
        Self.attribute("http.request.method", bytes.extracting(span.method), to: &out)
        out.append(",")
        Self.attribute("url.path", bytes.extracting(span.path), to: &out)
        out.append(",{\"key\":\"url.scheme\",\"value\":{\"stringValue\":\"http\"}}")
        if span.target.count > span.path.count {
            out.append(",")
            Self.attribute(
                "url.query", bytes.extracting(span.path.upperBound + 1..<span.target.upperBound), to: &out)
        }
        if span.record.status > 0 {
            out.append(",")
            Self.attribute("http.response.status_code", span.record.status, to: &out)
        }
        Self.addresses(span, bytes, to: &out)
        if span.record.isGRPC { Self.rpc(span, bytes, to: &out) }
        if let error = span.error {
            out.append(",")
            Self.attribute("error.type", error.rawSpan, to: &out)
        }
        if span.record.attempts > 1 {
            out.append(",")
            Self.attribute("http.request.resend_count", span.record.attempts - 1, to: &out)
        }
        out.append(span.error == nil ? "]}" : "],\"status\":{\"code\":2}}")
    }

    private static func addresses(_ span: Span, _ bytes: RawSpan, to out: inout OutputRawSpan) {
        // The logical name, as the client has written it.
        let (name, port) = Self.split(span.host, bytes)
        if !name.isEmpty {
            out.append(",")
            Self.attribute("server.address", bytes.extracting(name), to: &out)
        }
        if let port {
            out.append(",")
            Self.attribute("server.port", Int(port), to: &out)
        }
        if span.isClient, let endpoint = span.record.endpoint {
            out.append(",")
            Self.attribute("network.peer.address", endpoint.host.rawSpan, to: &out)
            out.append(",")
            Self.attribute("network.peer.port", endpoint.port, to: &out)
        } else if !span.isClient, let peer = span.record.peer {
            out.append(",{\"key\":\"client.address\",\"value\":{\"stringValue\":\"")
            out.address(peer)
            out.append("\"}}")
        }
        if let name = span.remoteName, !name.isEmpty {
            out.append(",")
            Self.attribute("peer.service", name.rawSpan, to: &out)
        }
    }

    private static func rpc(_ span: Span, _ bytes: RawSpan, to out: inout OutputRawSpan) {
        out.append(",{\"key\":\"rpc.system\",\"value\":{\"stringValue\":\"grpc\"}}")
        if let slash = span.path.dropFirst().last(where: { bytes.byte(at: $0) == .slash }) {
            out.append(",")
            Self.attribute("rpc.service", bytes.extracting(span.path.lowerBound + 1..<slash), to: &out)
            out.append(",")
            Self.attribute("rpc.method", bytes.extracting(slash + 1..<span.path.upperBound), to: &out)
        }
        if let status = span.record.grpcStatus {
            out.append(",")
            Self.attribute("rpc.grpc.status_code", status, to: &out)
        }
    }

    private static func split(_ host: Range<Int>, _ bytes: RawSpan) -> (Range<Int>, UInt16?) {
        guard let colon = host.last(where: { bytes.byte(at: $0) == .colon }),
            let port = UInt16(decimal: bytes.extracting(colon + 1..<host.upperBound))
        else { return (host, nil) }
        return (host.lowerBound..<colon, port)
    }

    private static func attribute(_ key: StaticString, _ value: RawSpan, to out: inout OutputRawSpan) {
        out.append("{\"key\":\"")
        out.append(key)
        out.append("\",\"value\":{\"stringValue\":")
        out.quoted(value)
        out.append("}}")
    }

    private static func attribute(_ key: StaticString, _ value: Int, to out: inout OutputRawSpan) {
        out.append("{\"key\":\"")
        out.append(key)
        out.append("\",\"value\":{\"intValue\":\"")
        out.decimal(value)
        out.append("\"}}")
    }
}
