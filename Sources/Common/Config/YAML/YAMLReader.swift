// SPDX-License-Identifier: Apache-2.0

import CYAML

/// A place in a text, from 1; columns are Unicode scalars.
struct YAMLPlace: Comparable {
    let line: Int
    let column: Int

    init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    fileprivate init(_ place: cyaml_place) { self.init(line: Int(place.line) + 1, column: Int(place.column) + 1) }

    static func < (left: Self, right: Self) -> Bool { (left.line, left.column) < (right.line, right.column) }
}

/// What comes next in a YAML text.
struct YAMLEvent {
    enum Kind {
        case streamEnd
        case documentStart
        case documentEnd
        /// `*name`.
        case alias(String)
        /// A scalar; plain is what has neither quotes nor `|` or `>`.
        case text(String, isPlain: Bool)
        case listStart
        case listEnd
        case mapStart
        case mapEnd
    }

    let kind: Kind
    let start: YAMLPlace
    let end: YAMLPlace
    /// Whether a list or map has brackets or braces.
    let isFlow: Bool
    /// The name behind `&`.
    let anchor: String?
    let tag: String?
}

/// Why libyaml does not read on, in its own words.
struct YAMLFailure {
    /// What is wrong.
    let problem: String
    let place: YAMLPlace
    /// What was being read, and where that begins; empty when there is nothing of the kind.
    let context: String
    let contextPlace: YAMLPlace
    /// The number of the byte that is no text; there are no places then.
    let badByte: Int?
    /// The last text in quotes before the problem.
    let quote: (start: YAMLPlace, end: YAMLPlace)?
}

/// Reads a YAML text event by event.
///
/// Any bytes may come: it never traps, and its memory is some times the text at most.
@safe
struct YAMLReader: ~Copyable {
    private let reader: OpaquePointer

    /// A reader of UTF-8; `nil` when memory is short.
    init?(_ bytes: [UInt8]) {
        let reader = unsafe bytes.withUnsafeBytes { bytes in
            unsafe cyaml_open(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        guard let reader = unsafe reader else { return nil }
        unsafe self.reader = reader
    }

    deinit { unsafe cyaml_close(self.reader) }

    /// The next event; `nil` when the text cannot be read on, for the reason that ``failure`` has.
    mutating func next() -> YAMLEvent? {
        var event = unsafe cyaml_event()
        guard unsafe cyaml_next(self.reader, &event) else { return nil }
        let kind: YAMLEvent.Kind =
            switch unsafe event.kind {
            case CYAML_DOCUMENT_START: .documentStart
            case CYAML_DOCUMENT_END: .documentEnd
            case CYAML_ALIAS: .alias(unsafe Self.text(event.anchor) ?? "")
            case CYAML_SCALAR:
                .text(
                    unsafe String(
                        decoding: UnsafeRawBufferPointer(start: event.text, count: event.length), as: UTF8.self),
                    isPlain: unsafe event.is_plain)
            case CYAML_LIST_START: .listStart
            case CYAML_LIST_END: .listEnd
            case CYAML_MAP_START: .mapStart
            case CYAML_MAP_END: .mapEnd
            default: .streamEnd
            }
        return YAMLEvent(
            kind: kind, start: unsafe YAMLPlace(event.start), end: unsafe YAMLPlace(event.end),
            isFlow: unsafe event.is_flow, anchor: unsafe Self.text(event.anchor), tag: unsafe Self.text(event.tag))
    }

    /// Why there is no next event.
    var failure: YAMLFailure {
        let failure = unsafe cyaml_why(self.reader)
        return YAMLFailure(
            problem: unsafe Self.text(failure.problem) ?? "memory is short", place: unsafe YAMLPlace(failure.place),
            context: unsafe Self.text(failure.context) ?? "", contextPlace: unsafe YAMLPlace(failure.context_place),
            badByte: unsafe failure.is_encoding ? Int(failure.offset) : nil,
            quote: unsafe failure.has_quote
                ? (YAMLPlace(failure.quote_start), YAMLPlace(failure.quote_end)) : nil)
    }

    private static func text(_ pointer: UnsafePointer<CChar>?) -> String? {
        unsafe pointer.map { unsafe String(cString: $0) }
    }
}
