// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Common

@Suite struct MaskedTests {
    @Test(
        "neither users nor queries of URLs are shown",
        arguments: [
            ("http://u:p@host?token=Q", "http://******@host?******"), ("http://h/a?b=c,d", "http://h/a?******"),
            ("http://h/a?b,c=1,https://u@i/x?y", "http://h/a?******,https://******@i/x?******"),
            ("[http://h?t=Q] is no address", "[http://h?******] is no address"),
            ("did you mean http://h:1?", "did you mean http://h:1?"), ("a?b", "a?b"),
            ("\"http://h?t=Q\",\"http://i\"", "\"http://h?******\",\"http://i\""), ("http://h/a/b", "http://h/a/b"),
            ("rest://h:1?sslEnabled=true", "rest://h:1?sslEnabled=true"),
        ])
    func urls(_ text: String, _ shown: String) {
        #expect(Masked.urls(in: text) == shown)
        #expect(ConfigProblem(at: ConfigLocation("f"), text, remedy: text).description == "f: \(shown); \(shown)")
    }
}
