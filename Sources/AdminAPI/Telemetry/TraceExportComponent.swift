// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
package import Common
import FoundationEssentials
import Glibc
package import Logging
package import NIOCore
import NIOHTTP1
import Serving

/// Posts spans to a collector, or writes them to a file, in batches.
///
/// That the collector is away is state, not failure: what cannot be posted is lost and counted, what comes until the next
/// attempt waits as long as there is room, and traffic never waits.
package actor TraceExportComponent: Component {
    private let config: TracingConfig
    private let encoder: SpanEncoder
    private let queue: SpanQueue
    private let patience: Duration
    private let loops: any EventLoopGroup
    private let logger: Logger
    private var isFailing = false
    private var reconnect: Reconnect
    /// The name of the collector's host; `nil` when that is an address.
    private let name: String?
    private let names: NameBook
    /// Which of the addresses of that name is posted to: another one after each failure.
    private var turn = 0

    /// How often the queue is looked at.
    private static let look = Duration.milliseconds(100)
    /// How much of an answer is read.
    private static let answerLimit = 1 << 20

    /// A component that empties the queue of `telemetry`.
    ///
    /// - Parameter patience: How long a collector may take for its answer, all of it.
    /// - Parameter resolver: Looks its name up.
    package init(
        _ config: TracingConfig, telemetry: Telemetry, pace: Reconnect.Pace = .usual, patience: Duration = .seconds(10),
        resolver: NameResolver = .shared, loops: any EventLoopGroup, logger: Logger
    ) {
        self.reconnect = Reconnect(pace)
        self.names = NameBook(resolver, for: .servers)
        if case .http(let url) = config.destination, let host = URL(string: url)?.host {
            self.name = (try? ServerAddress(host)).flatMap { $0.isName ? host : nil }
        } else {
            self.name = nil
        }
        if let name = self.name { self.names.use([name]) }
        self.patience = patience
        self.config = config
        self.encoder = telemetry.encoder ?? SpanEncoder(format: config.format, own: telemetry.own)
        self.queue = telemetry.spans
        self.loops = loops
        self.logger = logger
    }

    package func run() async throws {
        let client = self.client()
        while !Task.isCancelled {
            if self.reconnect.pause(at: .now) == .zero {
                await self.exportWhatIsDue(client, after: self.config.batchInterval, within: self.patience)
            }
            try? await Task.sleep(for: min(Self.look, self.config.batchInterval))
        }
        await client.close()
    }

    /// The last spans, before the end.
    package func drain() async {
        let client = self.client()
        await self.exportWhatIsDue(client, after: .zero, within: min(self.patience, .seconds(2)))
        await client.close()
    }

    private func client() -> ControlClient { ControlClient(bodyLimit: Self.answerLimit, loops: self.loops) }

    /// Where to post to now; `nil` when nobody knows an address of its name, and when it has none.
    private func address() async -> String? {
        guard let name = self.name else { return nil }
        await self.names.firstAnswer(about: name)
        guard let addresses = self.names[name], !addresses.isEmpty else { return nil }
        return addresses[self.turn % addresses.count]
    }

    private func exportWhatIsDue(_ client: ControlClient, after interval: Duration, within time: Duration) async {
        while let (spans, count) = self.queue.take(self.config.batchSize, orAfter: interval) {
            var failure: String?
            var retryAfter: Duration?
            switch self.config.destination {
            case .http(let url): (failure, retryAfter) = await self.post(spans, to: url, client, within: time)
            case .file(let path): failure = Self.append(spans, to: path)
            }
            self.queue.count(failure == nil ? .exported : .failed, count)
            if let failure, !self.isFailing {
                self.logger.warning(
                    "spans cannot be exported, they are lost", metadata: ["error": "\(Masked.urls(in: failure))"])
            } else if failure == nil, self.isFailing {
                self.logger.notice("spans can be exported again")
            }
            self.isFailing = failure != nil
            guard failure != nil else {
                self.reconnect.answered(at: .now)
                continue
            }
            self.turn &+= 1
            self.reconnect.failed(at: .now, retryAfter: retryAfter)
            return
        }
    }

    /// - Returns: Why it has failed, `nil` when the collector has them; and how long it asks to be left alone.
    private func post(
        _ spans: ByteBuffer, to url: String, _ client: ControlClient, within time: Duration
    ) async -> (failure: String?, retryAfter: Duration?) {
        let address = await self.address()
        if self.name != nil, address == nil { return ("\(url): no address is known of this host", nil) }
        let frame = self.encoder.frame
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.headers.add(name: "User-Agent", value: "mesher/\(BuildInfo.sourceVersion)")
        var body = ByteBuffer(bytes: frame.start)
        body.writeImmutableBuffer(spans)
        body.writeBytes(frame.end)
        request.body = .bytes(body)
        do {
            let answer = try await client.whole(
                request, name: self.name, at: address, timeout: time, cutsBody: true)
            if (200...299).contains(answer.status) { return (nil, nil) }
            let retryAfter = Duration(retryAfter: answer.headers.first(name: "Retry-After"), at: Date())
            return ("\(url): status \(answer.status)", retryAfter)
        } catch {
            return ("\(url): \(ConnectionFailure.text(error, within: time))", nil)
        }
    }

    private static func append(_ spans: ByteBuffer, to path: String) -> String? {
        // Neither created as a pipe nor waited for: without a reader a named pipe is a failure at once.
        let descriptor = unsafe open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { return "\(path): \(String(describing: POSIXErrorCode(rawValue: errno)))" }
        defer { close(descriptor) }
        var rest = (Array(spans.readableBytesView) + [UInt8.lineFeed])[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                return "\(path): \(String(describing: POSIXErrorCode(rawValue: errno)))"
            }
        }
        return nil
    }
}
