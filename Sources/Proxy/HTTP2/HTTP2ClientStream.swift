// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// One request to an HTTP/2 upstream.
final class HTTP2ClientStream: HTTP2Stream {
    private let client: HTTP2ClientConnection
    private var hasHead = false
    private var hasAnswered = false
    private var isRequestComplete = false
    private var sentAt = NIODeadline.uptimeNanoseconds(0)

    init(_ client: HTTP2ClientConnection) {
        self.client = client
        super.init(client)
    }

    override func reset() {
        super.reset()
        self.hasHead = false
        self.hasAnswered = false
        self.isRequestComplete = false
    }

    override func recycle() {
        guard self.driver == nil else { return }
        self.reset()
        if !self.isWaiting { self.client.takeBack(self) }
    }

    // MARK: Response

    override func headersReceived(_ block: RawSpan, endStream: Bool) {
        guard let driver = self.driver else { return self.client.ignore(block) }
        self.hasAnswered = true
        if self.hasHead {
            self.readTrailers(block, endStream: endStream, driver)
            return
        }
        driver.exchange.responseHeaders.clear()
        var pseudo = PseudoFields()
        let result = self.client.decoder.decode(
            block, limits: driver.responseLimits, into: &driver.exchange.responseHeaders, &pseudo)
        if result == .broken { return self.client.fail(.compressionError) }
        if result == .bomb { return self.client.fail(.enhanceYourCalm) }
        let isRead = Self.read(driver, pseudo)
        guard result == .complete, isRead else { return self.refuseResponse() }
        let status = driver.exchange.response.status
        if status < 200 {
            guard !endStream else { return self.refuseResponse() }
            if !driver.interimResponse() {
                self.driver = nil
                self.client.reset(self, .cancel)
            }
            return
        }
        self.hasHead = true
        if endStream {
            guard self.isBodiless(driver) || driver.exchange.response.contentLength == 0 else {
                return self.refuseResponse()
            }
            self.finish()
            driver.finalResponse(bodyLength: 0, body: nil, isComplete: true)
            return
        }
        var length: Int?
        if self.isBodiless(driver) {
            length = 0
        } else if driver.exchange.response.flags.contains(.contentLength) {
            length = driver.exchange.response.contentLength
        }
        self.promised = length
        self.limitStanding(driver)
        driver.finalResponse(bodyLength: length, body: nil, isComplete: false)
    }

    private static func read(_ driver: ExchangeDriver, _ pseudo: PseudoFields) -> Bool {
        driver.exchange.readResponse(pseudo)
    }

    private func isBodiless(_ driver: ExchangeDriver) -> Bool {
        let status = driver.exchange.response.status
        return driver.exchange.request.method == .head || status == 204 || status == 304
    }

    private func readTrailers(_ block: RawSpan, endStream: Bool, _ driver: ExchangeDriver) {
        var trailers = HeaderBlock()
        var pseudo = PseudoFields()
        let result = self.client.decoder.decode(block, limits: driver.responseLimits, into: &trailers, &pseudo)
        if result == .broken { return self.client.fail(.compressionError) }
        if result == .bomb { return self.client.fail(.enhanceYourCalm) }
        guard result == .complete, endStream, pseudo.isEmpty, self.promised ?? 0 == 0 else {
            return self.refuseResponse()
        }
        trailers.removeForbiddenInTrailers()
        driver.exchange.responseTrailers = consume trailers
        self.finish()
        driver.responseBody(nil, isComplete: true)
    }

    override func dataReceived(_ data: ByteBuffer?, endStream: Bool) {
        guard let driver = self.driver else { return }
        guard self.hasHead else { return self.refuseResponse() }
        guard endStream else {
            self.limitStanding(driver)
            if let data { driver.responseBody(data, isComplete: false) }
            return
        }
        self.finish()
        driver.responseBody(data, isComplete: true)
    }

    /// The response is complete: the stream may serve another exchange before the driver hears of it.
    private func finish() {
        self.driver = nil
        self.hasPeerEnded = true
        self.deadline = .distantFuture
        if self.hasEnded {
            self.client.finish(self)
        } else {
            self.client.reset(self, .cancel)
        }
    }

    private func refuseResponse() {
        let driver = self.driver.take()
        self.client.reset(self, .protocolError)
        driver?.upstreamFailed(
            ProxyError(.badUpstreamResponse, "upstream sent a malformed response"), wasReused: false)
    }

    // MARK: Ends

    override func resetReceived(_ code: UInt32) {
        guard let driver = self.driver.take() else { return }
        self.returnTrailers(to: driver)
        driver.exchange.resetCode = code
        let isRefused = code == HTTP2ErrorCode.refusedStream.rawValue && !self.hasAnswered
        driver.upstreamFailed(
            ProxyError(.upstreamReset, "upstream reset the request"), wasReused: isRefused, wasSent: !isRefused)
    }

    /// The upstream went away and has not taken the request.
    func refused() {
        guard let driver = self.driver.take() else { return }
        self.returnTrailers(to: driver)
        driver.upstreamFailed(ProxyError(.upstreamReset), wasReused: true, wasSent: self.hasAnswered)
    }

