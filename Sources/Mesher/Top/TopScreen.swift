// SPDX-License-Identifier: Apache-2.0

import Common
import Glibc

/// How much a terminal shows.
struct TopWindow {
    var columns: Int
    var rows: Int

    /// That of standard output; `nil` when it does not say.
    static var current: Self? {
        var size = winsize()
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return nil
        }
        return Self(columns: Int(size.ws_col), rows: Int(size.ws_row))
    }
}

/// The document as a screen of text.
struct TopScreen {
    private let document: TrafficDocument
    private let admin: String
    private let view: TopView?

    /// - Parameter view: What was chosen by keys; `nil` where there are none.
    init(_ document: TrafficDocument, _ admin: String, _ view: TopView? = nil) {
        self.document = document
        self.admin = admin
        self.view = view
    }

    /// - Parameter isTerminal: Whether to use colours.
    /// - Parameter window: What there is room for; `nil` for all of it.
    func text(isTerminal: Bool, window: TopWindow? = nil) -> String {
        let own = self.document.own
        let state =
            own.draining
            ? "draining" : own.ready ? "ready" : "not ready: \(Self.clean(own.missing.joined(separator: ", ")))"
        let process = self.document.process
        let lag = (process.loopLag.max() ?? 0) * 1000
        var lines = [
            "\(Self.clean(own.name)) \(Self.clean(own.version))  \(state)  up \(Self.time(own.uptime))  "
                + "(\(self.admin))",
            "memory \(process.residentBytes >> 20) MiB  clients \(process.clientConnections)  upstreams "
                + "\(process.upstreamConnections)  loop lag \(Self.number(lag, 1)) ms  overload \(Self.clean(process.overload))",
            "",
        ]
        let services = self.arranged(self.document.services.map { ($0.name, $0.flow, Self.notes($0)) })
        lines += self.table("CALLED SERVICE", services, isTerminal, window)
        if !self.document.callers.isEmpty {
            let callers = self.arranged(self.document.callers.map { ($0.name, $0.flow, "") })
            lines += [""] + self.table("CALLER", callers, isTerminal, window)
        }
        let failures = self.document.failures.filter { self.view?.shows($0.service) ?? true }
        if !failures.isEmpty {
            lines += ["", "LAST FAILURES"]
            for failure in failures.prefix(5) {
                lines.append(
                    "  \(Self.clean(failure.method)) \(Self.clean(failure.service))\(Self.clean(failure.path))  "
                        + "\(failure.status) \(Self.clean("\(failure.reason): \(failure.text)"))")
            }
        }
        // The cursor stands in the last row.
        if let window, lines.count >= window.rows {
            let shown = max(0, window.rows - 2)
            lines = lines.prefix(shown) + ["  and \(lines.count - shown) more lines"]
        }
        return lines.map { String($0.reversed().drop { $0 == " " }.reversed()) }.joined(separator: "\n") + "\n"
    }

    private typealias Row = (name: String, flow: TrafficDocument.Flow, notes: String)

    /// The rows that were asked for, in the order that was.
    private func arranged(_ rows: [Row]) -> [Row] {
        guard let view = self.view else { return rows }
        let shown = rows.filter { view.shows($0.name) }
        func sorted(_ value: (TrafficDocument.Flow) -> Double?) -> [Row] {
            shown.sorted { (value($0.flow) ?? -1, $1.name) > (value($1.flow) ?? -1, $0.name) }
        }
        return switch view.sort {
        case .name: shown.sorted { $0.name < $1.name }
        case .requests: sorted { $0.requestRate }
        case .errors: sorted { $0.errorRate }
        case .share: sorted { Self.share($0) }
        case .p50: sorted { $0.p50 }
        case .p90: sorted { $0.p90 }
        case .p99: sorted { $0.p99 }
        }
    }

    private static func share(_ flow: TrafficDocument.Flow) -> Double {
        flow.requestRate > 0 ? flow.errorRate / flow.requestRate * 100 : 0
    }

    private func table(
        _ title: String, _ rows: [Row], _ isTerminal: Bool, _ window: TopWindow?
    ) -> [String] {
        let longest = min(40, rows.map { Self.clean($0.name).count }.max() ?? 0)
        // Rather a part of the name than of the numbers.
        let width = max(
            title.count + (self.view?.sort == .name ? 1 : 0),
            min(longest, window.map { $0.columns - Self.numbers } ?? longest))
        func line(_ name: String, _ cells: [String], _ notes: String) -> String {
            let start = name.prefix(width).padded(to: width)
            let columns = cells.map { String(repeating: " ", count: max(1, 10 - $0.count)) + $0 }.joined()
            return "\(start)\(columns)  \(notes)"
        }
        let titles = [title, "REQ/S", "ERR/S", "ERR %", "P50 ms", "P90 ms", "P99 ms"].enumerated().map { place, title in
            place == self.view?.sort.rawValue ? ">\(title)" : title
        }
        let head = line(titles[0], Array(titles.dropFirst()), "")
        let body = rows.prefix(30).map { name, flow, notes in
            let share = Self.share(flow)
            let text = line(
                Self.clean(name),
                [
                    Self.number(flow.requestRate, 1), Self.number(flow.errorRate, 1), Self.number(share, 1),
                    Self.latency(flow.p50), Self.latency(flow.p90), Self.latency(flow.p99),
                ], notes)
            return isTerminal && share >= 5 ? "\u{1b}[31m\(text)\u{1b}[0m" : text
        }
        let more =
            rows.isEmpty
            ? [self.view?.filter.isEmpty ?? true ? "  none yet" : "  no name like this"]
            : rows.count > 30 ? ["  and \(rows.count - 30) more"] : []
        return [isTerminal ? "\u{1b}[1m\(head)\u{1b}[0m" : head] + body + more
    }

    /// The columns of the six numbers.
    private static let numbers = 60

    private static func notes(_ service: TrafficDocument.Service) -> String {
        let details = service.details
        let ejected = details.instances.count { $0.ejected }
        let down = details.instances.count { !$0.eligible }
        let disabled = details.instances.count { $0.operator == .disabled }
        let draining = details.instances.count { $0.operator == .draining }
        let parts = [
            "\(details.instances.count) instance\(details.instances.count == 1 ? "" : "s")",
            ejected > 0 ? "\(ejected) ejected" : "", down > 0 ? "\(down) down" : "",
            disabled > 0 ? "\(disabled) disabled" : "", draining > 0 ? "\(draining) draining" : "",
            details.breaker.map { $0.enabled && $0.state != "closed" ? "breaker \(Self.clean($0.state))" : "" } ?? "",
        ]
        return parts.filter { !$0.isEmpty }.joined(separator: ", ")
    }

    /// What comes from other machines must not drive this terminal.
    static func clean(_ text: String, upTo most: Int = 500) -> String {
        var line: [UInt8] = []
        LineEscaper.appendText(text.rawSpan, to: &line, upTo: most)
        return String(decoding: line, as: UTF8.self)
    }

    private static func number(_ value: Double, _ digits: Int) -> String { value.text(digits: digits) }

    private static func latency(_ seconds: Double?) -> String { seconds.map { Self.number($0 * 1000, 2) } ?? "-" }

    private static func time(_ seconds: Double) -> String {
        let whole = Int(max(0, min(seconds, 1e12)))
        if whole >= 86_400 { return "\(whole / 86_400)d\(whole % 86_400 / 3600)h" }
        if whole >= 3600 { return "\(whole / 3600)h\(whole % 3600 / 60)m" }
        return whole >= 60 ? "\(whole / 60)m\(whole % 60)s" : "\(whole)s"
    }
}
