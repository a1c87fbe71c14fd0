// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Common

/// What a YAML text means, and what the worst of them may cost.
@Suite struct YAMLComposerTests {
    @Test(
        "scalars stay as they are written; only nothing, ~ and null are null",
        arguments: [
            ("a:", "null"), ("a: ~", "null"), ("a: null", "null"), ("a: Null", "\"Null\""), ("a: ''", "\"\""),
            ("a: 'null'", "\"null\""), ("a: yes", "\"yes\""), ("a: True", "\"True\""), ("a: 0x1F", "\"0x1F\""),
            ("a: 010", "\"010\""), ("a: 1.10", "\"1.10\""), ("a: 1e3", "\"1e3\""), ("a: .inf", "\".inf\""),
            ("a: 2026-11-30", "\"2026-11-30\""), ("a: 12:30:45", "\"12:30:45\""), ("a: \"\\u00e9\\n\"", "\"é\n\""),
            ("a: 'it''s'", "\"it's\""), ("a: >-\n  b\n  c\n", "\"b c\""),
        ])
    func scalars(_ yaml: String, _ plain: String) throws {
        #expect(try ConfigTree(yaml: yaml, source: "f").plain == "{a:\(plain)}")
    }

    @Test("places are those of keys and values, in characters, whatever ends a line")
    func places() throws {
        let tree = try ConfigTree(yaml: "\u{feff}k: 1\r\né: [x,\r\n  ü, y]\r\n", source: "f")
        guard case .map(let entries, _) = tree, case .list(let list, _)? = entries.last?.value else {
            Issue.record("\(tree)")
            return
        }
        #expect(entries.map { "\($0.location)" } == ["f:1:1", "f:2:1"])
        #expect(list.map { "\($0.location)" } == ["f:2:5", "f:3:3", "f:3:6"])
    }

    @Test("a reference stands at the place of its anchor, the later anchor of a name counts, and keys may have one")
    func references() throws {
        let tree = try ConfigTree(yaml: "a: &x 1\nb: *x\nc: &x 2\nd: *x\n&k e: 3\nf: *k\n", source: "f")
        #expect(tree.plain == "{a:\"1\",b:\"1\",c:\"2\",d:\"2\",e:\"3\",f:\"e\"}")
        #expect(tree["b"]?.location == ConfigLocation("f", line: 1, column: 4))
    }

    @Test("own keys come before merged ones, and of those the first counts")
    func merging() throws {
        let tree = try ConfigTree(
            yaml: "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], a: 3}\n", source: "f")
        #expect(tree["z"]?.plain == "{a:\"3\",b:\"1\",c:\"2\"}")
    }

    private static func refusal(_ yaml: String) -> String? {
        do {
            _ = try ConfigTree(yaml: yaml, source: "f")
            return nil
        } catch { return error.problem }
    }

    @Test("nesting is bounded, also through references and inside of keys")
    func nesting() {
        let levels = { (count: Int, open: String, close: String) in
            String(repeating: open, count: count) + String(repeating: close, count: count)
        }
        #expect(Self.refusal(levels(100, "[", "]")) == nil)
        #expect(Self.refusal(levels(101, "[", "]")) == "this is nested deeper than 100 levels")
        #expect(Self.refusal(levels(200_000, "[", "")) == "this is nested deeper than 100 levels")
        #expect(Self.refusal(String(repeating: "{a: ", count: 200_000)) == "this is nested deeper than 100 levels")
        #expect(Self.refusal(String(repeating: "- ", count: 200_000)) == "this is nested deeper than 100 levels")
        #expect(Self.refusal(String(repeating: "? ", count: 200_000)) != nil)
        let steps = { (count: Int) in
            "a0: &a0 [x]\n" + (1..<count).map { "a\($0): &a\($0) [*a\($0 - 1)]\n" }.joined()
        }
        #expect(Self.refusal(steps(95)) == nil)
        #expect(Self.refusal(steps(110)) == "this is nested deeper than 100 levels")
    }

    @Test("what could take hours is refused at once")
    func cost() {
        let clock = ContinuousClock()
        let hostile = [
            String(repeating: "%TAG !a! b\n", count: 300_000) + "---\na: 1\n",
            "a: 1\n...\n" + String(repeating: "%TAG !a! b\n", count: 300_000) + "---\na: 1\n",
            String(repeating: "a", count: 2_000_000) + ": *b\n",
            "a: '" + String(repeating: "\n", count: 1_000_000),
            String(repeating: "&a ", count: 300_000),
            "a: [" + String(repeating: "x,", count: 1_100_000),
            (0..<600_000).map { "k\($0): x\n" }.joined(),
        ]
        for yaml in hostile {
            let taken = clock.measure { #expect(Self.refusal(yaml) != nil, "\(yaml.prefix(40))") }
            #expect(taken < .seconds(20), "\(yaml.prefix(40)) takes \(taken)")
        }
    }

    @Test("bytes that nobody meant neither trap nor hang")
    func nonsense() {
        let seeds = [
            "a: {b: [1, 'x'], c: \"y\"}\n- d\n", "a: &x\n  - b: |\n      t\n  - *x\n",
            "? k\n: <<: {{ x }}\n\t%TAG\n---\n...\n",
            "\u{feff}a: é\u{2028} !t z # c\r\n b:1\n -c\n",
        ]
        let pieces: [UInt8] = seeds.flatMap { Array($0.utf8) } + [0, 0x80, 0xc2, 0xe2, 0xff]
        var random = SystemRandomNumberGenerator()
        var refused = 0
        for round in 0..<20_000 {
            var bytes = Array(seeds[round % seeds.count].utf8)
            for _ in 0...Int.random(in: 0..<6, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[index] = pieces.randomElement(using: &random) ?? 0
                case 1: bytes.insert(pieces.randomElement(using: &random) ?? 0, at: index)
                default: if bytes.count > 1 { bytes.remove(at: index) }
                }
            }
            do throws(ConfigProblem) {
                _ = try ConfigTree(yaml: bytes, source: "f")
            } catch {
                refused += 1
                #expect(error.location.line > 0 && !error.remedy.isEmpty, "\(bytes): \(error)")
            }
        }
        #expect(refused > 1000)
    }
}
