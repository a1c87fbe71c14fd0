// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import ArgumentParser
import Common
import FoundationEssentials
import Glibc
import Synchronization

/// `mesher tap`: requests of a running sidecar, as they end.
struct TapCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tap", abstract: "Show requests of a running sidecar as they end.",
        discussion: """
            Of a service: calls that go to it, and those that come from it; of the
            sidecar's own, all that come in. Without a service, everything.
            Header fields, bodies and queries are not shown. What comes faster than
            it can be shown is dropped, and counted at the end. Ctrl-C ends it.

            Examples:
              mesher tap cart
              mesher tap cart --status 5xx --path /orders
              mesher tap --status 4xx,5xx --count 20 --json | jq .endpoint
            """)

    @Argument(help: ArgumentHelp("Whose calls; without it all.", valueName: "service"))
    var service: String?

    @Option(
        help: ArgumentHelp("Only these: 404, 5xx, or several with commas.", valueName: "status"),
        completion: .list(["2xx", "3xx", "4xx", "5xx", "4xx,5xx"]))
    var status: String?

    @Option(help: ArgumentHelp("Only those whose path begins so.", valueName: "path"))
    var path: String?

    @Option(help: ArgumentHelp("End after so many.", valueName: "number"))
    var count: Int?

    @OptionGroup var sidecar: AdminOptions

    @Flag(help: "Print a line of JSON for each.")
    var json = false

    func validate() throws {
        do {
            _ = try TapFilter(service: self.service, status: self.status, path: self.path)
        } catch {
            throw ValidationError(error.description)
        }
        if let count, count < 1 { throw ValidationError("--count is 1 or more.") }
    }

    func run() async throws {
        let (address, token) = self.sidecar.place
        var question = AdminClient.TapQuestion()
        (question.service, question.status, question.path) = (self.service, self.status, self.path)
        question.count = self.count
        question.token = token
        let output = TapOutput(isJSON: self.json, isTerminal: isatty(STDOUT_FILENO) == 1)
        let watch = Task { [question] in try await AdminClient.tap(question, at: address) { output.take($0) } }
        let stop = StopSignals { watch.cancel() }
        defer { stop.end() }
        let result = await watch.result
        output.end()
        guard case .failure(let error) = result, !watch.isCancelled else { return }
        throw Exit.because("\(error)")
    }
}

/// Writes what a tap says, and counts it.
private final class TapOutput: Sendable {
    private struct Count {
        var hasBegun = false
        var shown = 0
        var dropped = 0
    }

    private let isJSON: Bool
    private let isTerminal: Bool
    private let count = Mutex(Count())

    init(isJSON: Bool, isTerminal: Bool) {
        self.isJSON = isJSON
        self.isTerminal = isTerminal
    }

    /// - Returns: Whether somebody still takes it.
    func take(_ event: AdminClient.TapEvent) -> Bool {
        switch event {
        case .quiet:
            let isFirst = self.count.withLock { count in
                defer { count.hasBegun = true }
                return !count.hasBegun
            }
            return isFirst && !self.isJSON ? Console.write(TapText.head + "\n") : true
        case .request(let request):
            self.count.withLock { $0.shown += 1 }
            return Console.write((self.isJSON ? Self.json(request) : self.text(request)) + "\n")
        case .dropped(let number):
            self.count.withLock { $0.dropped += number }
            return true
        }
    }

    /// Says how much there was; nothing when nothing was ever watched.
    func end() {
        let count = self.count.withLock { $0 }
        if count.hasBegun { Console.complain(TapText.end(shown: count.shown, dropped: count.dropped) + "\n") }
    }

    private func text(_ request: TappedRequest) -> String {
        let line = TapText.line(request)
        return self.isTerminal && request.isFailure ? "\u{1b}[31m\(line)\u{1b}[0m" : line
    }

    private static func json(_ request: TappedRequest) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(request)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }
}

extension TappedRequest {
    /// Whether it failed, to whatever end.
    fileprivate var isFailure: Bool { self.status >= 500 || self.reason != nil || (self.grpcStatus ?? 0) != 0 }
}

/// What a tap shows, as lines of text.
enum TapText {
    /// Above the lines.
    static let head = Self.row(["TIME", "", "STATUS", "MS", "TRIES", "SERVICE", "INSTANCE", "REQUEST"])

    /// A request: when, which way, how it ended, how long it took and in how many tries, whom it was for, and what it was.
    static func line(_ request: TappedRequest) -> String {
        var time: [UInt8] = []
        // Years that a clock does not have are none of a sidecar's.
        WallTime(milliseconds: Int64(max(0, min(request.time, 1e11)) * 1000)).append(to: &time)
        let isIncoming = request.direction == "incoming"
        let status = request.grpcStatus.map { "\(request.status)/\($0)" } ?? "\(request.status)"
        let other = isIncoming ? request.caller ?? "-" : request.service
        var words = [request.method, request.path.isEmpty ? "/" : request.path]
        if let reason = request.reason { words.append(reason) }
        if let trace = request.traceId { words.append("trace \(trace)") }
        return self.row([
            String(decoding: time.dropFirst(11), as: UTF8.self), isIncoming ? "in" : "out", status,
            request.milliseconds.text(digits: 1), "\(request.attempts)", other, request.endpoint ?? "-",
            words.joined(separator: " "),
        ])
    }

    /// How much there was.
    static func end(shown: Int, dropped: Int) -> String {
        let text = shown == 1 ? "1 request" : "\(shown) requests"
        return dropped == 0
            ? text : "\(text); \(dropped) more were dropped, since they came faster than they could be shown"
    }

    private static func row(_ cells: [String]) -> String {
        let widths = [13, 3, 6, 8, 5, 16, 28]
        let shown = cells.enumerated().map { index, cell in
            let text = TopScreen.clean(cell)
            guard index < widths.count else { return text }
            return (2...4).contains(index)
                ? String(repeating: " ", count: max(0, widths[index] - text.count)) + text
                : text.padded(to: widths[index])
        }
        return shown.joined(separator: "  ")
    }
}
