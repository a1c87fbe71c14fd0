// SPDX-License-Identifier: Apache-2.0
// request path

import BasicContainers
import Common
import NIOCore

/// One request of an HTTP/2 client.
final class HTTP2ServerStream: HTTP2Stream {
    private(set) var driver: ExchangeDriver?
    private var hasResponse = false
    private var isTunnel = false
    /// What follows the body of the response.
    private var trailers: HeaderBlock?

    private let server: HTTP2ServerConnection

    init(_ server: HTTP2ServerConnection) {
        self.server = server
        super.init(server)
    }

    func open(_ id: UInt32, window: Int, receiveWindow: Int) {
        self.id = id
        self.sendWindow = window
        self.receiveWindow = receiveWindow
    }

    override func reset() {
        super.reset()
        self.hasResponse = false
        self.isTunnel = false
        self.trailers = nil
    }

    /// Once for each time that it was open: a stream that is over twice would serve two requests.
    override func recycle() {
        guard self.driver == nil, self.id != 0 else { return }
        self.reset()
        if !self.isWaiting { self.server.takeBack(self) }
    }

    // MARK: Request

    /// Reads the head, and begins.
    func begin(_ block: RawSpan, endStream: Bool) {
        let server = self.server
        let plan = server.plan
        let driver = server.worker.takeDriver()
        self.driver = driver
        self.hasPeerEnded = endStream
        var pseudo = PseudoFields()
        let result = server.decoder.decode(
            block, limits: plan.requestLimits, into: &driver.exchange.requestHeaders, &pseudo)
        switch result {
        case .complete: break
        case .broken:
            self.giveUp(driver)
            return server.fail(.compressionError)
        case .malformed:
            self.giveUp(driver)
            return server.streamError(self.id, .protocolError)
        case .tooLarge:
            // Nobody has read this head: what is there is that of a request before, and means other bytes.
            driver.exchange.request = RequestHead()
            self.refuse(driver, server.decoder.excess)
            if !server.meter.allowsForcedReset(at: server.worker.now) { server.fail(.enhanceYourCalm) }
            return
        case .bomb:
            self.giveUp(driver)
            return server.fail(.enhanceYourCalm)
        }
        switch driver.exchange.readRequest(pseudo, endStream: endStream) {
        case .malformed:
            self.giveUp(driver)
            return server.streamError(self.id, .protocolError)
        case .refused(let violation): return self.refuse(driver, violation)
        case nil: break
        }
        if driver.exchange.request.flags.contains(.contentLength), !endStream {
            self.promised = driver.exchange.request.contentLength
        }
        server.introduce(driver)
        if let target = server.tunnelTarget { self.direct(driver, to: target) }
        if let reply = driver.exchange.preflight(plan) { return driver.refuse(self, plan: plan, reply) }
        self.isTunnel = driver.exchange.request.method == .connect
        // Its end is that of one way through the tunnel.
        driver.begin(self, plan: plan, body: nil, isComplete: endStream || self.isTunnel)
        if endStream, self.isTunnel { driver.tunnelInputClosed() }
    }

    private func refuse(_ driver: ExchangeDriver, _ violation: HeadViolation) {
        self.server.introduce(driver)
        if let limit = violation.limit { self.server.worker.metrics.count(limit) }
        driver.exchange.request.method = .other
        // Its client understands no other answer, however little of its head was understood.
        if self.server.isGRPC || driver.exchange.namesGRPC { driver.exchange.isGRPC = true }
        driver.refuse(
            self, plan: self.server.plan,
            LocalReply(violation, violation.text(of: .request, limits: self.server.plan.requestLimits)))
    }

    /// The exchange has not begun.
    private func giveUp(_ driver: ExchangeDriver) {
        self.driver = nil
        driver.exchange.reset()
        self.server.worker.giveBack(driver)
    }

    /// Inside a tunnel the target of CONNECT counts where `:authority` names no service.
    private func direct(_ driver: ExchangeDriver, to target: TunnelTarget) {
        let directory = driver.exchange.worker.directory
        let isService = driver.exchange.requestHeaders.withBytes(in: driver.exchange.request.authority.host) {
            directory.service(named: $0) != nil
        }
        if !isService { driver.exchange.replaceAuthority(by: target) }
    }

