// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Testing

@testable import Injector

/// Reading JSON where it lies.
@Suite struct JSONDocumentTests {
    @Test("values are found where they are")
    func values() throws {
        let text =
            #" {"a": {"b": [1, -2.5e3, true, null, "x"]}, "c\u0061": "\n\ud83d\ude00\ud800", "n": null, "a2": {}} "#
        let root = try JSONDocument(Array(text.utf8)).root
        let list = root["a"]?["b"]?.elements ?? []
        #expect(list.count == 5 && list[0].integer == 1 && list[1].integer == nil && list[1].raw == "-2.5e3")
        #expect(list[2].flag == true && list[3].isNull && list[4].text == "x")
        #expect(root["ca"]?.text == "\n😀\u{fffd}" && root["n"] == nil && root["a2"]?.isEmpty == true)
        #expect(root.members.map(\.name) == ["a", "ca", "n", "a2"] && root["a"]?["b"]?["x"] == nil)
        #expect(
            try JSONDocument(Array(#"{"a":1,"a":2}"#.utf8)).root["a"]?.integer == 2, "the last one counts, as in Go")
    }

    @Test(
        "what is no JSON is refused",
        arguments: [
            "", " ", "{", "[", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "01", "1.", "1e", "-", "tru",
            "nul", "\"", "\"\\x\"",
            "\"\\u12g4\"", "\"\u{1}\"", "1 2", "[1}", "+1", "'a'", "{\"a\":1 \"b\":2}", "NaN", "\u{feff}1",
        ])
    func mistakes(_ text: String) {
        #expect(throws: JSONMistake.self) { try JSONDocument(Array(text.utf8)) }
    }

    @Test("what anything costs is bounded")
    func bounds() throws {
        let deep = JSONParser.deepest
        let nested = [UInt8](repeating: .leftBracket, count: deep) + [UInt8](repeating: .rightBracket, count: deep)
        #expect(try JSONDocument(nested).root.isList)
        #expect(throws: JSONMistake(problem: "nested deeper than 100 levels", offset: 100)) {
            try JSONDocument([.leftBracket] + nested + [.rightBracket])
        }
        let many =
            Array("[".utf8) + Array(repeating: Array("0,".utf8), count: JSONParser.mostValues).joined()
            + Array("0]".utf8)
        #expect(throws: JSONMistake.self) { try JSONDocument(many) }
    }

    @Test("any bytes are read or refused, and what is read is what Foundation reads")
    func arbitrary() throws {
        var generator = SystemRandomNumberGenerator()
        let seeds = [#"{"a":[1,{"b":"c\n\u0041"}],"d":null,"e":true}"#, #"[[],{},"",0,-1.5e-7]"#].map { Array($0.utf8) }
        for _ in 0..<2_000 {
            var bytes = seeds.randomElement(using: &generator) ?? []
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                bytes[Int.random(in: bytes.indices, using: &generator)] = UInt8.random(in: 0...127, using: &generator)
            }
            guard let document = try? JSONDocument(bytes) else { continue }
            #expect(throws: Never.self, "\(String(decoding: bytes, as: UTF8.self))") {
                try JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)
            }
            _ = document.root.members.map { ($0.value.text, $0.value.elements.map(\.raw)) }
        }
    }
}
