// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SimulationSupport

/// How a client of HTTP/2 judges its answers.
extension StreamClient {
    func headCame(_ stream: ScriptedStream, _ fields: Fields, endStream: Bool) throws {
        let asked = stream.asked
        if stream.hasHead { return try self.trailersCame(stream, fields, endStream: endStream) }
        guard let status = fields[":status"].flatMap({ Int($0) }) else {
            throw self.violation("answer", "a head without a status on stream \(stream.id)")
        }
        let number = fields["x-answer"].flatMap { Int($0) }
        self.ring.note("\(self.name): an answer to \(asked.number) begins: \(status), \(number ?? -1)")
        let served = number.map { self.ring.served[$0] }
        if let served, served.asked !== asked {
            throw self.violation("order", "request \(asked.number) is given the answer to \(served.asked.number)")
        }
        if status < 200 {
            guard !endStream, served != nil else { throw self.violation("answer", "an interim answer that ends it") }
            return
        }
        stream.hasHead = true
        stream.served = served
        guard let served else {
            guard status >= 400 || (asked.isGRPC && fields["grpc-status"] != nil) else {
                throw self.violation("answer", "a status of mesher's own: \(status)")
            }
            return try self.judgeFailure(stream, "is answered \(status)")
        }
        guard served.status == status else { throw self.violation("answer", "status \(status), not \(served.status)") }
        if let length = fields["content-length"], served.framing == .length, asked.method != "HEAD" {
            guard Int(length) == served.length else { throw self.violation("answer", "another length: \(length)") }
        }
        if endStream { try self.ended(stream, trailer: nil) }
    }

    func bodyCame(_ stream: ScriptedStream, _ bytes: ByteBuffer, endStream: Bool) throws {
        guard stream.hasHead else { throw self.violation("answer", "a body without a head on stream \(stream.id)") }
        if let served = stream.served {
            guard Pattern.matches(bytes, served.seed, stream.received) else {
                throw self.violation("answer", "a body holds bytes that do not belong to it")
            }
        }
        stream.received += bytes.readableBytes
        if endStream { try self.ended(stream, trailer: nil) }
    }

    private func trailersCame(_ stream: ScriptedStream, _ fields: Fields, endStream: Bool) throws {
        guard endStream else { throw self.violation("answer", "a second head on stream \(stream.id)") }
        if stream.asked.isGRPC, let status = fields["grpc-status"] {
            return try self.judgeFailure(stream, "ends with status \(status)")
        }
        guard let trailer = fields["x-trailer"] else {
            throw self.violation("answer", "other trailers on stream \(stream.id): \(fields)")
        }
        try self.ended(stream, trailer: trailer)
    }

    private func ended(_ stream: ScriptedStream, trailer: String?) throws {
        let number = stream.asked.number
        self.ring.note("\(self.name): the answer to \(number) is complete")
        guard let served = stream.served else { return }
        // Its end came before that of the request, and nobody can tell that there should have been more.
        if served.isBroken, served.isComplete, served.framing == .untilClose { return }
        let length = stream.asked.method == "HEAD" ? 0 : served.length
        guard served.isComplete, stream.received == length else {
            throw self.violation(
                "cut", "the answer to \(number) ends after \(stream.received) of \(length) bytes, in order")
        }
        guard trailer == (served.hasTrailers ? "a\(served.number)" : nil) else {
            throw self.violation("trailers", "the answer to \(number) ends with \(trailer ?? "no trailers")")
        }
    }

    func judgeReset(_ stream: ScriptedStream, _ code: Int) throws {
        let asked = stream.asked
        self.ring.note("\(self.name): stream \(stream.id) is reset: \(code)")
        if stream.hasPeerEnded {
            // The answer came before the end of the request, whose rest is not wanted.
            guard code == 0 else {
                throw self.violation("over", "stream \(stream.id) is reset behind its end: \(code)")
            }
            return
        }
        if code == 7, asked.mayBeRefused, asked.served.isEmpty { return }
        try self.judgeFailure(stream, "is reset with \(code)")
    }

    /// mesher answers by itself, or resets: that is for failures.
    private func judgeFailure(_ stream: ScriptedStream, _ what: String) throws {
        let asked = stream.asked
        if self.isExempt || asked.isBroken { return }
        guard asked.served.allSatisfy({ $0.isBroken }) else {
            throw self.violation("lost", "request \(asked.number) \(what) though its upstream has not failed")
        }
        guard !asked.served.isEmpty || self.ring.hasBlemish || self.now - asked.openedAt > .seconds(20) else {
            throw self.violation("lost", "request \(asked.number) \(what), and no upstream has failed")
        }
    }
}
