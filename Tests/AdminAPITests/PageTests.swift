// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import AdminAPI

/// The document that a browser gets.
@Suite struct PageTests {
    @Test("style and scripts stand where the markup names them, and nothing is asked for elsewhere")
    func isWhole() throws {
        let text = String(decoding: Page.bytes, as: UTF8.self)
        #expect(!text.contains("/* page.css */") && !text.contains("/* page.js */"))
        #expect(text.contains("#stage { position: relative;") && text.contains("function drawMap(d) {"))
        #expect(text.ranges(of: "<script>").count == 2 && text.ranges(of: "</script>").count == 2)
        #expect(text.ranges(of: "<style>").count == 1 && text.ranges(of: "'use strict';").count == 1)
        for word in ["src=", "@import", "url(", "innerHTML", "insertAdjacentHTML", "eval("] {
            #expect(!text.contains(word), "\(word)")
        }
    }
}
