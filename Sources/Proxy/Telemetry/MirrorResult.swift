// SPDX-License-Identifier: Apache-2.0
// request path

/// What became of a copy of a request.
package enum MirrorResult: String, CaseIterable, Sendable {
    /// It was answered, whatever the status.
    case answered
    /// It was not.
    case failed
    /// Its body is larger than what is kept of one.
    case tooLarge = "too_large"
    /// As many copies as may be are under way.
    case tooMany = "too_many"
    /// The request ended before its body was whole.
    case cut
}
