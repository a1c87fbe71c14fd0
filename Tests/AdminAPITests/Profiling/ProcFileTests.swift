// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import AdminAPI

@Suite("files below /proc")
struct ProcFileTests {
    @Test("reads to the end of what comes in many pieces") func whole() {
        #expect(ProcFile.bytes("/proc/self/maps").count > 4_096)
        #expect(ProcFile.text("/proc/self/maps").contains("[stack]"))  // among the last lines
    }

    @Test("a file that is not there has nothing") func missing() {
        #expect(ProcFile.bytes("/proc/self/nothing") == [])
    }
}
