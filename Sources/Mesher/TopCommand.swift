// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import ArgumentParser
import Common
import FoundationEssentials
import Glibc

/// `mesher top`: the traffic of a running sidecar, in a terminal.
struct TopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "Show the traffic of a running sidecar, live.",
        discussion: """
            Rates, errors and latency of each called service and of each caller, with
            ejected instances and open breakers. Asks the sidecar's admin API.

            Examples:
              mesher top
              mesher top --admin 127.0.0.1:30102 --interval 2
              mesher top --once --json | jq '.services[] | {name, requestRate, p99}'
            """)

    @Option(help: ArgumentHelp("The sidecar's admin listener.", valueName: "host:port"), completion: Completions.admin)
    var admin = "127.0.0.1:30102"

    @Option(help: ArgumentHelp("Seconds between two looks.", valueName: "seconds"))
    var interval = 1.0

    @Flag(help: "Look once, print, and end.")
    var once = false

    @Flag(help: "Print the document as JSON; each look is a line, unless --once is given.")
    var json = false

    func validate() throws {
        guard self.interval >= 0.1, self.interval <= 3600 else {
            throw ValidationError("--interval must be 0.1 to 3600 seconds.")
        }
    }

    func run() async throws {
        let isTerminal = isatty(STDOUT_FILENO) == 1
        let isScreen = isTerminal && !self.json && !self.once
        // Given back as it was, also when a signal ends the program.
        // Lines that are too long end at the edge.
        if isScreen { Console.write("\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l") }
        defer { if isScreen { Console.write(Self.leaving) } }
        let signals = isScreen ? StopSignals { Self.leave() } : nil
        defer { signals?.end() }
        while true {
            let text: String
            do {
                let document = try await AdminClient.traffic(at: self.admin)
                text =
                    self.json
                    ? try self.json(document)
                    : TopScreen(document, self.admin).text(
                        isTerminal: isTerminal, window: isScreen ? TopWindow.current : nil)
            } catch let failure as AdminClient.Failure {
                if self.once || !isScreen { throw Exit.because(failure.description) }
                text = "\(failure.description)\n\nTrying again; Ctrl-C ends.\n"
            }
            // Drawn over the last one, so that nothing flickers.
            let screen = "\u{1b}[H" + text.replacing("\n", with: "\u{1b}[K\n") + "\u{1b}[J"
            Console.write(isScreen ? screen : text)
            if self.once { return }
            try await Task.sleep(for: .seconds(self.interval))
        }
    }

    private static let leaving = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l"

    /// Gives the terminal back and ends.
    private static func leave() {
        Console.write(Self.leaving)
        Glibc.exit(0)
    }

    private func json(_ document: TrafficDocument) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if self.once { encoder.outputFormatting.insert(.prettyPrinted) }
        return String(decoding: try encoder.encode(document), as: UTF8.self) + "\n"
    }
}

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

    init(_ document: TrafficDocument, _ admin: String) {
        self.document = document
        self.admin = admin
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
        let services = self.document.services.map { ($0.name, $0.flow, Self.notes($0)) }
        lines += self.table("CALLED SERVICE", services, isTerminal, window)
        if !self.document.callers.isEmpty {
            lines +=
                [""] + self.table("CALLER", self.document.callers.map { ($0.name, $0.flow, "") }, isTerminal, window)
        }
        if !self.document.failures.isEmpty {
            lines += ["", "LAST FAILURES"]
            for failure in self.document.failures.prefix(5) {
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

    private func table(
        _ title: String, _ rows: [(name: String, flow: TrafficDocument.Flow, notes: String)], _ isTerminal: Bool,
        _ window: TopWindow?
    ) -> [String] {
        let longest = min(40, rows.map { Self.clean($0.name).count }.max() ?? 0)
        // Rather a part of the name than of the numbers.
        let width = max(title.count, min(longest, window.map { $0.columns - Self.numbers } ?? longest))
        func line(_ name: String, _ cells: [String], _ notes: String) -> String {
            let start = name.prefix(width).padded(to: width)
            let columns = cells.map { String(repeating: " ", count: max(1, 10 - $0.count)) + $0 }.joined()
            return "\(start)\(columns)  \(notes)"
        }
        let head = line(title, ["REQ/S", "ERR/S", "ERR %", "P50 ms", "P90 ms", "P99 ms"], "")
        let body = rows.prefix(30).map { name, flow, notes in
            let share = flow.requestRate > 0 ? flow.errorRate / flow.requestRate * 100 : 0
            let text = line(
                Self.clean(name),
                [
                    Self.number(flow.requestRate, 1), Self.number(flow.errorRate, 1), Self.number(share, 1),
                    Self.latency(flow.p50), Self.latency(flow.p90), Self.latency(flow.p99),
                ], notes)
            return isTerminal && share >= 5 ? "\u{1b}[31m\(text)\u{1b}[0m" : text
        }
        let more = rows.isEmpty ? ["  none yet"] : rows.count > 30 ? ["  and \(rows.count - 30) more"] : []
        return [isTerminal ? "\u{1b}[1m\(head)\u{1b}[0m" : head] + body + more
    }

    /// The columns of the six numbers.
    private static let numbers = 60

    private static func notes(_ service: TrafficDocument.Service) -> String {
        let details = service.details
        let ejected = details.instances.count { $0.ejected }
        let down = details.instances.count { !$0.eligible }
        let parts = [
            "\(details.instances.count) instance\(details.instances.count == 1 ? "" : "s")",
            ejected > 0 ? "\(ejected) ejected" : "", down > 0 ? "\(down) down" : "",
            details.breaker.map { $0.enabled && $0.state != "closed" ? "breaker \(Self.clean($0.state))" : "" } ?? "",
        ]
        return parts.filter { !$0.isEmpty }.joined(separator: ", ")
    }

    /// What comes from other machines must not drive this terminal.
    static func clean(_ text: String) -> String {
        var line: [UInt8] = []
        LineEscaper.appendText(text.rawSpan, to: &line, upTo: 500)
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
