// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@testable import Proxy

/// What Envoy 1.40 answers to the same matches and requests.
@Suite struct FieldMatchTests {
    private static func holds(_ match: FieldMatch, _ values: [String]) -> Bool {
        var block = HeaderBlock()
        for value in values { block.append(HeaderLine("X-H", value)) }
        return match.holds(for: RequestHead(), block)
    }

    private static func exact(_ text: String, inverts: Bool = false) -> FieldMatch {
        FieldMatch("x-h", [.exact(.init(text))], inverts: inverts)
    }

    @Test("each field of a name is compared by itself, and one that is so is enough")
    func severalFields() {
        let two = ["one", "two"]
        #expect(Self.holds(Self.exact("one"), two) && Self.holds(Self.exact("two"), two))
        #expect(!Self.holds(Self.exact("one,two"), two) && !Self.holds(Self.exact("one, two"), two))
        #expect(Self.holds(Self.exact("one,two"), ["one,two"]))
        let range = FieldMatch("x-h", [.number(.noLess, 1), .number(.less, 5)])
        #expect(Self.holds(range, ["4", "9"]) && Self.holds(range, ["9", "4"]) && !Self.holds(range, ["0", "9"]))
    }

    @Test("an inverted match wants no field that is so, but a field")
    func inverted() {
        #expect(!Self.holds(Self.exact("one", inverts: true), ["one", "two"]))
        #expect(!Self.holds(Self.exact("two", inverts: true), ["one", "two"]))
        #expect(Self.holds(Self.exact("three", inverts: true), ["one", "two"]))
        #expect(!Self.holds(Self.exact("three", inverts: true), []))
    }

    @Test("what is missing is there when it counts as empty")
    func missing() {
        #expect(Self.holds(FieldMatch("x-h", [], isPresent: false), []))
        #expect(!Self.holds(FieldMatch("x-h", [], isPresent: false), [""]))
        #expect(Self.holds(FieldMatch("x-h", [], inverts: true), []) && !Self.holds(FieldMatch("x-h", []), []))
        #expect(Self.holds(FieldMatch("x-h", [], treatsMissingAsEmpty: true), []))
        #expect(!Self.holds(FieldMatch("x-h", [], isPresent: false, treatsMissingAsEmpty: true), []))
        #expect(!Self.holds(FieldMatch("x-h", [], inverts: true, treatsMissingAsEmpty: true), []))
    }

    @Test("one draw for a request counts for all routes that are for a share")
    func share() {
        let routes = [300_000, 300_000, 600_000].map { share in
            var match = RequestMatch()
            match.share = share
            return Route(match: .request(match), weights: [1], at: ConfigLocation("test"))
        }
        let host = VirtualHost(routes.map { ($0, [Cluster(InstanceTags())]) }, plain: "")
        let matcher = RouteMatcher(host, active: Array(host.routes.indices))
        var random = FastRandom(seed: 1)
        var counts = [0, 0, 0, 0]
        for _ in 0..<10_000 {
            let found = matcher.route(for: RequestHead(), HeaderBlock(), mark: nil, using: &random)
            counts[found ?? 3] += 1
        }
        #expect(counts[1] == 0)
        #expect((2_800..<3_200).contains(counts[0]) && (2_800..<3_200).contains(counts[2]))
    }
}
