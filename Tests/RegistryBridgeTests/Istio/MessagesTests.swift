// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import IstioMessages
import SwiftProtobuf
import Testing

/// Resources as another implementation of xDS v3 wrote them.
@Suite("messages of xDS")
struct MessagesTests {
    private func read<Message: SwiftProtobuf.Message>(_ base64: String, as type: Message.Type) throws -> Message {
        try Message(serializedBytes: #require(Data(base64Encoded: base64)))
    }

    @Test("a cluster has what Envoy's own messages say, under the same numbers")
    func cluster() throws {
        let cluster = try self.read(
            "ChJvdXRib3VuZHw4MDgwfHYxfGEQAxoLCgIaABIFb3RoZXIiAggKMAVSFwoVIgYI/////w9CCwoJCQAAAAAAAClAmgEJCgIIB6oBAgg8"
                + "ygEbChkKBWlzdGlvEhAKDgoGc3Vic2V0EgQaAnYx2gEECgAaAA==",
            as: XDSCluster.self)
        #expect(cluster.name == "outbound|8080|v1|a")
        #expect(cluster.type == .eds)
        #expect(cluster.edsClusterConfig.hasEdsConfig)
        #expect(cluster.edsClusterConfig.serviceName == "other")
        #expect(cluster.connectTimeout.seconds == 10)
        #expect(cluster.lbPolicy == .maglev)
        #expect(cluster.outlierDetection.consecutive5Xx.value == 7)
        #expect(cluster.outlierDetection.maxEjectionTime.seconds == 60)
        #expect(cluster.outlierDetection.hasInterval == false)
        #expect(cluster.circuitBreakers.thresholds.first?.maxRequests.value == .max)
        #expect(cluster.circuitBreakers.thresholds.first?.retryBudget.budgetPercent.value == 12.5)
        #expect(cluster.commonLbConfig.hasHealthyPanicThreshold)
        #expect(cluster.commonLbConfig.localityConfigSpecifier != nil)
        #expect(cluster.metadata.filterMetadata["istio"]?.fields["subset"]?.stringValue == "v1")
    }

    @Test("so have endpoints")
    func endpoints() throws {
        let assignment = try self.read(
            "CgVvdGhlchIvCgkKAXISAXoaAXMSHAoUCg8KDRIIMTAuMC4wLjEYkD8aAWgQBSICCAkaAggDKAEiBRoDCMgB",
            as: XDSClusterLoadAssignment.self)
        #expect(assignment.clusterName == "other")
        #expect(assignment.policy.overprovisioningFactor.value == 200)
        let locality = try #require(assignment.endpoints.first)
        #expect([locality.locality.region, locality.locality.zone, locality.locality.subZone] == ["r", "z", "s"])
        #expect(locality.priority == 1)
        #expect(locality.loadBalancingWeight.value == 3)
        let entry = try #require(locality.lbEndpoints.first)
        #expect(entry.endpoint.address.socketAddress.address == "10.0.0.1")
        #expect(entry.endpoint.address.socketAddress.portValue == 8080)
        #expect(entry.endpoint.hostname == "h")
        #expect(entry.healthStatus == .degraded)
        #expect(entry.loadBalancingWeight.value == 9)
    }

    @Test("so have routes; a condition that has no name here is seen to be there")
    func routes() throws {
        let table = try self.read(
            "CgQ4MDgwErACCgZhOjgwODASAWESA2EuYhqAAgoeMhEKAXhAAWoKKggSBlthLWNdK0oECgIIA3IDL3YxElQaNAoYChJvdXRib3VuZHw4MDgw"
                + "fHYxfGESAghLChgKEm91dGJvdW5kfDgwODB8djJ8YRICCBlCAEoaCgt1bmF2YWlsYWJsZRICCAJCBwoFEMDw9QtKCgoGCgFoEgF2GANq"
                + "fAoYZW52b3kuZmlsdGVycy5odHRwLmZhdWx0EmAKRHR5cGUuZ29vZ2xlYXBpcy5jb20vZW52b3kuZXh0ZW5zaW9ucy5maWx0ZXJzLmh0"
                + "dHAuZmF1bHQudjMuSFRUUEZhdWx0EhgKDhoGEIDGho8BIgQIBRACEgYaAggyKA4aGwoOCgEvggEICgFrEgMKAXg6CQiiAxIEGgJub3AB",
            as: XDSRouteConfiguration.self)
        #expect(table.name == "8080")
        #expect(table.ignorePortInHostMatching)
        let host = try #require(table.virtualHosts.first)
        #expect(host.domains == ["a", "a.b"])
        #expect(host.routes.count == 2)

        let route = try #require(host.routes.first)
        #expect(route.match.pathSpecifier == .pathSeparatedPrefix("/v1"))
        #expect(route.match.headers.first?.stringMatch.safeRegex.regex == "[a-c]+")
        #expect(route.match.headers.first?.invertMatch == true)
        #expect(route.match.runtimeFraction.defaultValue.numerator == 3)
        #expect(route.match.unknownFields.data.isEmpty)
        #expect(route.route.weightedClusters.clusters.map(\.weight.value) == [75, 25])
        #expect(route.route.hasTimeout && route.route.timeout.seconds == 0)
        #expect(route.route.retryPolicy.numRetries.value == 2)
        #expect(route.route.retryPolicy.retryBackOff.baseInterval.nanos == 25_000_000)
        #expect(route.requestHeadersToAdd.first?.appendAction == .overwriteIfExists)
        let fault = try XDSHTTPFault(
            serializedBytes: #require(route.typedPerFilterConfig["envoy.filters.http.fault"]).value)
        #expect(fault.delay.fixedDelay.nanos == 300_000_000)
        #expect(fault.delay.percentage.denominator == .million)
        #expect(fault.abort.errorType == .grpcStatus(14))

        let answered = try #require(host.routes.last)
        #expect(answered.match.unknownFields.data.isEmpty == false)
        #expect(answered.directResponse.status == 418)
        #expect(answered.directResponse.body.inlineString == "no")
    }
}