    override func failed(_ error: ProxyError) {
        guard let driver = self.driver.take() else { return }
        driver.upstreamFailed(error, wasReused: false)
    }

    override func connectionLost() {
        guard let driver = self.driver.take() else { return }
        self.returnTrailers(to: driver)
        // An upstream that has not said its settings, which come first, has not looked at the request either.
        let isUnseen = !self.client.hasSettings
        driver.upstreamFailed(
            ProxyError(.upstreamReset), wasReused: isUnseen || self.client.served > 1 && !self.hasAnswered,
            wasSent: !isUnseen)
    }

    override func trailersSent(_ trailers: consuming HeaderBlock) {
        // Another attempt needs them as well.
        self.driver?.exchange.requestTrailers = consume trailers
    }

    /// Those that have not been sent.
    private func returnTrailers(to driver: ExchangeDriver) {
        if self.trailers != nil { driver.exchange.requestTrailers = self.trailers.take() }
    }

    override func deadlineReached() {
        let driver = self.driver.take()
        driver?.exchange.worker.metrics.count(.upstreamTime)
        // Not a word since the request was sent: the connection is of no use to others either.
        if self.client.heardAt <= self.sentAt { self.client.retire() }
        self.client.reset(self, .cancel)
        driver?.upstreamFailed(ProxyError(.upstreamTimeout), wasReused: false)
    }

    // MARK: Deadlines

    /// Gives up an upstream whose response stands still, unless it is the client that takes nothing.
    private func limitStanding(_ driver: ExchangeDriver) {
        self.deadline = .distantFuture
        if self.isReading { self.setDeadline(after: driver.settings.stream) }
    }

    /// Waits for the head of the response once the request is complete; before that only as long as the client allows,
    /// or while the upstream takes nothing.
    private func limitWaiting(_ driver: ExchangeDriver) {
        if self.hasHead { return self.limitStanding(driver) }
        if self.isRequestComplete {
            self.setDeadline(after: driver.firstByteLimit)
        } else if let limit = driver.callLimit {
            self.setDeadline(after: limit)
        } else {
            self.deadline = .distantFuture
            if self.pending != nil { self.setDeadline(after: driver.settings.stream) }
        }
    }

    override func readingChanged() {
        if self.hasHead, let driver = self.driver { self.limitStanding(driver) }
    }

    override func drained() {
        guard let driver = self.driver else { return }
        driver.setDownstreamReading(true)
        self.limitWaiting(driver)
    }
}

extension HTTP2ClientStream: Upstream {
    var mayRefuse: Bool { true }

    func sendRequest(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool) {
        guard self.client.isAvailable else {
            driver.upstreamFailed(ProxyError(.upstreamReset), wasReused: true, wasSent: false)
            return
        }
        self.driver = driver
        self.client.open(self)
        self.sentAt = self.client.worker.now
        driver.exchange.responseHeaders.clear()
        let isEmpty = body == nil || body?.readableBytes == 0
        let endStream = isComplete && isEmpty && driver.exchange.requestTrailers == nil
        driver.exchange.writeRequest(
            stream: self.id, endStream: endStream, isSecure: self.client.isSecure, encoder: &self.client.encoder,
            to: &self.client.output)
        self.client.markDirty()
        if endStream {
            self.hasEnded = true
            self.isRequestComplete = true
            self.setDeadline(after: driver.firstByteLimit)
        } else if isComplete || !isEmpty {
            self.sendBody(driver, body: body, isComplete: isComplete)
        } else {
            self.limitWaiting(driver)
        }
    }

    func sendBody(_ driver: ExchangeDriver, body: ByteBuffer?, isComplete: Bool) {
        guard self.id != 0 else { return }
        self.isRequestComplete = isComplete
        if isComplete { self.trailers = driver.exchange.requestTrailers.take() }
        self.send(body, isComplete: isComplete)
        if self.pending != nil, !isComplete { driver.setDownstreamReading(false) }
        self.limitWaiting(driver)
    }

    /// An HTTP/2 stream is no tunnel for whatever comes.
    func openTunnel(_ driver: ExchangeDriver) -> Bool { false }

    func cancel() {
        self.driver = nil
        self.client.reset(self, .cancel)
    }

    func writeTunnel(_ bytes: ByteBuffer) {}

    func endTunnelOutput() {}
}

extension Exchange {
    /// Reads the head of the response out of its fields.
    mutating func readResponse(_ pseudo: PseudoFields) -> Bool {
        HTTP2Head.read(pseudo, self.responseHeaders, into: &self.response)
    }

    /// Reads the head of the request out of its fields.
    mutating func readRequest(_ pseudo: PseudoFields, endStream: Bool) -> HTTP2Head.Violation? {
        HTTP2Head.read(pseudo, &self.requestHeaders, endStream: endStream, into: &self.request)
    }

    /// Writes the head of the request.
    mutating func writeRequest(
        stream: UInt32, endStream: Bool, isSecure: Bool, encoder: inout HPACKEncoder, to out: inout ByteBuffer
    ) {
        FrameWriter.request(
            self.request, &self.requestHeaders, isSecure: isSecure, stream: stream, endStream: endStream,
            encoder: &encoder, to: &out)
    }
}
