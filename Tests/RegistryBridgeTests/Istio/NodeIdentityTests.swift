// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf
import Testing

@testable import RegistryBridge

@Suite("who the sidecar is to the control plane")
struct NodeIdentityTests {
    @Test("the environment of a pod says it")
    func pod() {
        let node = NodeIdentity(
            environment: [
                "POD_NAME": "shop-1", "POD_NAMESPACE": "eu", "INSTANCE_IP": "10.1.2.3",
                "INSTANCE_IPS": "10.1.2.3,fd00::3", "ISTIO_META_NETWORK": "n1", "NODE_NAME": "node-7",
                "ISTIO_VERSION": "1.26.1", "SERVICE_ACCOUNT": "shop", "ISTIO_METAJSON_LABELS": #"{"app":"shop"}"#,
            ], host: "machine", address: "10.9.9.9", labels: ["app": "other", "version": "v1"],
            locality: Locality(region: "r", zone: "z"))
        #expect(node.id == "sidecar~10.1.2.3~shop-1.eu~eu.svc.cluster.local")
        #expect(node.missing == nil)
        let message = node.message(version: "0.1.0")
        #expect(message.id == node.id)
        #expect(message.cluster == "shop.eu")
        #expect([message.userAgentName, message.userAgentVersion] == ["mesher", "0.1.0"])
        #expect([message.locality.region, message.locality.zone, message.locality.subZone] == ["r", "z", ""])
        let fields = message.metadata.fields
        #expect(fields["LABELS"]?.structValue.fields.mapValues(\.stringValue) == ["app": "shop", "version": "v1"])
        let texts = fields.filter { $0.key != "LABELS" }.mapValues(\.stringValue)
        #expect(
            texts == [
                "NAME": "shop-1", "NAMESPACE": "eu", "INSTANCE_IPS": "10.1.2.3,fd00::3", "NETWORK": "n1",
                "NODE_NAME": "node-7",
                "ISTIO_VERSION": "1.26.1", "SERVICE_ACCOUNT": "shop", "CLUSTER_ID": "Kubernetes",
                "INTERCEPTION_MODE": "NONE",
            ])
    }

    @Test("elsewhere the machine does, and what is missing is said")
    func machine() {
        let node = NodeIdentity(environment: ["POD_NAME": ""], host: "machine", address: "10.9.9.9")
        #expect(node.id == "sidecar~10.9.9.9~machine.default~default.svc.cluster.local")
        #expect(node.missing == "INSTANCE_IP")
        let message = node.message(version: "0.1.0")
        #expect(message.cluster == "mesher.default")
        #expect(message.hasLocality == false)
        #expect(message.metadata.fields["LABELS"] == nil)
        #expect(message.metadata.fields["INSTANCE_IPS"]?.stringValue == "10.9.9.9")
        #expect(message.metadata.fields["ISTIO_VERSION"]?.stringValue == "1.24.0")
        let alone = NodeIdentity(environment: [:], host: "machine", address: nil)
        #expect(alone.id == "sidecar~127.0.0.1~machine.default~default.svc.cluster.local")
    }

    @Test(
        "the address of a control plane may be written in several ways",
        arguments: [
            ("grpc://istiod.istio-system:15010", "http://istiod.istio-system:15010"),
            ("http://istiod.istio-system/", "http://istiod.istio-system:15010"),
            ("istiod", "http://istiod:15010"), (" 10.0.0.1:99 ", "http://10.0.0.1:99"),
            ("[::1]", "http://[::1]:15010"), ("GRPC://[::1]:7", "http://[::1]:7"),
            ("grpcs://istiod", "https://istiod:15012"), ("https://[::1]:7", "https://[::1]:7"),
            ("grpc://istiod.istio-system:15012", "https://istiod.istio-system:15012"),
            ("istio-pilot:15011", "https://istio-pilot:15011"),
        ])
    func addresses(written: String, read: String) throws {
        #expect(try ServerAddress(discovery: written).text == read)
    }

    @Test(
        "a control plane proves the name of its service, however its address is written",
        arguments: [
            ("istiod.istio-system:15012", "istiod.istio-system.svc"),
            ("istiod-canary.mesh.svc.cluster.local:15012", "istiod-canary.mesh.svc"),
            ("grpcs://10.0.0.1", "istiod.istio-system.svc"), ("grpcs://localhost", "istiod.istio-system.svc"),
            ("grpcs://istiod.mesh.example.com", "istiod.mesh.example.com"),
        ])
    func serverNames(written: String, name: String) throws {
        var config = IstioConfig()
        let server = try ServerAddress(discovery: written)
        #expect(config.serverName(of: server) == name)
        config.serverName = "other.example"
        #expect(config.serverName(of: server) == "other.example")
    }

    @Test("an address that means something else is refused", arguments: ["https://a:15012/b", "xds://a", "a:1/b", ""])
    func wrongAddresses(written: String) {
        #expect(throws: ConfigMistake.self) { try ServerAddress(discovery: written) }
    }
}
