// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Common

@Suite struct SchemaWriterTests {
    private func text(_ shape: Shape, hasPlaceholders: Bool = false) -> String {
        let members = SchemaWriter(hasPlaceholders: hasPlaceholders).members(shape, isNullable: false)
        return String(decoding: OrderedJSON.object(members).bytes, as: UTF8.self)
    }

    @Test(
        "says of each type what holds for it",
        arguments: [
            (.any, #"{}"#),
            (.text, #"{"type":["string","number","boolean"]}"#),
            (
                .integer(1...9),
                #"{"type":["integer","string"],"minimum":1,"maximum":9,"pattern":"^(?:[+-]?[0-9]+)$","patternErrorMessage":"write a whole number"}"#
            ),
            (
                .integer(Int.min...Int.max),
                #"{"type":["integer","string"],"pattern":"^(?:[+-]?[0-9]+)$","patternErrorMessage":"write a whole number"}"#
            ),
            (.choice(["a.b", "c"], anyCase: false), #"{"enum":["a.b","c"]}"#),
            (
                .choice(["a.b"], anyCase: true),
                #"{"anyOf":[{"enum":["a.b"]},{"type":"string","pattern":"^(?:[aA]\\.[bB])$"}]}"#
            ),
            (
                .onlyList(.flag),
                #"{"type":"array","items":{"type":["boolean","string"],"pattern":"^(?:true|false)$","patternErrorMessage":"write true or false"}}"#
            ),
            (
                .map(MapShape([.init("a", .any, isRequired: true, "A.")], isStrict: true)),
                #"{"type":"object","properties":{"a":{"description":"A."}},"required":["a"],"additionalProperties":false}"#
            ),
            (
                .map(MapShape(others: .matching("x"))),
                #"{"type":"object","additionalProperties":{"type":["string","null"],"pattern":"^(?:x)$"}}"#
            ),
            (
                .list(.matching("x")),
                #"{"anyOf":[{"type":["array","null"],"items":{"type":"string","pattern":"^(?:x)$"}},{"type":"string","pattern":"^(?:x)$"}]}"#
            ),
        ] as [(Shape, String)])
    func members(shape: Shape, expected: String) { #expect(self.text(shape) == expected) }

    @Test("what comes from the environment may be anything")
    func placeholders() {
        #expect(
            self.text(.matching("x"), hasPlaceholders: true)
                == #"{"type":"string","pattern":"^(?:x)$|\\$\\{|\\$INTERNAL_IP"}"#)
    }
}

@Suite struct KeyTreeTests {
    @Test("knows the maps of a key, and its names with dots")
    func tree() {
        var tree = KeyTree()
        for (key, name) in [("a.b.c", "one"), ("a.<x|y>.<name>.d", "two"), ("a.b.c", "three")] { tree.add(key, name) }
        #expect(tree.names == ["a"] && tree["a"].names == ["b", "x", "y"])
        #expect(tree["a"]["b"]["c"].definition == "one" && !tree["a"]["b"]["c"].isMap)
        #expect(tree["a"]["x"].others?["d"].definition == "two")
        #expect(
            tree["a"].dotted.map(\.expression) == [#"^b\.c$"#, #"^x\..+\.d$"#, #"^y\..+\.d$"#]
                && tree["a"]["b"].dotted.isEmpty)
    }
}

@Suite struct ConfigSchemaTests {
    @Test("every file of the reference has a schema, and others have none")
    func files() throws {
        #expect(Set(ConfigCatalogue.groups.map(\.file)).isSubset(of: ConfigSchema.files))
        for file in ConfigSchema.files {
            let document = try #require(ConfigSchema.document(of: file))
            #expect(try JSONSerialization.jsonObject(with: Data(document)) is [String: Any], "\(file)")
        }
        #expect(ConfigSchema.document(of: "nginx.yaml") == nil)
    }

    @Test(
        "a key has all the spellings that are read as it",
        arguments: [
            ("mesher.workers", ["mesher.workers"]),
            (
                "cse.loadbalance[.<service>].x",
                ["cse.loadbalance[.<service>].x", "servicecomb.loadbalance[.<service>].x"]
            ),
            (
                "cse.service.registry.type",
                ["cse.service.registry.type", "servicecomb.registry.type", "servicecomb.service.registry.type"]
            ),
            ("APPLICATION_ID", ["APPLICATION_ID", "servicecomb.service.app"]),
            (
                "service_description.instance_properties.<name>",
                [
                    "service_description.instance_properties.<name>", "servicecomb.service.instanceProperties.<name>",
                    "servicecomb.service.instance_properties.<name>",
                ]
            ),
        ])
    func spellings(key: String, expected: [String]) { #expect(ConfigAlias.spellings(of: key) == expected) }

    @Test("what readers of rules know is what the schema knows: each key of a shape is taken")
    func readersKnowTheirShapes() {
        for shape in [MeshReader.clusterShape, MeshReader.hostShape, RouteReader.routeShape, RouteRuleReader.ruleShape]
        {
            var problems = RuleProblems("k")
            let place = ConfigLocation("f", line: 1, column: 1)
            let entries = (shape.names + ["zzzzzzzz"]).map {
                ConfigTree.Entry(key: $0, location: place, value: .text("", place))
            }
            problems.allow(shape, in: .map(entries, place))
            #expect(problems.problems.count { $0.problem == "unknown key" } == 1)
            #expect(problems.hasErrors && shape.isStrict)
        }
    }
}
