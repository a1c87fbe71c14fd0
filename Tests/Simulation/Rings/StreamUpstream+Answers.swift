// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SimulationSupport

/// What an upstream of HTTP/2 is asked, and what it answers.
extension StreamUpstream {
    func headCame(_ id: Int, _ fields: Fields, endStream: Bool) throws {
        if let stream = self.streams.first(where: { $0.id == id }) {
            return try self.trailersCame(stream, fields, endStream: endStream)
        }
        guard id % 2 == 1, id > self.lastID else { throw self.violation("order", "stream \(id) after \(self.lastID)") }
        guard let number = fields[":path"].flatMap({ Int($0.dropFirst()) }), number < self.ring.asked.count,
            case let asked = self.ring.asked[number], asked.method == fields[":method"]
        else { throw self.violation("request", "nobody has asked \(fields)") }
        guard self.endpoint == number % self.ring.endpoints.count else {
            throw self.violation("request", "request \(number) is for another endpoint")
        }
        guard fields["x-client"] == asked.mark else {
            throw self.violation("request", "request \(number) is not its own: \(fields)")
        }
        if self.isFarewellKnown { throw self.violation("order", "stream \(id) is opened behind GOAWAY") }
        guard self.streams.count(where: { !$0.isOver }) < self.limit else {
            throw self.violation("order", "stream \(id) is more than \(self.limit) at a time")
        }
        let stream = ScriptedStream(
            id, asked, send: self.sendInitial, receive: self.receiveInitial, now: self.now)
        stream.hasPeerEnded = endStream
        self.streams.append(stream)
        if id > self.lastServed {
            // It never looks at it.
            stream.wasReset = true
            return
        }
        let served = try self.ring.serve(asked, self.name)
        served.connection = self
        // It may be too late, or mesher gone, since half a connection is none.
        if self.isBehind || self.peer.isOutputShut { served.isBroken = true }
        stream.served = served
        let length = fields["content-length"].flatMap { Int($0) }
        guard length == nil || length == asked.length, length != nil || asked.isChunked || asked.length == 0 else {
            throw self.violation("request", "request \(number) has another length: \(length ?? -1)")
        }
        self.plan(served, asked)
        if endStream { try self.requestEnded(stream, trailer: nil) }
    }

    func bodyCame(_ stream: ScriptedStream, _ bytes: ByteBuffer, endStream: Bool) throws {
        guard let served = stream.served else { return }
        guard Pattern.matches(bytes, stream.asked.seed, served.received) else {
            throw self.violation("request", "the body of request \(stream.asked.number) is not its own")
        }
        served.received += bytes.readableBytes
        served.movedAt = self.now
        if endStream { try self.requestEnded(stream, trailer: nil) }
    }

    private func trailersCame(_ stream: ScriptedStream, _ fields: Fields, endStream: Bool) throws {
        guard endStream, let trailer = fields["x-trailer"] else {
            throw self.violation("trailers", "request \(stream.asked.number) has a second head: \(fields)")
        }
        try self.requestEnded(stream, trailer: trailer)
    }

    private func requestEnded(_ stream: ScriptedStream, trailer: String?) throws {
        guard let served = stream.served else { return }
        let asked = stream.asked
        guard served.received == asked.length, asked.isSent else {
            throw self.violation("request", "request \(asked.number) ends after \(served.received) of \(asked.length)")
        }
        guard trailer == (asked.hasTrailers ? "r\(asked.number)" : nil) else {
            throw self.violation("trailers", "request \(asked.number) ends with \(trailer ?? "no trailers")")
        }
        served.isRequestComplete = true
        served.movedAt = self.now
    }

    private func plan(_ served: Served, _ asked: Asked) {
        let schedule = self.schedule
        served.plan(schedule)
        served.framing = schedule.pick([.length, .chunked])
        if asked.method == "HEAD" || served.status == 204 || served.status == 304 { served.framing = .none }
        served.hasTrailers = served.framing != .none && schedule.happens(oneIn: 4)
        served.interims = schedule.pick([0, 0, 0, 1, 2])
        served.isEarly = schedule.happens(oneIn: 4)
        served.pieces = schedule.pick([5000, Frame.largest, 100, 1])
        if schedule.happens(oneIn: 8) {
            served.fault = schedule.pick([8, 7, 7, 2, 0, 1])
            served.faultAt = schedule.happens(oneIn: 2) ? schedule.draw(served.length + 1) : -1
        }
    }

