// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore

/// Writes requests as lines of the access log.
///
/// Pure: what it writes goes by its arguments alone. Nothing that a client has sent can end a line or drive a terminal.
///
/// - Source: the handler `access-log` of the original for the text; the rest is ours.
struct AccessLog {
    let format: LogConfig.AccessLogConfig.Format
    /// The second that was written last, and how.
    private var second = Int.min
    private var secondText: [UInt8] = []

    init(format: LogConfig.AccessLogConfig.Format) { self.format = format }

    /// Appends a line with its line feed.
    ///
    /// - Parameter isClean: Whether none of the record's texts needs an escape in JSON.
    /// - Parameter time: When the request began, in microseconds since 1970.
    mutating func write(
        _ record: ExchangeRecord, of records: ExchangeRecords, isClean: Bool, at time: Int, to out: inout ByteBuffer
    ) {
        if self.format == .json { self.remember(time) }
        let text = record.methodLength + record.targetLength + record.hostLength
        let names =
            (record.caller?.utf8.count ?? 0) + (record.service?.name.utf8.count ?? 0)
            + (record.endpoints?.tags.label.utf8.count ?? 0)
        out.writeWithOutputRawSpan(minimumWritableBytes: 1024 + OutputRawSpan.room(for: text + names)) { out in
            switch self.format {
            case .text: Self.text(record, records, &out)
            case .json: self.json(record, records, isClean, time, &out)
            }
        }
    }

    private mutating func remember(_ time: Int) {
        let second = time / 1_000_000
        if second == self.second { return }
        self.second = second
        self.secondText.removeAll(keepingCapacity: true)
        WallTime(milliseconds: Int64(second * 1000)).append(to: &self.secondText)
        // Without the milliseconds and the Z.
        self.secondText.removeLast(4)
    }

    /// `<method> <URL> from <client> <status> <ms>ms`.
    private static func text(_ record: ExchangeRecord, _ records: ExchangeRecords, _ out: inout OutputRawSpan) {
        let bytes = records.text.rawSpan
        Self.escape(bytes.extracting(records.method(record)), orDash: true, &out)
        out.append(UInt8.space)
        if record.side == .consumer, record.hostLength > 0 {
            out.append("http://")
            Self.escape(bytes.extracting(records.host(record)), orDash: false, &out)
        }
        Self.escape(bytes.extracting(records.target(record)), orDash: record.hostLength == 0, &out)
        out.append(" from ")
        out.address(record.peer)
        out.append(UInt8.space)
        out.decimal(record.status == 0 ? ProxyError.Reason.clientGone.status : record.status)
        out.append(UInt8.space)
        out.decimal(Int(record.duration.nanoseconds / 1_000_000))
        out.append("ms\n")
    }

    private static func write(_ flags: ResponseFlags, _ out: inout OutputRawSpan) {
        var isFirst = true
        for name in ResponseFlags.names where flags.contains(name.flag) {
            out.append(isFirst ? ",\"flags\":\"" : ",")
            out.append(name.short.rawSpan)
            isFirst = false
        }
        if !isFirst { out.append(UInt8.quote) }
    }

    private static func escape(_ bytes: RawSpan, orDash: Bool, _ out: inout OutputRawSpan) {
        if bytes.isEmpty {
            if orDash { out.append(UInt8(ascii: "-")) }
            return
        }
        var line: [UInt8] = []
        LineEscaper.appendText(bytes, to: &line, upTo: OutputRawSpan.longestEscaped)
        out.append(line.rawSpan)
    }

    private func json(
        _ record: ExchangeRecord, _ records: ExchangeRecords, _ isClean: Bool, _ time: Int, _ out: inout OutputRawSpan
    ) {
        let bytes = records.text.rawSpan
        out.append("{\"time\":\"")
        out.append(self.secondText.rawSpan)
        let milliseconds = time / 1000 % 1000
        out.append(0x30 &+ UInt8(truncatingIfNeeded: milliseconds / 100))
        out.append(0x30 &+ UInt8(truncatingIfNeeded: milliseconds / 10 % 10))
        out.append(0x30 &+ UInt8(truncatingIfNeeded: milliseconds % 10))
        out.append(
            record.side == .consumer
                ? "Z\",\"direction\":\"outgoing\",\"method\":\"" : "Z\",\"direction\":\"incoming\",\"method\":\"")
        // Methods are tokens, which need no escape.
        out.append(bytes.extracting(records.method(record)))
        out.append("\",\"host\":\"")
        out.escaped(bytes.extracting(records.host(record)), isClean: isClean)
        out.append("\",\"path\":\"")
        out.escaped(bytes.extracting(records.target(record)), isClean: isClean)
        out.append(
            record.isGRPC ? "\",\"protocol\":\"grpc\",\"status\":" : "\",\"protocol\":\"http\",\"status\":")
        out.decimal(record.status == 0 ? ProxyError.Reason.clientGone.status : record.status)
        if let status = record.grpcStatus {
            out.append(",\"grpcStatus\":")
            out.decimal(status)
        }
        out.append(",\"milliseconds\":")
        out.milliseconds(ofMicroseconds: Int(record.duration.nanoseconds / 1000))
        out.append(",\"requestBytes\":")
        out.decimal(record.requestBytes)
        out.append(",\"responseBytes\":")
        out.decimal(record.responseBytes)
        out.append(",\"client\":\"")
        out.address(record.peer)
        out.append(UInt8.quote)
        if let caller = record.caller, !caller.isEmpty {
            out.append(",\"caller\":")
            out.quoted(caller)
        }
        if let service = record.service {
            out.append(",\"service\":")
            out.quoted(service.name)
        }
        if let endpoints = record.endpoints {
            out.append(",\"route\":")
            out.quoted(endpoints.tags.label)
        }
        if let endpoint = record.endpoint {
            out.append(",\"endpoint\":\"")
            out.append(endpoint.url.rawSpan)
            out.append(UInt8.quote)
        }
        out.append(",\"retries\":")
        out.decimal(max(0, record.attempts - 1))
        if let reason = record.reason {
            out.append(",\"reason\":")
            out.quoted(reason.rawValue)
        }
        // Few have any, and the table of names is long.
        if !record.flags.isEmpty { Self.write(record.flags, &out) }
        if let trace = record.trace {
            out.append(",\"traceId\":")
            out.traceID(trace, isShort: false)
            out.append(",\"spanId\":")
            out.spanID(trace.span)
        }
        out.append("}\n")
    }
}
