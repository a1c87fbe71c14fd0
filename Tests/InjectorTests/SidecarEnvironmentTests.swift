// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Testing

@testable import Injector

/// What a sidecar learns from its environment.
@Suite struct SidecarEnvironmentTests {
    private static func owner(_ kind: String, _ name: String) -> [String: Any] {
        ["ownerReferences": [["kind": "Other", "name": "x"], ["kind": kind, "name": name, "controller": true]]]
    }

    @Test("its name: annotation, labels, workload, pod")
    func serviceName() throws {
        func name(_ labels: [String: String], _ metadata: [String: Any] = [:], _ annotation: String? = nil) throws
            -> String?
        {
            let annotations = annotation.map { [Wish.serviceName.key: $0] } ?? [:]
            return try Injected(
                SamplePod(annotations: annotations, metadata: metadata.merging(["labels": labels]) { $1 })
            ).variables["SERVICE_NAME"]
        }
        #expect(try name(["app": "a", "app.kubernetes.io/name": "b"], [:], "c") == "c")
        #expect(try name(["app": "a", "app.kubernetes.io/name": "b"], Self.owner("DaemonSet", "d")) == "a")
        #expect(try name(["app.kubernetes.io/name": "b"], Self.owner("DaemonSet", "d")) == "b")
        #expect(try name([:], Self.owner("DaemonSet", "d")) == "d")
        #expect(try name(["pod-template-hash": "5f6"], Self.owner("ReplicaSet", "cart-5f6")) == "cart")
        #expect(try name([:], Self.owner("ReplicaSet", "cart-5f6")) == "cart-5f6")
        #expect(try name([:], Self.owner("Other", "d")) == "")
        let bare = try Injected(SamplePod())
        let variables = bare.sidecar?["env"] as? [[String: Any]] ?? []
        let reference = variables.first { $0["name"] as? String == "SERVICE_NAME" }?["valueFrom"] as? NSDictionary
        #expect(reference == ["fieldRef": ["fieldPath": "metadata.name"]])
        #expect(try Injected(SamplePod(), workload: "job").variables["SERVICE_NAME"] == "job")
    }

    @Test("its ports: as written, and not at all without the annotation")
    func servicePorts() throws {
        #expect(try Injected(SamplePod()).variables["SERVICE_PORTS"] == nil)
        let ports = try Injected(SamplePod(annotations: [Wish.servicePorts.key: "rest-admin:1, grps:2"])).variables
        #expect(ports["SERVICE_PORTS"] == "rest-admin:1, grps:2")
        #expect(ports["cse_protocols_grpc_listenAddress"] == "127.0.0.1:40101")
    }

    @Test("its version: any for Istio, dotted numbers for service-center")
    func version() throws {
        func version(_ text: String, _ type: String) throws -> String? {
            try Injected(
                SamplePod(annotations: [Wish.discoveryType.key: type], metadata: ["labels": ["version": text]])
            ).variables["VERSION"]
        }
        #expect(try version("v1", "pilot") == "v1")
        #expect(try version("v1", "sc") == nil)
        #expect(try version("1.2.3", "SC") == "1.2.3")
        #expect(try version("1..2", "sc") == nil)
    }

    @Test("its control plane, and the files of that")
    func discovery() throws {
        let sc = try Injected(SamplePod(), policy: try testPolicy(settings: "sc.address: http://sc:1"))
        #expect(sc.variables["CSE_REGISTRY_ADDR"] == "http://sc:1")
        #expect((sc.volumes[0]["configMap"] as? NSDictionary) == ["name": "mesher-configmap", "optional": true])
        let pilot = try Injected(
            SamplePod(), policy: try testPolicy(settings: "defaultDiscoveryType: pilot, pilot: {address: 'grpc://i:2'}")
        )
        #expect(pilot.variables["CSE_REGISTRY_ADDR"] == nil)
        #expect(pilot.variables["cse_service_registry_serviceDiscovery_type"] == "istio")
        #expect(pilot.variables["cse_service_registry_serviceDiscovery_address"] == "grpc://i:2")
        #expect(pilot.variables["cse_service_registry_registrator_disabled"] == "true")
        #expect((pilot.volumes[0]["configMap"] as? NSDictionary)?["name"] as? String == "mesher-configmap-pilot")
        let own = try Injected(SamplePod(annotations: [Wish.configMap.key: "my.conf"]))
        #expect((own.volumes[0]["configMap"] as? NSDictionary)?["name"] as? String == "my.conf")
    }

    @Test("who it is, always, before whatever refers to it")
    func fields() throws {
        let sidecar = try Injected(SamplePod()).sidecar
        let names = (sidecar?["env"] as? [[String: Any]] ?? []).compactMap { $0["name"] as? String }
        #expect(
            names.prefix(7) == [
                "POD_NAME", "POD_NAMESPACE", "INSTANCE_IP", "INSTANCE_IPS", "HOSTING_SERVER_IP", "NODE_NAME",
                "MESHER_ZONE",
            ])
        #expect(names.last == "cse_protocols_rest-admin_listenAddress")
        #expect(Injected.variables(sidecar)["mesher_listenIP"] == "$(INSTANCE_IP)")
    }

    @Test("it is done before a pod with a grace of its own is killed")
    func grace() throws {
        func drain(_ seconds: Int?) throws -> String? {
            let spec = seconds.map { ["terminationGracePeriodSeconds": $0] } ?? [:]
            return try Injected(SamplePod(spec: spec)).variables["mesher_timeouts_drain"]
        }
        #expect(try drain(nil) == nil)
        #expect(try drain(30) == nil)
        #expect(try drain(90) == "85s")
        #expect(try drain(3) == "1s")
    }

    @Test("variables of the template win, but for the name by label and the ports")
    func template() throws {
        let yaml = """
            containers:
              - name: sidecar-mesher
                image: m:1
                env: [{name: POD_NAME, value: mine}, {name: SERVICE_NAME, value: t}, {name: SERVICE_PORTS, value: "rest:1"}]
              - {name: helper, image: h:1}

            """
        let policy = try testPolicy(yaml)
        let plain = try Injected(SamplePod(), policy: policy)
        #expect(plain.variables["POD_NAME"] == "mine" && plain.variables["SERVICE_NAME"] == "t")
        #expect(plain.variables["SERVICE_PORTS"] == "rest:1")
        let other = try Injected(
            SamplePod(annotations: [Wish.servicePorts.key: "rest:2"], metadata: ["labels": ["app": "a"]]),
            policy: policy)
        #expect(other.variables["SERVICE_NAME"] == "a" && other.variables["SERVICE_PORTS"] == "rest:2")
        #expect(other.containers.map { $0["name"] as? String } == ["app", "sidecar-mesher", "helper"])
        #expect(other.containers[2]["env"] == nil, "only the sidecar gets them")
        // Nothing of one pod is left for the next.
        #expect(try Injected(SamplePod(), policy: policy).variables == plain.variables)
    }
}
