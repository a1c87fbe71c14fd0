// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Testing

@Suite struct ClusterTicketsTests {
    @Test("as many are under way as the limit of the moment says, and what comes back makes room")
    func requests() {
        let tickets = ClusterTickets()
        #expect((0..<3).map { _ in tickets.takeRequest(most: 2) } == [true, true, false])
        #expect(tickets.requestCount == 2 && tickets.retryCount == 0)
        tickets.giveBackRequest()
        #expect((0..<2).map { _ in tickets.takeRequest(most: 2) } == [true, false])
        // A limit that has changed holds at once, for those that are under way too.
        #expect(tickets.takeRequest(most: 3) && !tickets.takeRequest(most: 1) && tickets.takeRequest(most: nil))
        #expect(tickets.requestCount == 4)
        #expect(!ClusterTickets().takeRequest(most: 0))
    }

    @Test("retries are counted by themselves")
    func retries() {
        let tickets = ClusterTickets()
        #expect(tickets.takeRetry(most: 1) && !tickets.takeRetry(most: 1) && tickets.takeRequest(most: 1))
        tickets.giveBackRetry()
        #expect(tickets.retryCount == 0 && tickets.requestCount == 1 && tickets.takeRetry(most: 1))
    }

    @Test("a limit of all loops is never exceeded, and in the end nothing is under way")
    func together() async {
        let tickets = ClusterTickets()
        let most = await withTaskGroup(of: Int.self, returning: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var most = 0
                    for _ in 0..<2000 where tickets.takeRequest(most: 3) {
                        most = max(most, tickets.requestCount)
                        tickets.giveBackRequest()
                    }
                    return most
                }
            }
            return await group.reduce(0, max)
        }
        // One that is refused stands in the count for a moment.
        #expect(most >= 1 && most <= 3 + 4)
        #expect(tickets.requestCount == 0)
    }

    @Test("the cluster of a name keeps its tickets when other things change")
    func sameTickets() throws {
        let governance = Governance()
        func tickets(_ limit: Int) throws -> (ClusterTickets, Cluster) {
            let cluster = "{name: c, service: cart, limits: {requests: \(limit)}}"
            let yaml = "mesh: {clusters: [\(cluster)], hosts: [{name: shop, routes: [{targets: [{cluster: c}]}]}]}"
            var source = ConfigSource(.files)
            source.add(try ConfigTree(yaml: yaml, source: "f"))
            source.add("service_description.name", .text("web", ConfigLocation("f")))
            var reader = ConfigReader(ConfigStore([source]))
            let rules = MeshRules(MesherConfig(&reader))
            let policy = governance.policy(for: "shop", .virtualHost, under: rules)
            return (try #require(policy.tickets.first ?? nil), try #require(policy.host?.clusters.first))
        }
        let (old, _) = try tickets(5)
        let (new, cluster) = try tickets(7)
        #expect(new === old)
        #expect(cluster.settings?.maxRequests == 7)
    }
}
