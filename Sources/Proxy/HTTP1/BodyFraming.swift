// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// Finds where the body of an HTTP/1.1 message ends, in whatever pieces it arrives.
///
/// Pure.
///
/// Chunked bodies are taken apart: only the data goes on, and the writer of the other side frames it anew. So the other
/// side never sees a chunk line that we did not write, and extensions are gone.
///
/// A request is read by the letter, since two readers that differ over it let one request hide in another. In a response
/// two habits of servers are borne that nobody reads differently: leading zeros of a chunk's size, and blanks behind it.
///
/// - Source: RFC 9112 §6 and §7.
package struct BodyFraming {
    /// What the next bytes are.
    package enum Event: Equatable {
        /// The `count` bytes before the new offset are body data.
        case data(count: Int)
        /// The body is complete, without trailers.
        ///
        /// The offset is at the next message.
        case end
        /// The body is complete; a trailer section begins at the offset.
        case trailers
        /// All bytes are used up and the body is not complete.
        case needMore
        /// The framing is broken: nothing after this can be trusted.
        case invalid
    }

    private enum Kind {
        /// No body, or all of it was seen.
        case none
        case length
        case chunked
        case untilClose
    }

    /// Where in the chunked coding the next byte is.
    private enum ChunkState {
        case sizeStart
        case size
        /// In the blanks behind the size, in a response.
        case sizeBlanks
        /// In the extensions of a chunk line, which are read only to find the line's end.
        case chunkExtension(ChunkExtension)
        case sizeLineFeed
        case data
        case dataReturn
        case dataLineFeed
        /// After the last chunk: the blank line, or a trailer.
        case afterLast
        case finalLineFeed
    }

    /// How many bytes of chunk extensions a message may carry.
    package static var extensionLimit: Int { 4096 }

    /// How many zeros in front of a chunk's size and blanks behind it a response may have: servers that fill up a field
    /// of fixed width have as many as that at most.
    package static var paddingLimit: Int { 32 }

    private var kind: Kind
    private var isResponse = false
    private var state = ChunkState.sizeStart
    /// What is left of the body, or of the chunk.
    private var remaining = 0
    private var sizeDigits = 0
    private var padding = 0
    private var extensionBytes = 0

    private init(_ kind: Kind, remaining: Int = 0) {
        self.kind = kind
        self.remaining = remaining
    }

    /// No body.
    package static var none: Self { Self(.none) }

    /// The body of a request.
    ///
    /// - Source: RFC 9112 §6.3: a request without length has no body.
    package init(_ head: RequestHead) {
        if head.flags.contains(.chunked) {
            self.init(.chunked)
        } else {
            self.init(head.contentLength > 0 ? .length : .none, remaining: head.contentLength)
        }
    }

    /// The body of a response.
    ///
    /// - Parameter method: The request's method: HEAD is answered without a body whatever the head says.
    /// - Source: RFC 9112 §6.3.
    package init(_ head: ResponseHead, to method: HTTPMethod) {
        if method == .head || head.status < 200 || head.status == 204 || head.status == 304 {
            self.init(.none)
        } else if head.flags.contains(.chunked) {
            self.init(.chunked)
        } else if head.flags.contains(.contentLength) {
            self.init(head.contentLength > 0 ? .length : .none, remaining: head.contentLength)
        } else {
            self.init(.untilClose)
        }
        self.isResponse = true
    }

    /// Whether all of the body was seen.
    @inline(__always)
    package var isComplete: Bool { if case .none = self.kind { true } else { false } }

    /// Whether only the end of the connection ends the body.
    @inline(__always)
    package var endsWithConnection: Bool { if case .untilClose = self.kind { true } else { false } }

    /// How many bytes of data are still to come, where that is known.
    package var knownRemaining: Int? {
        switch self.kind {
        case .none: 0
        case .length: self.remaining
        case .chunked, .untilClose: nil
        }
    }

    /// Reads on from `offset`, which is moved past what was read.
    package mutating func next(_ input: RawSpan, at offset: inout Int) -> Event {
        switch self.kind {
        case .none: return .end
        case .untilClose:
            let count = input.byteCount &- offset
            offset = input.byteCount
            return count > 0 ? .data(count: count) : .needMore
        case .length:
            let count = min(input.byteCount &- offset, self.remaining)
            if count == 0 { return .needMore }
            offset &+= count
            self.remaining &-= count
            if self.remaining == 0 { self.kind = .none }
            return .data(count: count)
        case .chunked: return self.nextChunked(input, at: &offset)
        }
    }

    private mutating func nextChunked(_ input: RawSpan, at offset: inout Int) -> Event {
        while offset < input.byteCount {
            if case .data = self.state {
                let count = min(input.byteCount &- offset, self.remaining)
                offset &+= count
                self.remaining &-= count
                if self.remaining == 0 { self.state = .dataReturn }
                return .data(count: count)
            }
            let byte = input.byte(at: offset)
            if case .afterLast = self.state, byte != .carriageReturn {
                self.kind = .none
                return .trailers
            }
            offset &+= 1
            guard self.take(byte) else { return .invalid }
            if case .none = self.kind { return .end }
        }
        return .needMore
    }

    /// Takes one byte of framing; `false` when it does not belong there.
    private mutating func take(_ byte: UInt8) -> Bool {
        switch self.state {
        case .sizeStart:
            self.remaining = 0
            self.sizeDigits = 0
            self.padding = 0
            self.state = .size
            return self.takeSizeDigit(byte)
        case .size:
            if byte == .carriageReturn {
                self.state = .sizeLineFeed
                return true
            }
            if self.isResponse, byte == .space || byte == .tab {
                self.state = .sizeBlanks
                return self.takePadding()
            }
            if byte == .semicolon || byte == .space || byte == .tab {
                var rest = ChunkExtension()
                self.extensionBytes &+= 1
                guard rest.take(byte) != .invalid else { return false }
                self.state = .chunkExtension(rest)
                return true
            }
            return self.takeSizeDigit(byte)
        case .sizeBlanks:
            if byte == .space || byte == .tab { return self.takePadding() }
            self.state = .size
            return (byte == .carriageReturn || byte == .semicolon) && self.take(byte)
        case .chunkExtension(var rest):
            self.extensionBytes &+= 1
            guard self.extensionBytes <= Self.extensionLimit else { return false }
            switch rest.take(byte) {
            case .more: self.state = .chunkExtension(rest)
            case .lineEnd: self.state = .sizeLineFeed
            case .invalid: return false
            }
            return true
        case .sizeLineFeed:
            self.state = self.remaining == 0 ? .afterLast : .data
            return byte == .lineFeed
        case .data: return false
        case .dataReturn:
            self.state = .dataLineFeed
            return byte == .carriageReturn
        case .dataLineFeed:
            self.state = .sizeStart
            return byte == .lineFeed
        case .afterLast:
            self.state = .finalLineFeed
            return true
        case .finalLineFeed:
            self.kind = .none
            return byte == .lineFeed
        }
    }

    private mutating func takePadding() -> Bool {
        self.padding &+= 1
        return self.padding <= Self.paddingLimit
    }

    /// At most 15 digits, so that the size fits in an `Int` with room to spare.
    private mutating func takeSizeDigit(_ byte: UInt8) -> Bool {
        let value = byte.hexValue
        if value == 0, self.remaining == 0, self.isResponse, self.sizeDigits > 0 { return self.takePadding() }
        guard value < 16, self.sizeDigits < 15 else { return false }
        self.sizeDigits &+= 1
        self.remaining = self.remaining &<< 4 | Int(value)
        return true
    }
}

