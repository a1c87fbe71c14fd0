// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import AdminAPI

@Suite("command line")
struct CommandLineTests {
    @Test("has all arguments, each ended by a zero") func arguments() {
        let bytes = AdminAPI.CommandLine.bytes()
        #expect(bytes.last == 0)
        let parts = bytes.dropLast().split(separator: 0, omittingEmptySubsequences: false)
        #expect(parts.map { String(decoding: $0, as: UTF8.self) } == Swift.CommandLine.arguments)
    }
}
