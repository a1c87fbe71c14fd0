// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import Common
import Egress
import Logging
import NIOCore
import NIOPosix
import Proxy

/// Runs one micro-benchmark so many times, and prints nothing: `check.py` counts what it costs from outside.
@main enum MicroBenchmarks {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard arguments.count == 2, let name = arguments.first, let times = arguments.last.flatMap({ Int($0) }) else {
            print("usage: mesher-micro scan|forward|exchange|governed|routed|sampled|continued|traced TIMES")
            return
        }
        switch name {
        case "scan": precondition(scan(times) == times * requestHead.count, "a head was not scanned")
        case "forward": precondition(forward(times) > times * 100, "a head was not written")
        case "exchange": try await ExchangeBenchmark.run(times, "")
        case "governed": try await ExchangeBenchmark.run(times, governedConfiguration)
        case "routed": try await ExchangeBenchmark.run(times, routedConfiguration)
        case "sampled": try await ExchangeBenchmark.run(times, tracedConfiguration(sampleRate: 0.01, ""))
        case "continued":
            try await ExchangeBenchmark.run(times, tracedConfiguration(sampleRate: 0.01, ""), tracedRequestHead)
        case "traced": try await ExchangeBenchmark.run(times, tracedConfiguration(sampleRate: 1, "access-log,"))
        default: print("no benchmark is called \(name)")
        }
    }
}

/// The head that a browser-like client sends through a proxy: seven fields, 300 bytes.
private let requestHead = Array(
    """
    GET http://cart/items/42?currency=EUR HTTP/1.1\r
    Host: cart\r
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r
    Accept: application/json, text/plain, */*\r
    Accept-Encoding: gzip, deflate\r
    Accept-Language: en-US,en;q=0.9\r
    X-Request-Id: 7f1c9a52-30c1-4a64-8f5b-b2f9c1d8a9e4\r
    Connection: keep-alive\r
    \r

    """.utf8)

/// The same of a request that another one has called forth, and whose caller leaves open whether it is recorded.
private let tracedRequestHead =
    Array(requestHead.dropLast(2))
    + Array("X-B3-TraceId: 463ac35c9f64131148485a3953bb6124\r\nX-B3-SpanId: a2fb4a1d1a96d312\r\n\r\n".utf8)

/// Scans the head; the sum of the lengths.
private func scan(_ times: Int) -> Int {
    var head = RequestHead()
    var block = HeaderBlock()
    var length = 0
    for _ in 0..<times {
        block.clear()
        var scanner = HeadScanner()
        let result = scanner.scanRequest(requestHead.rawSpan, limits: HeadLimits(), into: &head, &block)
        if case .complete(let count) = result { length += count }
    }
    return length
}

/// Scans the head, edits it as a hop does, and writes it; the sum of the lengths written.
private func forward(_ times: Int) -> Int {
    var head = RequestHead()
    var block = HeaderBlock()
    var out = ByteBufferAllocator().buffer(capacity: 4096)
    var length = 0
    for _ in 0..<times {
        block.clear()
        out.clear()
        var scanner = HeadScanner()
        _ = scanner.scanRequest(requestHead.rawSpan, limits: HeadLimits(), into: &head, &block)
        block.removeHopByHop()
        block.append(.xForwardedHost, "X-Forwarded-Host", valueFrom: head.authority.whole)
        HTTP1Writer.write(head, block, framing: .byHead, isUpgrade: false, to: &out)
        length += out.readableBytes
    }
    return length
}

/// Exchanges through ``HTTP1ServerConnection`` with all stages of outgoing requests, over sockets: client, sidecar and origin take
/// turns on one event loop, so that the same things happen in the same order each time.
private enum ExchangeBenchmark {
    static func run(_ times: Int, _ yaml: String, _ head: [UInt8] = requestHead) async throws {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let origin = try await ServerBootstrap(group: loops)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Origin()) }
            }
            // Not where the sidecar itself listens by default, whatever port it is.
            .bind(host: "127.0.0.2", port: 0).get()

        var services = ServiceDirectoryBuilder(upon: .empty, ownApp: "default")
        let endpoint = try services.endpoint("rest://127.0.0.2:\(origin.localAddress?.port ?? 0)")
        services.add(
            "cart",
            [
                Instance(
                    id: "1", version: "1.0.0", app: "default", status: .up, properties: [:], endpoints: [endpoint])
            ])
        let metrics = MetricsRegistry(startTime: 0, own: MetricLabels())
        let logger = Logger(label: "micro") { _ in SwiftLogNoOpLogHandler() }
        let config = try Self.config(yaml)
        // What is written of requests is made elsewhere, but counts as well.
        let telemetry = Telemetry(config, logs: config.logs, metrics: metrics)
        let reader = Task { try await TelemetryComponent(telemetry).run() }
        let workers = try await WorkerGroup(
            on: loops, mesh: Snapshot(Mesh(services.build(), MeshRules(config)), on: loops), metrics: metrics,
            logger: logger,
            records: telemetry.inbox)
        let plan = EgressComponent.plan(config, token: HopToken())
        let listener = try await Listener.open(
            ListenerSpec(
                try SocketAddress(ipAddress: "127.0.0.1", port: 0), plans: Snapshot(plan, on: loops),
                budget: ConnectionBudget(limit: 10)),
            Listener.Setup(workers: workers, metrics: metrics, logger: logger))

        let done = loops.next().makePromise(of: Void.self)
        _ = try await ClientBootstrap(group: loops)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Client(head, times, done))
                }
            }
            .connect(to: listener.address).get()
        try await done.futureResult.get()
        // To the last of them, or it would depend on how fast the machine is how much has been done at the end.
        await TelemetryComponent(telemetry) { _ = try? await workers.gather { $0.telemetry.handOver() } }.drain()
        reader.cancel()
        telemetry.flush()
    }

    private static func config(_ yaml: String) throws -> MesherConfig {
        var source = ConfigSource(.files)
        source.add(try ConfigTree(yaml: yaml, source: "micro"))
        source.add("service_description.name", .text("web", ConfigLocation("micro")))
        var reader = ConfigReader(ConfigStore([source]))
        let config = MesherConfig(&reader)
        precondition(reader.problems.allSatisfy { $0.severity != .error }, "\(reader.problems)")
        return config
    }
}

