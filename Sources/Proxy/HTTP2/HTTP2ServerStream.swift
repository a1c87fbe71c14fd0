// SPDX-License-Identifier: Apache-2.0
// request path

import BasicContainers
import Common
import NIOCore

/// One request of an HTTP/2 client.
final class HTTP2ServerStream: HTTP2Stream {
    private var hasResponse = false
    private var isTunnel = false
    private var settings: ProxySettings { self.server.plan.settings }

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
    }

    override func recycle() {
        guard self.driver == nil else { return }
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
            self.refuse(driver, .tooLarge)
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
        if server.worker.overload.refusesRequests {
            return driver.refuse(self, plan: plan, LocalReply(ProxyError(.overloaded)))
        }
        if let target = server.tunnelTarget { self.direct(driver, to: target) }
        if let reply = driver.exchange.takeFirstReply(tunnels: plan.tunnels) {
            return driver.refuse(self, plan: plan, reply)
        }
        driver.exchange.prepareForForwarding()
        self.isTunnel = driver.exchange.request.method == .connect
        driver.begin(self, plan: plan, body: nil, isComplete: endStream)
        self.limitBody()
    }

    private func refuse(_ driver: ExchangeDriver, _ violation: HeadViolation) {
        self.server.introduce(driver)
        if let limit = violation.limit { self.server.worker.metrics.count(limit) }
        driver.exchange.request.method = .other
        driver.refuse(self, plan: self.server.plan, LocalReply(violation))
    }

    /// The exchange has not begun.
    private func giveUp(_ driver: ExchangeDriver) {
        self.driver = nil
        driver.exchange.reset()
        self.server.worker.giveBack(driver)
    }

    /// Inside a tunnel the target of CONNECT counts where `:authority` names no service.
    private func direct(_ driver: ExchangeDriver, to target: TunnelTarget) {
        let directory = driver.exchange.worker.directory.value
        let isService = driver.exchange.requestHeaders.withBytes(in: driver.exchange.request.authority.host) {
            directory.service(named: $0) != nil
        }
        if isService { return }
        driver.exchange.requestHeaders.remove(.host)
        let whole = driver.exchange.requestHeaders.appendHost(target.authority.rawSpan)
        if let authority = driver.exchange.requestHeaders.authority(in: whole) {
            driver.exchange.request.authority = authority
        }
    }

    /// Waits for the body no longer than allowed; a stream of messages may be silent as long as its answer lasts.
    private func limitBody() {
        guard !self.hasPeerEnded, !self.hasResponse, self.isReading, let driver = self.driver,
            !driver.exchange.request.flags.contains(.grpc), !self.isTunnel
        else {
            if self.pending == nil { self.deadline = .distantFuture }
            return
        }
        self.setDeadline(after: self.settings.requestBody)
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
        self.deadline = .distantFuture
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
        self.limitBody()
    }

    override func readingChanged() { self.limitBody() }

    // MARK: Ends

    override func resetReceived(_ code: UInt32) {
        if !self.hasResponse, !self.server.meter.allowsUnansweredReset(at: self.server.worker.now) {
            self.server.fail(.enhanceYourCalm)
        }
        self.connectionLost()
    }

    override func failed(_ error: ProxyError) { self.connectionLost() }

    override func connectionLost() {
        guard let driver = self.driver else { return }
        driver.downstreamGone()
        self.releaseDriver()
    }

    private func releaseDriver() {
        if let driver = self.driver.take() { self.server.worker.giveBack(driver) }
    }

    override func drained() {
        self.deadline = .distantFuture
        if let driver = self.driver { driver.setUpstreamReading(true) } else { self.closeIfOver() }
    }

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

    override func deadlineReached() {
        guard let driver = self.driver, !self.hasResponse else {
            // It takes nothing of its answer.
            self.server.worker.metrics.count(.clientStallTime)
            let server = self.server
            let driver = self.driver
            server.streams.remove(self.id)
            server.writeReset(self.id, .cancel)
            if driver != nil { self.connectionLost() }
            self.recycle()
            server.checkIdle()
            return
        }
        self.server.worker.metrics.count(.requestBodyTime)
        driver.requestFailed(ProxyError(.requestTimeout, "request body not received in time"))
    }
}

// MARK: - Responses

