// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// One request to an HTTP/2 upstream.
final class HTTP2ClientStream: HTTP2Stream {
    private let client: HTTP2ClientConnection
    /// Whom it serves.
    private var ticket: Ticket?
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

    /// Once for each time that it was open: a stream that is over twice would serve two requests.
    override func recycle() {
        guard self.ticket == nil, self.id != 0 else { return }
        self.reset()
        if !self.isWaiting { self.client.takeBack(self) }
        // In a cluster that limits its connections somebody may wait for it.
        self.client.group.serveLater()
    }

    // MARK: Response

    override func headersReceived(_ block: RawSpan, endStream: Bool) {
        guard let ticket = self.ticket, ticket.isValid else {
            self.client.ignore(block)
            if endStream { self.endGivenUp() }
            return
        }
        let driver = ticket.driver
        self.hasAnswered = true
        if self.hasHead {
            self.readTrailers(block, endStream: endStream, ticket)
            return
        }
        driver.exchange.responseHeaders.clear()
        var pseudo = PseudoFields()
        let result = self.client.decoder.decode(
            block, limits: driver.responseLimits, into: &driver.exchange.responseHeaders, &pseudo)
        if result == .broken { return self.client.fail(.compressionError) }
        if result == .bomb { return self.client.fail(.enhanceYourCalm) }
        let isRead = Self.read(driver, pseudo)
        guard result == .complete, isRead else {
            let isTooLarge = result == .tooLarge
            let excess = self.client.decoder.excess
            return self.refuseResponse(isTooLarge ? excess.text(of: .response, limits: driver.responseLimits) : nil)
        }
        let status = driver.exchange.response.status
        if status < 200 {
            guard !endStream else { return self.refuseResponse() }
            driver.interimResponse(ticket.number)
            return
        }
        self.hasHead = true
        self.client.answered()
        if endStream {
            guard self.isBodiless(driver) || driver.exchange.response.contentLength == 0 else {
                return self.refuseResponse()
            }
            self.finish()
            driver.finalResponse(ticket.number, bodyLength: 0, body: nil, isComplete: true)
            return
        }
        var length: Int?
        if self.isBodiless(driver) {
            length = 0
        } else if driver.exchange.response.flags.contains(.contentLength) {
            length = driver.exchange.response.contentLength
        }
        self.promised = length
        driver.finalResponse(ticket.number, bodyLength: length, body: nil, isComplete: false)
    }

    private static func read(_ driver: ExchangeDriver, _ pseudo: PseudoFields) -> Bool {
        driver.exchange.readResponse(pseudo)
    }

    private func isBodiless(_ driver: ExchangeDriver) -> Bool {
        let status = driver.exchange.response.status
        return driver.exchange.request.method == .head || status == 204 || status == 304
    }

    private func readTrailers(_ block: RawSpan, endStream: Bool, _ ticket: Ticket) {
        let driver = ticket.driver
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
        driver.responseBody(ticket.number, nil, isComplete: true)
    }

    override func dataReceived(_ data: ByteBuffer?, endStream: Bool) {
        guard let ticket = self.ticket, ticket.isValid else {
            if endStream { self.endGivenUp() }
            return
        }
        guard self.hasHead else { return self.refuseResponse() }
        guard endStream else {
            if let data { ticket.driver.responseBody(ticket.number, data, isComplete: false) }
            return
        }
        self.finish()
        ticket.driver.responseBody(ticket.number, data, isComplete: true)
    }

    /// The response is complete: the stream may serve another exchange before the driver hears of it.
    private func finish() {
        self.ticket = nil
        self.hasPeerEnded = true
        if self.hasEnded {
            self.client.finish(self)
        } else {
            self.client.reset(self, .cancel)
        }
    }

    private func refuseResponse(_ text: String? = nil) {
        guard let ticket = self.ticket.take() else { return }
        self.client.reset(self, .protocolError)
        let error = self.client.worker.malformed(text, self.client.group)
        ticket.driver.upstreamFailed(ticket.number, error, wasReused: false)
    }

    // MARK: Ends

    override func resetReceived(_ code: UInt32) {
        guard let ticket = self.ticket.take(), ticket.isValid else { return }
        ticket.driver.exchange.attempt.resetCode = code
        let isRefused = code == HTTP2ErrorCode.refusedStream.rawValue && !self.hasAnswered
        ticket.driver.upstreamFailed(
            ticket.number, ProxyError(.upstreamReset, "upstream reset the request"), wasReused: isRefused,
            wasSent: !isRefused)
    }