    override func headersReceived(_ block: RawSpan, endStream: Bool) {
        let server = self.server
        guard let driver = self.driver, !self.isTunnel else {
            server.ignore(block)
            if endStream { self.hasPeerEnded = true }
            return
        }
        var trailers = HeaderBlock()
        var pseudo = PseudoFields()
        let result = server.decoder.decode(block, limits: server.plan.requestLimits, into: &trailers, &pseudo)
        if result == .broken { return server.fail(.compressionError) }
        if result == .bomb { return server.fail(.enhanceYourCalm) }
        guard result == .complete, endStream, pseudo.isEmpty, self.promised ?? 0 == 0 else {
            return server.streamError(self.id, .protocolError)
        }
        trailers.removeForbiddenInTrailers()
        driver.exchange.requestTrailers = consume trailers
        self.hasPeerEnded = true
        driver.requestBody(nil, isComplete: true)
    }

    override func dataReceived(_ data: ByteBuffer?, endStream: Bool) {
        guard let driver = self.driver else { return }
        if self.isTunnel {
            if let data { driver.tunnelFromDownstream(data) }
            if endStream { driver.tunnelInputClosed() }
            return
        }
        if data != nil || endStream { driver.requestBody(data, isComplete: endStream) }
    }

    // MARK: Ends

    override func resetReceived(_ code: UInt32) {
        if !self.hasResponse, !self.server.meter.allowsUnansweredReset(at: self.server.worker.now) {
            self.server.fail(.enhanceYourCalm)
        }
        self.connectionLost()
    }

    override func failed(_ error: ProxyError) { self.connectionLost() }

    override func connectionLost() { self.driver?.clientGone() }

    /// Ends it, so that the client sees it.
    func cut(_ error: ProxyError) { self.driver?.requestFailed(error) }

    private func releaseDriver() {
        if let driver = self.driver.take() { self.server.worker.giveBack(driver) }
    }

    override func drained() {
        self.deadline = .distantFuture
        if let driver = self.driver { driver.downstreamWritable(true) } else { self.closeIfOver() }
    }

    override func progressed() {
        if let driver = self.driver { driver.downstreamProgressed() } else { self.limitTaking() }
    }

    /// The call is over, and what it has left is still to be taken.
    private func limitTaking() { self.setDeadline(after: self.server.plan.settings.stream) }

    /// Ends the stream once the answer is sent.
    private func closeIfOver() {
        guard self.hasEnded, self.id != 0 else { return }
        if self.hasPeerEnded {
            self.server.finish(self)
        } else {
            // The rest of the request is not wanted: RFC 9113 §8.1.
            self.server.reset(self, .noError)
        }
    }

    /// It takes nothing of what its call has left.
    override func deadlineReached() {
        self.server.worker.metrics.count(.clientStallTime)
        self.server.reset(self, .cancel)
    }

    override var hasTrailers: Bool {
        switch self.trailers {
        case .some: true
        case .none: false
        }
    }

    override func takeTrailers() -> HeaderBlock? { self.trailers.take() }
}

// MARK: - Responses

extension HTTP2ServerStream: Downstream {
    func sendInterim(_ driver: ExchangeDriver) {
        driver.exchange.responseHeaders.removeHopByHop()
        driver.exchange.responseHeaders.remove(.contentLength)
        self.writeHead(driver, endStream: false, date: nil)
    }

    func sendResponse(_ driver: ExchangeDriver, bodyLength: Int?, body: ByteBuffer?, isComplete: Bool) -> Bool {
        self.hasResponse = true
        self.server.meter.answered()
        driver.exchange.responseHeaders.removeHopByHop()
        if driver.exchange.response.status == 204 { driver.exchange.responseHeaders.remove(.contentLength) }
        let isEmpty = body == nil || body?.readableBytes == 0
        if isComplete, isEmpty, driver.exchange.responseTrailers == nil {
            self.writeHead(driver, endStream: true, date: self.server.worker.date)
            self.hasEnded = true
            return true
        }
        self.writeHead(driver, endStream: false, date: self.server.worker.date)
        return self.sendBody(driver, body: body, isComplete: isComplete)
    }

    /// - Parameter date: For a response that its origin gave none; `nil` for an interim one.
    private func writeHead(_ driver: ExchangeDriver, endStream: Bool, date: HeaderLine?) {
        FrameWriter.response(
            status: driver.exchange.response.status, &driver.exchange.responseHeaders, stream: self.id,
            endStream: endStream, encoder: &self.connection.encoder, date: date, to: &self.connection.output)
        self.connection.markDirty()
    }

    func sendBody(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool) -> Bool {
        if isComplete { self.trailers = driver.exchange.responseTrailers.take() }
        self.send(body, isComplete: isComplete)
        return self.pending == nil
    }