extension HTTP2ServerStream: Downstream {
    func sendInterim(_ driver: ExchangeDriver) {
        driver.exchange.responseHeaders.removeHopByHop()
        driver.exchange.responseHeaders.remove(.contentLength)
        self.writeHead(driver, endStream: false)
    }

    func sendResponse(_ driver: ExchangeDriver, bodyLength: Int?, body: ByteBuffer?, isComplete: Bool) {
        self.hasResponse = true
        self.server.meter.answered()
        driver.exchange.responseHeaders.removeHopByHop()
        if driver.exchange.response.status == 204 { driver.exchange.responseHeaders.remove(.contentLength) }
        let isEmpty = body == nil || body?.readableBytes == 0
        if isComplete, isEmpty, driver.exchange.responseTrailers == nil {
            self.writeHead(driver, endStream: true)
            self.hasEnded = true
            return
        }
        self.writeHead(driver, endStream: false)
        self.sendBody(driver, body: body, isComplete: isComplete)
        self.limitBody()
    }

    private func writeHead(_ driver: ExchangeDriver, endStream: Bool) {
        FrameWriter.response(
            status: driver.exchange.response.status, &driver.exchange.responseHeaders, stream: self.id,
            endStream: endStream, encoder: &self.connection.encoder, to: &self.connection.output)
        self.connection.markDirty()
    }

    func sendBody(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool) {
        if isComplete { self.trailers = driver.exchange.responseTrailers.take() }
        self.send(body, isComplete: isComplete)
        if self.pending != nil {
            self.setDeadline(after: self.settings.stream)
            if !isComplete { driver.setUpstreamReading(false) }
        }
    }

    func sendReply(_ reply: LocalReply) {
        guard let driver = self.driver else { return }
        self.hasResponse = true
        self.server.meter.answered()
        driver.exchange.responseHeaders.clear()
        let isGRPC = driver.exchange.request.flags.contains(.grpc)
        for line in reply.lines(isGRPC: isGRPC, contentType: driver.exchange.requestHeaders.string(of: .contentType)) {
            driver.exchange.responseHeaders.append(line)
        }
        let isBodiless = isGRPC || driver.exchange.request.method == .head || reply.body.isEmpty
        driver.exchange.response.status = isGRPC ? 200 : reply.status
        self.writeHead(driver, endStream: isBodiless)
        if isBodiless { self.hasEnded = true } else { self.send(ByteBuffer(string: reply.body), isComplete: true) }
    }

    func abortResponse() {
        // What the upstream has said, so that its reason travels on.
        let code = self.driver?.exchange.resetCode.flatMap { HTTP2ErrorCode(rawValue: $0) } ?? .internalError
        self.pending = nil
        self.server.streams.remove(self.id)
        if self.hasEnded, self.hasPeerEnded { return }
        self.hasEnded = true
        self.server.writeReset(self.id, code == .noError ? .internalError : code)
    }

    func exchangeEnded() {
        self.releaseDriver()
        guard self.id != 0, self.server.streams[id: self.id] === self else {
            // It was aborted, or the connection is gone: whoever removed it from the table lets go of it, except here.
            guard self.id != 0 else { return }
            self.recycle()
            self.server.checkIdle()
            return
        }
        self.closeIfOver()
    }

    func beginTunnel(_ driver: ExchangeDriver) {
        self.hasResponse = true
        self.server.meter.answered()
        self.writeHead(driver, endStream: false)
    }

    func writeTunnel(_ bytes: ByteBuffer) {
        self.send(bytes, isComplete: false)
        if self.pending != nil { self.driver?.setUpstreamReading(false) }
    }

    func endTunnelOutput() { self.send(nil, isComplete: true) }
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
                HeaderLine("grpc-status", "\(self.reason?.grpcStatus ?? GRPCStatus.code(ofHTTP: self.status))"))
            lines.append(HeaderLine("grpc-message", GRPCStatus.encode(self.body)))
        } else {
            if !self.body.isEmpty { lines.append(HeaderLine("content-type", "text/plain; charset=utf-8")) }
            lines.append(HeaderLine("content-length", "\(self.body.utf8.count)"))
        }
        if let reason = self.reason { lines.append(HeaderLine("x-mesher-error", reason.rawValue)) }
        return lines + self.headers.map { HeaderLine($0.name.lowercased(), $0.value) }
    }
}