/// Answers whatever comes in one read, which is one request here.
private final class Origin: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer = ByteBuffer(
        string: "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello")

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.writeAndFlush(Self.wrapOutboundOut(self.answer), promise: nil)
    }
}

/// Sends the request again after each answer.
private final class Client: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let request: ByteBuffer
    private var left: Int
    private let done: EventLoopPromise<Void>

    init(_ head: [UInt8], _ times: Int, _ done: EventLoopPromise<Void>) {
        self.request = ByteBuffer(bytes: head)
        self.left = times
        self.done = done
    }

    func channelActive(context: ChannelHandlerContext) { self.send(context) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let answer = Self.unwrapInboundIn(data)
        precondition(answer.readableBytesView.starts(with: "HTTP/1.1 200".utf8), "\(String(buffer: answer))")
        self.left -= 1
        if self.left > 0 { self.send(context) } else { self.done.succeed() }
    }

    private func send(_ context: ChannelHandlerContext) {
        context.writeAndFlush(Self.wrapOutboundOut(self.request), promise: nil)
    }
}

/// Every request is traced at the rate given; the spans stay in the queue until that is full.
private func tracedConfiguration(sampleRate: Double, _ handler: String) -> String {
    """
    tracing: {tracer: zipkin, settings: {URI: "http://127.0.0.1:1/api/v2/spans", sampleRate: \(sampleRate)}}
    accessLogFile: /dev/null
    accessLogFormat: json
    cse:
      handler:
        chain:
          Consumer:
            outgoing: "tracing-consumer,\(handler)router,ratelimiter-consumer,bizkeeper-consumer,loadbalance,transport"
    """
}

/// Everything on: 50 route rules, 5 of them with regular expressions, and none of the first 49 for this request; a
/// limiter, a breaker and retries.
private let governedConfiguration: String = {
    var rules = ""
    for index in 0..<49 {
        let value = index % 10 == 0 ? "{regex: \"^tester-[0-9]+-\(index)$\"}" : "{exact: \"team-\(index)\"}"
        rules +=
            "    - {precedence: \(100 - index), match: {headers: {\(index % 10 == 0 ? "X-Request-Id" : "X-Team"): "
            + "\(value)}}, route: [{tags: {version: 9.9.9}}]}\n"
    }
    return """
        routeRule:
          cart:
        \(rules)    - {precedence: 1, route: [{tags: {version: 1.0.0}, weight: 60}, {tags: {app: default}, weight: 40}]}
        cse:
          flowcontrol: {Consumer: {qps: {limit: {cart: 100000000}}}}
          circuitBreaker: {Consumer: {cart: {enabled: true}}}
          loadbalance: {retryEnabled: true, retryOnNext: 2}
        """
}()

/// 20 virtual hosts of 50 routes, half of which a request passes by: by path, and some by a header or the method too.
private let routedConfiguration: String = {
    var hosts = ""
    for host in 0..<20 {
        hosts += "    - name: \(host == 10 ? "cart" : "host-\(host)")\n      routes:\n"
        for route in 0..<50 {
            let path = route == 25 ? "/items" : "/api/v\(route)"
            let more =
                switch route % 5 {
                case 0: ", headers: {x-team: {exact: team-\(route)}}"
                case 1: ", methods: [POST]"
                default: ""
                }
            let match = route == 25 ? "{path: {below: \(path)}}" : "{path: {prefix: \(path)}\(more)}"
            hosts += "        - {match: [\(match)], targets: [{cluster: cart}]}\n"
        }
    }
    return """
        mesh:
          clusters: [{name: cart, service: cart}]
          hosts:
        \(hosts)
        """
}()