    func sendReply(_ reply: LocalReply, _ driver: ExchangeDriver) {
        self.hasResponse = true
        self.server.meter.answered()
        driver.exchange.responseHeaders.clear()
        let isGRPC = driver.exchange.request.flags.contains(.grpc) || driver.exchange.namesGRPC || self.isUnread(driver)
        for line in reply.lines(isGRPC: isGRPC, contentType: driver.exchange.requestHeaders.string(of: .contentType)) {
            driver.exchange.responseHeaders.append(line)
        }
        let isBodiless = isGRPC || driver.exchange.request.method == .head || reply.bodyLength == 0
        driver.exchange.response.status = isGRPC ? 200 : reply.status
        self.writeHead(driver, endStream: isBodiless, date: self.server.worker.date)
        if isBodiless {
            self.hasEnded = true
        } else {
            self.send(reply.octets.map { ByteBuffer(bytes: $0) } ?? ByteBuffer(string: reply.body), isComplete: true)
        }
    }

    /// Whether so little of the head was understood that only the listener tells what the client speaks.
    private func isUnread(_ driver: ExchangeDriver) -> Bool {
        driver.exchange.request.method == .other && driver.exchange.isGRPC
    }

    func abortResponse(_ driver: ExchangeDriver) {
        guard self.id != 0, !self.hasEnded || self.pending != nil else { return }
        // What the upstream has said, so that its reason travels on.
        let code = driver.exchange.attempt.resetCode.flatMap { HTTP2ErrorCode(rawValue: $0) }
        if code == nil, driver.exchange.isGRPC, self.hasResponse, let reason = driver.exchange.error?.reason,
            reason != .clientGone, self.pending == nil
        {
            self.endCall(reason.grpcStatus)
            return
        }
        self.pending = nil
        self.hasEnded = true
        self.server.streams.remove(self.id)
        self.server.writeReset(self.id, Self.code(code, driver))
    }

    private static func code(_ said: HTTP2ErrorCode?, _ driver: ExchangeDriver) -> HTTP2ErrorCode {
        if driver.exchange.error?.reason == .clientGone { return .cancel }
        guard let said, said != .noError else { return .internalError }
        return said
    }

    /// Ends a gRPC call whose answer has begun with a status: a reset could only say that something is broken.
    private func endCall(_ status: Int) {
        var trailers = HeaderBlock()
        trailers.append(HeaderLine("grpc-status", "\(status)"))
        self.trailers = consume trailers
        self.connection.end(self)
    }

    func exchangeEnded() {
        self.releaseDriver()
        guard self.id != 0 else { return }
        guard self.server.streams[id: self.id] === self else {
            // It was aborted, or the connection is gone.
            self.recycle()
            self.server.checkIdle()
            return
        }
        if self.pending != nil { self.limitTaking() }
        self.closeIfOver()
    }

    func beginTunnel(_ driver: ExchangeDriver) -> ByteBuffer? {
        self.hasResponse = true
        self.server.meter.answered()
        self.writeHead(driver, endStream: false, date: nil)
        return nil
    }

    func writeTunnel(_ bytes: ByteBuffer) -> Bool {
        self.send(bytes, isComplete: false)
        return self.pending == nil
    }

    func endTunnelOutput() { self.send(nil, isComplete: true) }
}

extension Exchange {
    /// Whether the content type is that of gRPC, as far as the head was read.
    var namesGRPC: Bool {
        guard let index = self.requestHeaders.firstIndex(of: .contentType) else { return false }
        return self.requestHeaders.withValue(at: index) { $0.isGRPC }
    }
}

extension HeaderBlock {
    /// Removes what no trailer may say.
    mutating func removeForbiddenInTrailers() {
        for index in 0..<self.count where self.fields[index].name.isForbiddenInTrailers {
            self.fields[index].isRemoved = true
        }
    }
}

extension LocalReply {
    /// The fields of its head, in HTTP/2.
    ///
    /// A gRPC client gets a status instead of a body.
    ///
    /// - Source: the gRPC protocol over HTTP/2, "Trailers-Only".
    func lines(isGRPC: Bool, contentType: String?) -> [HeaderLine] {
        var lines: [HeaderLine] = []
        if isGRPC {
            lines.append(HeaderLine("content-type", contentType ?? "application/grpc"))
            lines.append(
                HeaderLine("grpc-status", "\(self.codeOfGRPC)"))
            lines.append(HeaderLine("grpc-message", self.messageOfGRPC))
        } else {
            if self.bodyLength > 0 { lines.append(HeaderLine("content-type", self.contentType)) }
            if self.status != 204, self.status != 304 {
                lines.append(HeaderLine("content-length", "\(self.bodyLength)"))
            }
        }
        if let reason = self.reason { lines.append(HeaderLine("x-mesher-error", reason.rawValue)) }
        return lines + self.headers.map { HeaderLine($0.name.lowercased(), $0.value) }
    }
}
