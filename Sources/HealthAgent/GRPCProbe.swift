// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix

/// Well is what answers the standard health check of gRPC with SERVING.
///
/// - Source: grpc.health.v1; of its messages only the two fields that matter are read and written here.
struct GRPCProbe: Probe {
    let port: UInt16
    /// The service asked for; empty for the server as a whole.
    let service: String
    let timeout: Duration
    let loops: any EventLoopGroup

    func check() async -> String? {
        do {
            let loop = self.loops.next()
            // Made with the channel: what the server says first must not come before somebody listens.
            let multiplexer = NIOLoopBoundBox<NIOHTTP2Handler.StreamMultiplexer?>.makeEmptyBox(eventLoop: loop)
            let channel = try await ClientBootstrap(group: loop)
                .connectTimeout(TimeAmount(self.timeout))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        multiplexer.value = try channel.pipeline.syncOperations.configureHTTP2Pipeline(
                            mode: .client, connectionConfiguration: .init(), streamConfiguration: .init()
                        ) { $0.close() }
                    }
                }
                .connect(to: SocketAddress(ipAddress: "127.0.0.1", port: Int(self.port)))
                .getCancellable(late: { $0.close(promise: nil) })
            let answer = await self.ask(channel, multiplexer)
            channel.close(promise: nil)
            return answer
        } catch {
            return "cannot connect to port \(self.port)"
        }
    }

    /// Field 1, a text, when there is one; its length is written seven bits at a time, the lowest first.
    static func request(_ service: String) -> [UInt8] {
        guard !service.isEmpty else { return [] }
        var request: [UInt8] = [0x0a]
        var rest = service.utf8.count
        while rest > 0x7f {
            request.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        request.append(UInt8(rest))
        return request + service.utf8
    }

    private func ask(
        _ channel: any Channel, _ multiplexer: NIOLoopBoundBox<NIOHTTP2Handler.StreamMultiplexer?>
    ) async -> String? {
        let result = channel.eventLoop.makePromise(of: String?.self)
        let (service, port) = (self.service, self.port)
        let timer = channel.eventLoop.scheduleTask(in: TimeAmount(self.timeout)) {
            result.succeed("no answer from port \(port) in time")
        }
        channel.eventLoop.execute {
            multiplexer.value?.createStreamChannel(promise: nil) { stream in
                stream.eventLoop.makeCompletedFuture {
                    try stream.pipeline.syncOperations.addHandler(HealthCall(service, result))
                }
            }
        }
        channel.closeFuture.whenComplete { _ in result.succeed("port \(port) closed the connection: no gRPC there?") }
        // Whoever is cancelled looks at no answer.
        let answer = try? await result.futureResult.getCancellable()
        timer.cancel()
        return answer ?? nil
    }
}

/// One call of `grpc.health.v1.Health/Check`.
private final class HealthCall: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let service: String
    private let result: EventLoopPromise<String?>
    private var body = ByteBuffer()
    private var status: String?
    private var message = ""

    init(_ service: String, _ result: EventLoopPromise<String?>) {
        self.service = service
        self.result = result
    }

    func channelActive(context: ChannelHandlerContext) {
        let headers = HPACKHeaders([
            (":method", "POST"), (":scheme", "http"), (":authority", "localhost"),
            (":path", "/grpc.health.v1.Health/Check"), ("content-type", "application/grpc"), ("te", "trailers"),
            ("user-agent", "mesher"),
        ])
        context.write(Self.wrapOutboundOut(.headers(.init(headers: headers))), promise: nil)
        let request = GRPCProbe.request(self.service)
        var message = ByteBuffer()
        message.writeInteger(UInt8(0))
        message.writeInteger(UInt32(request.count))
        message.writeBytes(request)
        let data = HTTP2Frame.FramePayload.Data(data: .byteBuffer(message), endStream: true)
        context.writeAndFlush(Self.wrapOutboundOut(.data(data)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch Self.unwrapInboundIn(data) {
        case .headers(let headers):
            if let status = headers.headers.first(name: "grpc-status") {
                self.status = status
                self.message = headers.headers.first(name: "grpc-message") ?? ""
            }
            if headers.endStream { self.finish() }
        case .data(let data):
            if case .byteBuffer(let bytes) = data.data, self.body.readableBytes < 1024 {
                self.body.writeImmutableBuffer(bytes)
            }
            if data.endStream { self.finish() }
        default: break
        }
    }

    func channelInactive(context: ChannelHandlerContext) { self.result.succeed("the call was cut off") }

    private func finish() {
        guard self.status == "0" else {
            self.result.succeed("grpc-status \(self.status ?? "missing") \(self.message)")
            return
        }
        // Behind the five bytes of the frame: field 1, a number; 1 is SERVING.
        let isServing = self.body.getInteger(at: 5, as: UInt16.self) == 0x0801
        self.result.succeed(isServing ? nil : "the service says that it is not serving")
    }
}
