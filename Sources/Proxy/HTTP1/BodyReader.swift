// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore

/// Takes the body of one HTTP/1.1 message out of the buffers of its connection.
package struct BodyReader {
    /// What one buffer held.
    package struct Piece {
        /// The data, without framing.
        package var data: ByteBuffer?
        /// Whether the body goes on.
        package var next = Next.more
    }

    /// What follows a piece.
    package enum Next: Equatable {
        /// More of the body, in a later buffer.
        case more
        /// Nothing: the body is complete, and with it its trailers.
        case end
        /// The framing or a trailer is broken.
        case invalid
    }

    private var framing: BodyFraming
    private var trailers: HeadScanner?

    /// A message without a body.
    package init() { self.framing = .none }

    /// The body of a request.
    package init(_ head: RequestHead) { self.framing = BodyFraming(head) }

    /// The body of a response to a request with `method`.
    package init(_ head: ResponseHead, to method: HTTPMethod) { self.framing = BodyFraming(head, to: method) }

    /// Whether the body is complete.
    @inline(__always)
    package var isComplete: Bool { self.framing.isComplete && self.trailers == nil }

    /// Whether only the end of the connection ends the body.
    package var endsWithConnection: Bool { self.framing.endsWithConnection }

    /// The length of the rest of the body, where it is known.
    package var knownRemaining: Int? { self.trailers == nil ? self.framing.knownRemaining : nil }

    /// Takes what `input` holds of the body.
    ///
    /// A trailer section that is not complete yet stays in `input`.
    ///
    /// Data that stands in one piece is handed on as a slice; where chunk lines cut it up, the parts are joined, so that
    /// many small chunks do not become many small writes.
    ///
    /// - Parameter block: Receives the trailers, if there are any.
    package mutating func take(from input: inout ByteBuffer, limits: HeadLimits, trailers block: inout HeaderBlock?)
        -> Piece
    {
        var piece = Piece()
        if self.trailers == nil {
            var offset = 0
            while true {
                switch self.framing.next(input.readableBytesSpan, at: &offset) {
                case .data(let count):
                    Self.append(input, offset - count, count, to: &piece.data)
                    guard self.framing.isComplete else { continue }
                    piece.next = .end
                case .needMore: break
                case .end: piece.next = .end
                case .trailers:
                    self.trailers = HeadScanner()
                    block = HeaderBlock()
                case .invalid: piece.next = .invalid
                }
                break
            }
            input.moveReaderIndex(forwardBy: offset)
            if self.trailers == nil { return piece }
        }
        piece.next = self.takeTrailers(from: &input, limits, &block)
        return piece
    }

    private mutating func takeTrailers(
        from input: inout ByteBuffer, _ limits: HeadLimits, _ block: inout HeaderBlock?
    ) -> Next {
        guard var scanner = self.trailers, var taken = block.take() else { return .invalid }
        let result = scanner.scanTrailers(input.readableBytesSpan, limits: limits, into: &taken)
        self.trailers = scanner
        block = .some(consume taken)
        switch result {
        case .complete(let length):
            input.moveReaderIndex(forwardBy: length)
            self.trailers = nil
            return .end
        case .incomplete: return .more
        case .invalid: return .invalid
        }
    }

    @inline(__always)
    private static func append(_ input: ByteBuffer, _ offset: Int, _ count: Int, to data: inout ByteBuffer?) {
        guard let slice = input.getSlice(at: input.readerIndex + offset, length: count) else { return }
        if data == nil {
            data = slice
        } else {
            data?.writeImmutableBuffer(slice)
        }
    }
}
