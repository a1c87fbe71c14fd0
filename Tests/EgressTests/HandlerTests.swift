// SPDX-License-Identifier: Apache-2.0

import Common
import Egress
import Foundation
import Proxy
import TestSupport
import Testing

@Suite struct HandlerTests {
    private func run(_ handlers: [any Stage], _ fields: [String]) throws -> TestExchange.Result {
        try TestExchange(try TestExchange.directory(["cart": ["rest://10.0.0.1:80"]]))
            .run(handlers, ["GET http://cart/ HTTP/1.1", "Host: cart"] + fields)
    }

    @Test("a handler of the documentation works in a chain, and stands there as it is here")
    func example() throws {
        let config = try TestSidecar.config([:])
        var handlers = EgressStages.handlers
        // The name is not known to the configuration, so it takes the place of one that is.
        handlers["router"] = { _ in RequireHeaderStage() }
        let stages = EgressStages(
            config, own: .none, resolver: HostResolver(), token: HopToken(),
            marks: Marks(config.rules), handlers: handlers)
        #expect(try self.run(stages.inOrder, []).error?.body == "X-Tenant is missing")
        #expect(try self.run(stages.inOrder, ["x-tenant: acme"]).port == 80)

        let file = URL(filePath: #filePath)
        let root = file.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let here = try String(
            contentsOf: file.deletingLastPathComponent().appending(path: "RequireHeaderStage.swift"), encoding: .utf8)
        let page = try String(contentsOf: root.appending(path: "docs/handlers.md"), encoding: .utf8)
        let code = try #require(here.range(ofFirst: "import Common").map { here[$0.lowerBound...] })
        #expect(page.contains("// RequireHeaderStage.swift\n\(code)"))
    }

    @Test("every active handler has a stage of its side, and no stage is unknown")
    func tables() {
        func names(_ side: CallSide) -> Set<String> {
            Set(HandlerName.all.filter { $0.isActive && $0.sides.contains(side) }.map(\.name)).subtracting(["transport"]
            )
        }
        #expect(Set(EgressStages.handlers.keys) == names(.consumer))
    }

    @Test(
        "chains that cannot work are mistakes with a remedy",
        arguments: [
            ("outgoing", "router,loadbalance", "the chain does not end in transport"),
            ("outgoing", "loadbalance,transport,router", "handlers stand behind transport, which sends the request"),
            ("outgoing", "router,transport", "the chain has no loadbalance"),
            ("outgoing", "loadbalance,router,transport", "router stands behind loadbalance, where it has no effect"),
            ("outgoing", "loadbalance,loadbalancer,transport", "handler [loadbalance] stands in the chain twice"),
            (
                "outgoing", "ratelimiter-provider,loadbalance,transport",
                "handler [ratelimiter-provider] has no place in a Consumer chain"
            ),
            ("outgoing", "rooter,loadbalance,transport", "unknown handler [rooter]"),
            ("egress", "router,transport", "router has no place here: external hosts have no instances"),
        ])
    func mistakes(chain: String, handlers: String, expected: String) throws {
        let key = "cse.handler.chain.Consumer.\(chain)"
        do {
            _ = try TestSidecar.config([key: handlers])
            Issue.record("no mistake")
        } catch MesherError.configuration(let problems) {
            #expect(problems.map(\.problem) == [expected] && problems.allSatisfy { !$0.remedy.isEmpty })
        }
    }
}