    /// The upstream went away and has not taken the request.
    func refused() {
        guard let ticket = self.ticket.take() else { return }
        ticket.driver.upstreamFailed(
            ticket.number, ProxyError(.upstreamReset), wasReused: true, wasSent: self.hasAnswered)
    }

    override func failed(_ error: ProxyError) {
        guard let ticket = self.ticket.take() else { return }
        ticket.driver.upstreamFailed(ticket.number, error, wasReused: false)
    }

    override func connectionLost() {
        guard let ticket = self.ticket.take() else { return }
        // An upstream that has not said its settings, which come first, has not looked at the request either.
        let isUnseen = !self.client.hasSettings
        ticket.driver.upstreamFailed(
            ticket.number, ProxyError(.upstreamReset),
            wasReused: isUnseen || self.client.served > 1 && !self.hasAnswered, wasSent: !isUnseen)
    }

    /// Whether nobody waits for it any more, and its upstream does not know yet.
    var isGivenUp: Bool { self.id != 0 && self.ticket == nil && !self.hasPeerEnded }

    private func deliverNothing() {
        self.pending = nil
        self.gathered = nil
        self.setReading(false)
    }

    /// The answer that nobody waits for is complete.
    private func endGivenUp() {
        self.hasPeerEnded = true
        if self.hasEnded { self.client.finish(self) } else { self.client.reset(self, .cancel) }
    }

    // MARK: Trailers

    /// They stay with the exchange until they are written, and go back to it then: another try needs them as well.
    override var hasTrailers: Bool {
        guard self.isRequestComplete, let ticket = self.ticket else { return false }
        switch ticket.driver.exchange.requestTrailers {
        case .some: return true
        case .none: return false
        }
    }

    override func takeTrailers() -> HeaderBlock? { self.ticket?.driver.exchange.requestTrailers.take() }

    override func giveBackTrailers(_ trailers: consuming HeaderBlock) {
        self.ticket?.driver.exchange.requestTrailers = consume trailers
    }

    override func drained() {
        guard let ticket = self.ticket else { return }
        ticket.driver.upstreamDrained(ticket.number)
    }
}

extension HTTP2ClientStream: Upstream {
    var mayRefuse: Bool { true }

    func sendRequest(_ ticket: Ticket, body: ByteBuffer?, isComplete: Bool) -> SentRequest {
        assert(self.ticket == nil && self.id == 0, "an upstream has one owner")
        guard self.client.isAvailable else { return .lost }
        let driver = ticket.driver
        self.ticket = ticket
        self.client.open(self)
        self.sentAt = self.client.worker.now
        let isEmpty = body == nil || body?.readableBytes == 0
        let endStream = isComplete && isEmpty && driver.exchange.requestTrailers == nil
        driver.exchange.writeRequest(
            stream: self.id, endStream: endStream, isSecure: self.client.isSecure, encoder: &self.client.encoder,
            to: &self.client.output)
        self.client.markDirty()
        if endStream {
            self.hasEnded = true
            self.isRequestComplete = true
        } else if isComplete || !isEmpty {
            return .sent(takesMore: self.sendBody(ticket, body: body, isComplete: isComplete))
        }
        return .sent(takesMore: true)
    }

    func sendBody(_ ticket: Ticket, body: ByteBuffer?, isComplete: Bool) -> Bool {
        guard self.id != 0 else { return true }
        self.isRequestComplete = isComplete
        self.send(body, isComplete: isComplete)
        return self.pending == nil
    }

    /// An HTTP/2 stream is no tunnel for whatever comes.
    func openTunnel(_ ticket: Ticket) -> Bool { false }

    func cancel(_ ticket: Ticket, because reason: Cancellation) {
        guard let mine = self.ticket, mine.number == ticket.number, mine.driver === ticket.driver else { return }
        self.ticket = nil
        // Not a word since the request was sent: the connection is of no use to others either.
        if reason == .late, self.client.heardAt <= self.sentAt { self.client.retire() }
        self.deliverNothing()
        self.client.giveUp(self)
    }

    func writeTunnel(_ bytes: ByteBuffer) -> Bool { true }

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
