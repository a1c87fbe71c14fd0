// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import HTTPTypes
import Hummingbird
import Serving

/// Where profiles of the process are served.
///
/// - Source: net/http/pprof of Go, whose paths `go tool pprof` knows.
struct ProfilingRoutes: Sendable {
    let state: AdminState

    /// The longest profile, in seconds.
    static let longest = 300
    /// How long one takes when nobody says.
    static let usual = 30

    var table: EndpointTable {
        EndpointTable(endpoints: self.all, hosts: HostNames([], key: "mesher.admin.hosts"), index: "/debug/pprof/")
    }

    private var all: [ServedEndpoint] {
        [
            self.text("/debug/pprof/", "What there is.") { _ in self.index },
            ServedEndpoint(
                .get, "/debug/pprof/profile", "Samples the processors' time for ?seconds=30.",
                content: "application/octet-stream"
            ) { try await self.profile($0) },
            self.text("/debug/pprof/heap", "Memory, as the allocator sees it.") { _ in HeapReport.text() },
            ServedEndpoint(.get, "/debug/pprof/cmdline", "The command line.", content: "text/plain") { _ in
                ServedAnswer.bytes(CommandLine.bytes(), type: "text/plain; charset=utf-8")
            },
            ServedEndpoint(.get, "/debug/pprof/symbol", "Names of addresses.", content: "text/plain") { call in
                ServedAnswer.text(Self.symbols(call.request.uri.query ?? ""))
            },
            ServedEndpoint(.post, "/debug/pprof/symbol", "The same for a longer list.", content: "text/plain") { call in
                let body = try await call.request.body.collect(upTo: 1 << 20)
                return ServedAnswer.text(Self.symbols(String(buffer: body)))
            },
            self.text("/debug/pprof/loops", "Event loops.") { _ in self.loops },
            self.text("/debug/pprof/mailboxes", "Mailboxes of the components.") { _ in self.mailboxes },
            self.text("/debug/pprof/connections", "Connections to instances.") { _ in self.connections },
            self.text("/debug/pprof/circuits", "Circuit breakers and bulkheads.") { _ in self.circuits },
            ServedEndpoint(.get, "/debug/pprof/{name}", "Profiles of other runtimes.") { call in
                let name = call.parameters["name"] ?? ""
                let why = Self.others[name] ?? "there is no profile of this name"
                return ServedAnswer.error(.notFound, "\(name): \(why)", remedy: "/debug/pprof/ lists what there is")
            },
        ]
    }

    /// Profiles that tools for Go ask for.
    private static let others = [
        "goroutine": "there are no goroutines here; see loops and mailboxes",
        "threadcreate": "threads are made at the start only",
        "block": "nothing blocks on the request path; see loops for how late it is",
        "mutex": "locks are not watched",
        "allocs": "allocations are not recorded one by one; see heap",
        "trace": "there is no execution trace; take a profile",
    ]

    private func text(
        _ path: String, _ summary: String, _ body: @escaping @Sendable (ServedEndpoint.Call) -> String
    ) -> ServedEndpoint {
        ServedEndpoint(.get, path, summary, content: "text/plain") { ServedAnswer.text(body($0)) }
    }

    private var index: String {
        let lines = self.all.filter { $0.method == .get && !$0.path.contains("{") }
            .map { "\($0.path.padded(to: 28)) \($0.summary)" }
        return "Profiles of mesher \(self.state.build.version)\n\n" + lines.joined(separator: "\n")
            + "\n\ngo tool pprof -http=: http://HOST/debug/pprof/profile?seconds=10\n"
    }

    private func profile(_ call: ServedEndpoint.Call) async throws -> Response {
        let text = call.request.uri.queryParameters["seconds"].map(String.init)
        guard let seconds = text.map({ Int($0) }) ?? Self.usual, (1...Self.longest).contains(seconds) else {
            throw Refusal(.badRequest, "seconds must be 1 to \(Self.longest)")
        }
        var response: Response
        do {
            // Whoever leaves does not want it any more, and others may.
            let profile = try await call.request.body.consumeWithCancellationOnInboundClose { _ in
                try await CPUProfiler().profile(for: .seconds(seconds))
            }
            response = ServedAnswer.bytes(profile, type: "application/octet-stream")
            response.headers[.contentDisposition] = "attachment; filename=\"profile.pb.gz\""
        } catch let error as ProfileError {
            response = ServedAnswer.error(
                error == .alreadyRunning ? .conflict : .internalServerError, error.description)
        }
        // To see who leaves, it was read on: the server serves nothing else there.
        response.headers[.connection] = "close"
        return response
    }

    /// Addresses such as `0x1234+0x5678`, a line for each that has a name.
    private static func symbols(_ text: String) -> String {
        let addresses = text.split(whereSeparator: { $0 == "+" || $0.isWhitespace }).prefix(10_000)
            .compactMap { UInt($0.hasPrefix("0x") ? $0.dropFirst(2) : $0, radix: 16) }
        let symbols = SymbolTable().symbols(at: addresses)
        let lines = addresses.compactMap { address in
            symbols[address].map { "0x\(String(address, radix: 16)) \($0.name)\n" }
        }
        // What tools look for: whether names can be had at all.
        return "num_symbols: 1\n" + lines.joined()
    }

    // MARK: Pages

    private var loops: String {
        let rows = self.state.views.loops().enumerated().map { index, report in
            [
                "\(index)", "\((report.lag * 1000).text(digits: 3)) ms", "\(report.clientConnections)",
                "\(report.http2Connections)", "\(report.upstreamConnections)", "\(report.idleUpstreamConnections)",
                "\(report.waiting)",
            ]
        }
        return TextTable(
            ["loop", "lag", "clients", "of HTTP/2", "upstreams", "idle", "waiting for registry"], rows
        ).text
    }

    private var mailboxes: String {
        TextTable(
            ["mailbox", "waiting", "capacity", "dropped"],
            self.state.views.mailboxes().map { ["\($0.name)", "\($0.waiting)", "\($0.capacity)", "\($0.dropped)"] }
        ).text
    }

    private var connections: String {
        let rows = self.state.monitor.recent().services.flatMap { service in
            service.details.instances.map { instance in
                [
                    service.name, instance.endpoint, instance.status, instance.ejected ? "ejected" : "",
                    "\(instance.connections)", "\(instance.idle)", "\(instance.attempts)", "\(instance.failures)",
                ]
            }
        }
        return TextTable(
            ["service", "endpoint", "status", "", "connections", "idle", "attempts", "failures"], rows
        ).text
    }

    private var circuits: String {
        let rows = self.state.monitor.recent().services.flatMap { service -> [[String]] in
            func row(_ name: String, _ breaker: TrafficDocument.Breaker) -> [String] {
                [
                    name, breaker.enabled ? breaker.state : "not enabled", "\(breaker.errorPercentage) %",
                    "\(breaker.inFlight)", "\(breaker.limit)",
                ]
            }
            return (service.details.breaker.map { [row(service.name, $0)] } ?? [])
                + service.details.instances.compactMap { instance in
                    instance.breaker.map { row("\(service.name) \(instance.endpoint)", $0) }
                }
        }
        return TextTable(["circuit", "state", "errors", "in flight", "limit"], rows).text
    }
}

/// Rows of text with their columns below each other.
struct TextTable {
    let text: String

    init(_ titles: [String], _ rows: [[String]]) {
        let all = [titles] + rows
        let widths = titles.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        self.text = all.map { row in
            let cells = zip(row, widths).map { $0.padded(to: $1) }
            return cells.joined(separator: "  ").trimmed + "\n"
        }.joined()
    }
}
