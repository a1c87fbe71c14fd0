// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Glibc
import Synchronization
import Testing

@testable import Common

@Suite struct SystemThreadTests {
    @Test("a thread has its name, and runs what it was given once")
    func runs() throws {
        let done = DispatchSemaphore(value: 0)
        let names = Mutex<[String]>([])
        let isRunning = SystemThread.start("mesher-test") {
            var text = [CChar](repeating: 0, count: 32)
            if let file = unsafe fopen("/proc/thread-self/comm", "r") {
                unsafe fgets(&text, 32, file)
                unsafe fclose(file)
            }
            let name = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            names.withLock { $0.append(name.trimmed) }
            done.signal()
        }
        #expect(isRunning)
        #expect(done.wait(timeout: .now() + 10) == .success)
        #expect(names.withLock { $0 } == ["mesher-test"])
    }
}