    // MARK: Its answers

    /// Whether a stream could go on with its answer.
    func isReady(_ stream: ScriptedStream) -> Bool {
        guard let served = stream.served, !stream.hasEnded, !stream.isOver else { return false }
        guard served.isRequestComplete || served.isEarly else { return false }
        // Now it waits to be told that nobody listens.
        if self.ring.isEnding, stream.asked.isGivenUp { return false }
        return !stream.hasHead || served.sent == served.length || self.room(stream) > 0
    }

    func goOn(_ stream: ScriptedStream) {
        guard let served = stream.served else { return }
        served.movedAt = self.now
        if let code = served.fault, stream.hasHead ? served.sent >= max(served.faultAt, 0) : served.faultAt < 0 {
            return self.fail(stream, served, code)
        }
        guard stream.hasHead else { return self.sendHead(stream, served) }
        let left = served.length - served.sent
        guard left > 0 else { return self.finish(stream, served) }
        var count = min(left, self.room(stream), served.pieces)
        // Never a byte at a time through a long answer.
        if served.pieces < 700, left > 300 { count = min(left, self.room(stream), 500) }
        let bytes = Pattern.piece(served.seed, served.sent, count)
        served.sent += count
        stream.hasEnded = count == left && !served.hasTrailers && !self.schedule.happens(oneIn: 2)
        self.queueData(stream, bytes, endStream: stream.hasEnded)
        if stream.hasEnded { self.completes(stream, served) }
    }

    private func sendHead(_ stream: ScriptedStream, _ served: Served) {
        if served.interims > 0 {
            served.interims -= 1
            served.hasSaidAnything = true
            self.queueHeaders(
                stream.id, [(":status", "103"), ("x-answer", "\(served.number)")], endStream: false)
            return
        }
        stream.hasHead = true
        served.isHeadSent = true
        var fields: Fields = [(":status", "\(served.status)"), ("x-answer", "\(served.number)")]
        if served.framing == .length || (stream.asked.method == "HEAD" && served.status != 204) {
            fields.append(("content-length", "\(served.length)"))
        }
        if served.framing == .none { served.length = 0 }
        stream.hasEnded = served.length == 0 && !served.hasTrailers && !self.schedule.happens(oneIn: 2)
        self.queueHeaders(stream.id, fields, endStream: stream.hasEnded)
        self.mark { served.hasBegun = true }
        if stream.hasEnded { self.completes(stream, served) }
    }

    private func finish(_ stream: ScriptedStream, _ served: Served) {
        stream.hasEnded = true
        if served.hasTrailers {
            self.queueHeaders(stream.id, [("x-trailer", "a\(served.number)")], endStream: true)
        } else {
            self.queue(.data, Frame.endStream, stream: stream.id)
        }
        self.completes(stream, served)
    }

    private func completes(_ stream: ScriptedStream, _ served: Served) {
        served.end = self.queued
        self.mark {
            served.isComplete = true
            self.ring.note("\(self.name): answer \(served.number) is complete")
        }
        // The rest of the request is not wanted.
        if !served.isRequestComplete, self.schedule.happens(oneIn: 3) { self.queueReset(stream, 0) }
    }

    private func fail(_ stream: ScriptedStream, _ served: Served, _ code: Int) {
        served.fault = nil
        served.isBroken = true
        // Whoever has begun to answer has looked at it.
        let code = code == 7 && stream.hasHead ? 2 : code
        if code == 7, !served.hasSaidAnything { served.isUnseen = true }
        self.ring.hasBlemish = true
        self.ring.note("\(self.name) resets stream \(stream.id): \(code)")
        self.queueReset(stream, code)
    }
}