/// Reads the extensions of a chunk line only as far as to know where the line ends: a quoted value may hold what
/// elsewhere would end it, and two readers must not differ over that.
///
/// - Source: RFC 9112 §7.1.1: `*( BWS ";" BWS name [ BWS "=" BWS value ] )`.
struct ChunkExtension {
    enum Step {
        case more
        /// The byte was the CR that ends the line.
        case lineEnd
        case invalid
    }

    private enum State {
        /// Before a `;`.
        case separator
        /// Before a name.
        case nameStart
        case name
        /// After a name: blanks before `=`, `;` or the end.
        case afterName
        case valueStart
        case value
        case quoted
        case escaped
        case afterQuoted
    }

    private var state = State.separator

    mutating func take(_ byte: UInt8) -> Step {
        let isBlank = byte == .space || byte == .tab
        switch self.state {
        case .separator, .afterQuoted:
            if isBlank {
                self.state = .separator
            } else if byte == .semicolon {
                self.state = .nameStart
            } else {
                return self.ends(byte, unless: self.state)
            }
        case .nameStart:
            if isBlank { return .more }
            guard byte.isToken else { return .invalid }
            self.state = .name
        case .name, .afterName:
            if byte == .equals {
                self.state = .valueStart
            } else if byte == .semicolon {
                self.state = .nameStart
            } else if isBlank {
                self.state = .afterName
            } else if byte == .carriageReturn {
                return self.ends(byte, unless: self.state)
            } else {
                guard case .name = self.state, byte.isToken else { return .invalid }
            }
        case .valueStart:
            if isBlank { return .more }
            if byte == .quote {
                self.state = .quoted
            } else {
                guard byte.isToken else { return .invalid }
                self.state = .value
            }
        case .value:
            if byte == .semicolon {
                self.state = .nameStart
            } else if isBlank {
                self.state = .separator
            } else if byte == .carriageReturn {
                return .lineEnd
            } else if !byte.isToken {
                return .invalid
            }
        case .quoted:
            if byte == .quote {
                self.state = .afterQuoted
            } else if byte == .backslash {
                self.state = .escaped
            } else if byte < 0x20 && byte != .tab || byte == 0x7f {
                return .invalid
            }
        case .escaped:
            if byte < 0x20 && byte != .tab || byte == 0x7f { return .invalid }
            self.state = .quoted
        }
        return .more
    }

    /// The line may end after a complete extension, but not in the blanks that would begin another one.
    private func ends(_ byte: UInt8, unless state: State) -> Step {
        guard byte == .carriageReturn else { return .invalid }
        switch state {
        case .name, .afterQuoted, .value: return .lineEnd
        case .separator, .nameStart, .afterName, .valueStart, .quoted, .escaped: return .invalid
        }
    }
}
