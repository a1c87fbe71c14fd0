// SPDX-License-Identifier: Apache-2.0
// request path

/// A closure that is put off to the end of an event; for what is rare.
final class PutOff: EventTail {
    private let body: () -> Void

    init(_ body: @escaping () -> Void) { self.body = body }

    func eventEnds() { self.body() }
}
