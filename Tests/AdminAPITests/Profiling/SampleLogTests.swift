// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import AdminAPI

@Suite("sample log")
struct SampleLogTests {
    /// The first word of a sample.
    private static func head(_ periods: UInt64, _ depth: UInt64) -> UInt64 { periods << 32 | depth }

    private static func stacks(_ words: [UInt64]) -> [[UInt]: Int] {
        SampleLog.stacks(in: words.span) { (0x1000..<0x2000).contains($0) }
    }

    @Test("adds up equal stacks; callers' addresses are inside the call") func adds() {
        let words = [Self.head(1, 2), 0x1100, 0x1201, Self.head(3, 2), 0x1100, 0x1201, Self.head(1, 1), 0x1100, 0, 7]
        #expect(Self.stacks(words) == [[0x1100, 0x1200]: 4, [0x1100]: 1])
    }

    @Test("cuts a stack where it leaves the code, but keeps where it was interrupted") func cuts() {
        let words = [Self.head(1, 4), 0x9, 0x1201, 0x9, 0x1201, Self.head(1, 2), 0x1100, 0, 0]
        #expect(Self.stacks(words) == [[0x9, 0x1200]: 1, [0x1100]: 1])
    }

    @Test("ends at a sample that cannot be right", arguments: [0, 3, 0xffff_ffff] as [UInt64])
    func malformed(depth: UInt64) {
        #expect(Self.stacks([Self.head(1, 1), 0x1100, Self.head(1, depth), 0x1100, 0x1200]) == [[0x1100]: 1])
    }

    @Test("nothing is no stacks") func empty() {
        #expect(Self.stacks([]) == [:])
        #expect(Self.stacks([0]) == [:])
    }
}
