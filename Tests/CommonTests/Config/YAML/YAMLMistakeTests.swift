// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Common

/// What people write by mistake, where they are told of it, and in which words.
@Suite struct YAMLMistakeTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let yaml: [UInt8]
        let place: String
        let problem: String
        let remedy: String

        init(_ yaml: String, _ place: String, _ problem: String, _ remedy: String) {
            self.init(Array(yaml.utf8), place, problem, remedy)
        }

        init(_ yaml: [UInt8], _ place: String, _ problem: String, _ remedy: String) {
            self.yaml = yaml
            self.place = place
            self.problem = problem
            self.remedy = remedy
        }

        var testDescription: String { String(decoding: self.yaml, as: UTF8.self).debugDescription }
    }

    private static let tabs = [
        Case("\thttp:\n  a: 1\n", "1:1", "a tab indents this line", "use spaces"),
        Case("a:\n\tb: 1\n", "2:1", "a tab indents this line", "use spaces"),
        Case("a:\n  b: 1\n\tc: 2\n", "3:1", "a tab indents this line", "use spaces"),
        Case("a:\n  \tb: 1\n", "2:3", "a tab indents this line", "use spaces"),
        Case("a:\n  - x\n\t- y\n", "3:1", "a tab indents this line", "use spaces"),
        Case("a: |\n\tx\n", "2:1", "a tab indents this line", "use spaces"),
        Case("-\ta: 1\n", "1:2", "a tab stands here", "use a space"),
    ]

    private static let quotes = [
        Case("a: \"foo\nb: 1\n", "1:4", "this quote is not closed", "at the end of the value"),
        Case("a: 'foo\nb: 1\n", "1:4", "this quote is not closed", "at the end of the value"),
        Case("x: 1\na: \"foo\nb: \"bar\"\nc: 1\n", "2:4", "this quote is not closed", "at the end of the value"),
        Case("a: \"foo\nb: 1\nc: \"y\"\nd: \"z\"\n", "1:4", "this quote is not closed", "at the end of the value"),
        Case("- \"foo\n- \"bar\"\n", "1:3", "this quote is not closed", "at the end of the value"),
        Case("a: [\"x, y]\nb: \"c\"\n", "1:5", "this quote is not closed", "at the end of the value"),
        Case("\"a: 1\nb: 2\n", "1:1", "this quote is not closed", "at the end of the value"),
        Case("'a: 1\nb': 2\n", "1:1", "this quote is not closed", "at the end of the value"),
        Case("a: \"x\n---\nb: 1\n", "1:4", "this quote is not closed", "at the end of the value"),
        Case("a: 'it's fine'\nb: 2\n", "1:8", "text stands behind a closing quote", "write '' for '"),
        Case("a: \"x\" y\n", "1:8", "text stands behind a closing quote", "put the whole value in quotes"),
        Case("a: \"\\d\"\n", "1:5", "\\d means nothing inside of double quotes", "write \\\\d"),
    ]

    private static let nesting = [
        Case(
            "http:\n  listenAddress: x\n workers: 2\n", "3:2", "this line is indented like none of the keys above",
            "indent it by 0 spaces like http:, or by 2 spaces like listenAddress:"),
        Case(
            "a:\n    b: 1\n  c: 2\n", "3:3", "indented like none of the keys above",
            "by 0 spaces like a:, or by 4 spaces like b:"),
        Case(
            "a: 1\n  b: 2\n", "2:3", "this line is indented below a key that has a value already",
            "indent it like that key"),
        Case(
            "a: 1 # note\n  b: 2\n", "2:3", "indented below a key that has a value already", "indent it like that key"),
        Case("a: \"x\"\n  b: 1\n", "2:3", "indented below a key that has a value already", "indent it like that key"),
        Case("a: 1\r\n  b: 2\r\n", "2:3", "indented below a key that has a value already", "indent it like that key"),
        Case("a: b\n  - c\n", "2:3", "indented below a key that has a value already", "remove the key's value"),
        Case(" a: 1\nb: 2\n", "2:1", "this line is indented less than the first one", "in one column"),
        Case("a: - b\n", "1:4", "a list cannot begin behind the colon of its key", "in the next line"),
        Case("a: 1\n- b\n", "2:1", "an element of a list stands among keys", "indent the list below its key"),
        Case("list:\n  - a\n  b\n", "3:3", "no element of the list that it stands in", "write - before it"),
        Case("list:\n- a\nb\nc: 1\n", "3:1", "no element of the list that it stands in", "write - before it"),
        Case("list:\n  - a: 1\n  b: 1\n", "3:3", "no element of the list that it stands in", "write - before it"),
        Case("list:\n- a: 1\n  - b: 1\n", "3:3", "an element of a list stands among keys", "indent the list"),
    ]

    private static let keys = [
        Case("b: 2\na:1\nc: 3\n", "2:2", "a space is missing behind this colon", "write a: …"),
        Case("a:1\nb: 2\n", "1:2", "a space is missing behind this colon", "write a: …"),
        Case("m:\n  a:1\n  b:2\n", "2:4", "a space is missing behind this colon", "write a: …"),
        Case("m:\n  b: 2\n  a:1\n", "3:4", "a space is missing behind this colon", "write a: …"),
        Case("list:\n  -a\n  -b\n", "2:3", "a space is missing behind this dash", "write - …"),
        Case("list:\n  - a\n  -b\n", "3:3", "a space is missing behind this dash", "write - …"),
        Case("port 80\nb: 2\n", "1:1", "this is no key, for a colon is missing", "write port: …"),
        Case("b: 2\nport = 80\n", "2:1", "this is no key, for a colon is missing", "write port: …"),
        Case("a: b: c\n", "1:5", "a second colon with a space behind it", "put the value of a in quotes"),
        Case("a: 1\na: 2\n", "2:1", "the key a stands here twice, also 1 line above", "keep one of them"),
        Case("{a: 1, b: 2, a: 3}\n", "1:14", "the key a stands here twice", "keep one of them"),
        Case("? [a]\n: 1\n", "1:3", "a key is a text", "write key: value"),
    ]

    private static let values = [
        Case("a: *.example.com\n", "1:4", "what begins with * refers to an anchor", "in quotes, such as '…'"),
        Case("a: &\n", "1:4", "what begins with & is an anchor", "in quotes"),
        Case("a: *none\n", "1:4", "refers to an anchor, and none above has this name", "write the anchor above"),
        Case("a: &x [*x]\n", "1:8", "*x stands inside of what it refers to", "ends above"),
        Case("a: @foo # note\n", "1:4", "a value cannot begin with @", "in quotes"),
        Case("a: `foo`\n", "1:4", "a value cannot begin with `", "in quotes"),
        Case("a: %foo\n", "1:4", "a value cannot begin with %", "in quotes"),
        Case("a: !x!y z\n", "1:4", "what begins with ! is a tag", "in quotes, such as '…'"),
        Case("a: !include other.yaml\n", "1:4", "this one is not known", "write the value itself"),
        Case("a: [1, 2\nb: 3\n", "1:4", "this [ is not closed", "write ] behind its last value"),
        Case("a: [1, 2\n", "1:4", "this [ is not closed", "write ] behind its last value"),
        Case("a: {b: 1\nc: 3\nd: {}\n", "1:4", "this { is not closed", "write } behind its last value"),
        Case("{\"a\": 1 \"b\": 2}\n", "1:12", "a comma or } is missing before this", "a comma between two values"),
        Case("a: [\"b\" \"c\"]\n", "1:9", "a comma or ] is missing before this", "a comma between two values"),
        Case("a: [\n", "1:4", "this [ is not closed", "write ] behind its last value"),
        Case("a: {b: [1], c: '[', d: x[y,\n", "1:4", "this { is not closed", "write } behind its last value"),
        Case("a: [,]\n", "1:5", "a value is missing before this ,", "write one"),
        Case("a: ]\n", "1:4", "a value is missing before this ]", "in quotes"),
        Case("a: [1]]\n", "1:7", "nothing is open that this ] closes", "remove it"),
        Case("a: , b\n", "1:4", "a value cannot begin with ,", "in quotes"),
        Case("a: [1] x\n", "1:8", "text stands behind a value that is complete", "in quotes"),
        Case("a: >x\n b\n", "1:5", "text stands behind | or >", "in the next line"),
        Case("a: {<<: x}\n", "1:5", "<< takes the keys of other maps", "*name of a map"),
    ]

    private static let files = [
        Case("a: 1\n---\nb: 2\n", "2:1", "a second document begins here", "one document in each file"),
        Case("a: 1\n...\nb: 2\n", "3:1", "text stands behind the end of the document", "remove the line ..."),
        Case("a: {{ .Values.x }}\n", "1:4", "a template begins here", "${NAME}"),
        Case("a: {{ x }}:80\n", "1:4", "a template begins here", "${NAME}"),
        Case("{{ if x }}\na: 1\n{{ end }}\n", "1:1", "a template begins here", "${NAME}"),
        Case("{{- if x }}\na: 1\n", "1:1", "a template begins here", "${NAME}"),
        Case("a: 1\n{% if x %}\nb: 1\n", "2:1", "a template begins here", "${NAME}"),
        Case("a: 1\n<<<<<<< HEAD\nb: 2\n", "2:1", "a merge conflict begins or ends here", "keep one of its sides"),
        Case("a: 1\n\u{feff}b: 2\n", "2:1", "a byte order mark stands in the middle", "remove it"),
        Case("a: b\0c\n", "1:5", "a NUL byte stands here", "remove it"),
        Case("x: y\na: b\u{7}c\n", "2:5", "the control character U+0007 stands here", "remove it"),
        Case(Array("x: y\na: caf".utf8) + [0xe9, 0x0a], "2:7", "the byte 0xE9 is no UTF-8", "save the file as UTF-8"),
        Case([0xff, 0xfe, 0x61, 0x00, 0x3a, 0x00], "1:1", "the file is UTF-16", "save it as UTF-8"),
        Case("%TAG !a! tag:x\n---\na: 1\n", "1:1", "%TAG lines are not read", "remove the line"),
        Case("%FOO\n---\na: 1\n", "1:1", "lines that begin with % are not read", "remove the line"),
        Case("%YAML 2.0\n---\na: 1\n", "1:1", "lines that begin with % are not read", "remove the line"),
    ]

    @Test(
        "a mistake is told where its cause is, with what to write",
        arguments: [Self.tabs, Self.quotes, Self.nesting, Self.keys, Self.values, Self.files].flatMap { $0 })
    func messages(_ mistake: Case) throws {
        let problem = try #require(throws: ConfigProblem.self) { try ConfigTree(yaml: mistake.yaml, source: "f") }
        #expect("\(problem.location)" == "f:\(mistake.place)")
        #expect(problem.problem.contains(mistake.problem), "\(problem)")
        #expect(problem.remedy.contains(mistake.remedy), "\(problem)")
    }

    @Test(
        "a value that may be a secret is never told",
        arguments: [
            "password: @QX7}}}\n", "password: [*QX7.org]\n", "password: *QX7\n", "password: &QX7\n",
            "password: !QX7 a\n",
            "password:QX7\nb: 1\n", "b: 1\npassword = \n QX7\n", "b: 1\nQX7==\n", "a:\n  - b\n  QX7\n", "a: b\n- QX7\n",
            "a:\n  - b\n  -QX7\n", "password: a: QX7\n", "password: `QX7\n", "password: %QX7\n",
            "password: \"\\QX7\"\n",
        ])
    func secrets(_ yaml: String) {
        do {
            _ = try ConfigTree(yaml: yaml, source: "f")
        } catch {
            #expect(!"\(error)".contains("QX7"), "\(error)")
        }
    }

    @Test(
        "what only looks like a mistake is read",
        arguments: [
            ("a:\tb\n", "{a:\"b\"}"), ("a: {b: 1,\n\tc: 2}\n", "{a:{b:\"1\",c:\"2\"}}"), ("a: it's\n", "{a:\"it's\"}"),
            ("a: http://x:80\n", "{a:\"http://x:80\"}"), ("a: -1\n", "{a:\"-1\"}"), ("a: x{{y\n", "{a:\"x{{y\"}"),
            ("a: two\n  lines\n", "{a:\"two lines\"}"), ("a: see\n  http://x\n", "{a:\"see http://x\"}"),
            ("\u{feff}a: 1\r\nb: 2\r\n", "{a:\"1\",b:\"2\"}"), ("a: |\n  b:1\n  -c\n", "{a:\"b:1\n-c\n\"}"),
            ("%YAML 1.1\n---\na: 1\n...\n", "{a:\"1\"}"), ("{\"a\": [1, true, null,],}", "{a:[\"1\",\"true\",null]}"),
            ("'a': !!str 1\n", "{a:\"1\"}"), ("a: caf\u{e9} \u{1F600}\n", "{a:\"caf\u{e9} \u{1F600}\"}"),
        ])
    func good(_ yaml: String, _ plain: String) throws {
        #expect(try ConfigTree(yaml: yaml, source: "f").plain == plain)
    }
}
