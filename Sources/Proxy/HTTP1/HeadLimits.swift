// SPDX-License-Identifier: Apache-2.0

/// How large a message head may be.
///
/// Sizes are bytes.
///
/// - Source: Envoy's defaults of 60 KiB and 100 fields.
package struct HeadLimits: Sendable, Equatable {
    /// The request line or status line, without its CRLF.
    package var startLine: Int
    /// One field line, without its CRLF.
    package var field: Int
    /// The whole head, or a whole trailer section.
    ///
    /// At most 1 GiB, so that offsets fit in 32 bits.
    package var section: Int
    /// How many fields.
    package var fields: Int

    /// Limits for requests, unless told otherwise.
    package init(startLine: Int = 16 * 1024, field: Int = 32 * 1024, section: Int = 60 * 1024, fields: Int = 100) {
        self.startLine = startLine
        self.field = min(field, Int(UInt16.max))
        self.section = min(section, 1 << 30)
        self.fields = fields
    }

    /// Limits for responses: more fields are allowed, since the answer is the service's own.
    package static var response: Self { Self(fields: 200) }
}
