// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import IstioMessages
import SwiftProtobuf
import Testing

@testable import RegistryBridge

@Suite("answers of Istio's first API")
struct OldTranslationTests {
    private static let host = "world.default.svc.cluster.local"

    private func read<Answer: Decodable>(_ type: Answer.Type, _ json: String) throws -> Answer {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(type, from: Data(json.utf8))
    }

    private func translation() throws -> (OldTranslation, XDSRouteConfiguration) {
        let clusters = try self.read(
            OldAnswers.Clusters.self,
            """
            {"clusters": [
              {"name": "in.80", "type": "static", "hosts": [{"url": "tcp://127.0.0.1:80"}]},
              {"name": "out.short1", "service_name": "\(Self.host)|http|version=v1", "type": "sds", "lb_type": "random",
               "connect_timeout_ms": 1500, "features": "http2", "circuit_breakers": {"default": {"max_requests": 7}},
               "outlier_detection": {"consecutive_5xx": 3, "interval_ms": 2000, "max_ejection_percent": 50}},
              {"name": "out.\(Self.host)|http", "service_name": "\(Self.host)|http", "type": "sds"},
              {"name": "out.elsewhere", "type": "strict_dns", "hosts": [{"url": "tcp://a.test:81"}]},
              {"name": "out.api.test|http-82", "type": "strict_dns", "hosts": [{"url": "tcp://api.test:82"}]},
              {"name": "out.db", "service_name": "db.default.svc.cluster.local|tcp", "type": "sds"}]}
            """)
        let table = try self.read(
            OldAnswers.Table.self,
            """
            {"validate_clusters": true, "virtual_hosts": [{"name": "\(Self.host)|http", "domains": ["world", "world:8080"],
             "routes": [
              {"prefix": "/r", "path_redirect": "/there"},
              {"regex": "/x.*", "headers": [{"name": "h", "value": "a.*", "regex": true}], "cluster": "out.short1",
               "timeout_ms": 0, "prefix_rewrite": "/", "retry_policy": {"retry_on": "5xx", "num_retries": 3}},
              {"prefix": "/", "weighted_clusters": {"clusters": [
               {"name": "out.short1", "weight": 25}, {"name": "out.\(Self.host)|http", "weight": 75}]}}]}]}
            """)
        let fault = try self.read(
            OldAnswers.Fault.self,
            """
            {"abort": {"abort_percent": 40, "http_status": 555}, "delay": {"type": "fixed", "fixed_delay_percent": 5,
             "fixed_duration_ms": 5250}, "headers": [{"name": "h", "value": "b"}], "upstream_cluster": "out.short1"}
            """)
        let translation = OldTranslation(clusters.clusters ?? [], tables: [8080: table], faults: [fault])
        return (translation, translation.table(8080, table))
    }

    @Test("clusters have the names of xDS, and ports their numbers")
    func clusters() throws {
        let (translation, _) = try self.translation()
        let (whole, subset) = ("outbound|8080||\(Self.host)", "outbound|8080|v1|\(Self.host)")
        #expect(
            translation.clusters.map(\.name)
                == ["out.elsewhere", "outbound|82||api.test", subset, whole].sorted())
        #expect(translation.keys == [whole: "\(Self.host)|http", subset: "\(Self.host)|http|version=v1"])
        let cluster = try HeldCluster(#require(translation.clusters.first { $0.name == subset }))
        #expect(cluster.source == .assignments(subset))
        #expect(cluster.settings.connectTimeout == .milliseconds(1500))
        #expect(cluster.settings.strategy == .random && cluster.settings.isHTTP2)
        #expect(cluster.settings.maxRequests == 7)
        #expect(cluster.settings.outliers?.consecutiveErrors == 3)
        #expect(cluster.settings.outliers?.interval == .seconds(2))
        let other = try HeldCluster(#require(translation.clusters.first { $0.name == "out.elsewhere" }))
        guard case .written(let assignment) = other.source else {
            Issue.record("\(other.source)")
            return
        }
        #expect(assignment.members.map(\.place) == ["a.test:81"])
    }

    @Test("routes lead to those clusters, and have the faults of listeners")
    func routes() throws {
        let (_, table) = try self.translation()
        let held = try HeldTable(table, MeshPlace(namespace: "default", domain: "cluster.local"), upon: nil)
        let host = try #require(held.hosts["\(Self.host):8080"])
        #expect(host.domains == ["world"])
        #expect(host.gaps.isEmpty)
        #expect(host.routes.map(\.clusters.count) == [0, 1, 2])
        #expect(host.routes[1].clusters == ["outbound|8080|v1|\(Self.host)"])
        let action = try #require(host.routes[1].route.action)
        #expect(action.limits.call == .zero && action.retry != nil)
        #expect(action.fault?.abortStatus == 555 && action.fault?.abortShare == 400_000)
        #expect(action.fault?.delay == .milliseconds(5250) && action.fault?.delayShare == 50_000)
        #expect(action.fault?.fields.map(\.description) == ["h = \"b\""])
    }

    @Test("endpoints have their places and weights")
    func endpoints() throws {
        let hosts = try self.read(
            OldAnswers.Hosts.self,
            """
            {"hosts": [{"ip_address": "10.0.0.1", "port": 80},
             {"ip_address": "10.0.0.2", "port": 81, "tags": {"az": "z/r", "canary": false, "load_balancing_weight": 9}}]}
            """)
        let held = try HeldAssignment(OldTranslation.assignment("a", hosts.hosts ?? []))
        #expect(held.members.map(\.place) == ["10.0.0.1:80", "10.0.0.2:81"])
        #expect(held.members.map(\.weight) == [1, 9])
        #expect(held.members.map { $0.locality?.zone } == [nil, "z"])
    }

    @Test(
        "a key has a subset",
        arguments: [
            ("a|http", ""), ("a|http|version=v1", "v1"), ("a|http|env=x,version=v1", "env=x,version=v1"),
            ("outbound|http|v1|a", "v1"), ("outbound|http||a", ""),
        ])
    func keys(text: String, subset: String) {
        let key = ServiceKey(text)
        #expect(key?.subset == subset)
        #expect(key?.service == "a|http")
    }
}
