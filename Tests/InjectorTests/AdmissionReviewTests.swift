// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Testing

@testable import Injector

/// What the API server asks, and is answered.
@Suite struct AdmissionReviewTests {
    private func request(_ changes: [String: Any] = [:], version: String = "v1") throws -> [UInt8] {
        var request: [String: Any] = [
            "uid": "u1", "kind": ["group": "", "version": "v1", "kind": "Pod"], "operation": "CREATE",
            "namespace": "shop", "object": SamplePod().object, "oldObject": NSNull(),
        ]
        request.merge(changes) { $1 }
        return try SamplePod.bytes([
            "apiVersion": "admission.k8s.io/\(version)", "kind": "AdmissionReview", "request": request,
        ])
    }

    private func answer(_ bytes: [UInt8]) throws -> (whole: [String: Any], response: [String: Any]) {
        let review = try AdmissionReview(bytes)
        let json = review.answer(review.decision(try testPolicy()), template: "abc")
        let whole = try #require(try JSONSerialization.jsonObject(with: Data(json.bytes)) as? [String: Any])
        return (whole, try #require(whole["response"] as? [String: Any]))
    }

    @Test("the answer is of the version that asks", arguments: ["v1", "v1beta1"]) func versions(_ version: String)
        throws
    {
        let (whole, response) = try self.answer(try self.request(version: version))
        #expect(whole["apiVersion"] as? String == "admission.k8s.io/\(version)")
        #expect(whole["kind"] as? String == "AdmissionReview" && response["uid"] as? String == "u1")
        #expect(response["allowed"] as? Bool == true && response["patchType"] as? String == "JSONPatch")
        let patch = try #require(Data(base64Encoded: response["patch"] as? String ?? ""))
        #expect(try StrictPatch.applied(Array(patch), to: SamplePod().object)["spec"] != nil)
    }

    @Test("what is no new pod is left alone, with neither patch nor its type")
    func others() throws {
        let changes: [[String: Any]] = [
            ["operation": "DELETE", "object": NSNull()], ["operation": "UPDATE"],
            ["subResource": "ephemeralcontainers"],
            ["kind": ["group": "apps", "version": "v1", "kind": "Pod"]],
            ["kind": ["group": "", "version": "v1", "kind": "Node"]],
            ["kind": ["group": "", "version": "v2", "kind": "Pod"]], ["object": NSNull()],
        ]
        for change in changes {
            let (_, response) = try self.answer(try self.request(change))
            #expect(response["allowed"] as? Bool == true && response["patch"] == nil && response["patchType"] == nil)
            #expect((response["auditAnnotations"] as? [String: String])?["reason"] == "not_a_new_pod")
        }
    }

    @Test("a denial has a status, and warnings are short lines")
    func denial() throws {
        let bad = SamplePod(annotations: [Wish.servicePorts.key: "a\nb"]).object
        let (_, response) = try self.answer(try self.request(["object": bad]))
        let status = try #require(response["status"] as? [String: Any])
        #expect(response["allowed"] as? Bool == false && response["patch"] == nil)
        #expect(status["code"] as? Int == 422 && status["reason"] as? String == "Invalid")
        let message = try #require(status["message"] as? String)
        #expect(message.hasPrefix("sidecar.mesher.io/servicePorts: ") && !message.contains("\n"))
        let long = SamplePod(annotations: ["sidecar.mesher.io/\(String(repeating: "x", count: 300))": ""]).object
        let warnings = try #require(
            try self.answer(try self.request(["object": long])).response["warnings"] as? [String])
        #expect(warnings.count == 1 && warnings[0].count == 120)
    }

    @Test("what is no review is refused, with the reason")
    func malformed() throws {
        func problem(_ bytes: [UInt8]) throws -> String {
            try #require(throws: AdmissionReview.Malformed.self) { try AdmissionReview(bytes) }.problem
        }
        #expect(try problem([]) == "there is no body")
        #expect(try problem(Array("{".utf8)) == "the body is no JSON: byte 1: the name of a member is missing")
        #expect(try problem(Array("[]".utf8)) == "the body is no AdmissionReview")
        #expect(try problem(try self.request(version: "v2")).hasPrefix("apiVersion is neither of"))
        let bare = #"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview""#
        #expect(try problem(Array("\(bare)}".utf8)) == "request is missing")
        #expect(try problem(Array("\(bare),\"request\":null}".utf8)) == "request is missing")
        #expect(try problem(Array("\(bare),\"request\":{}}".utf8)) == "request.uid is missing")
        #expect(try problem(try self.request(["object": ["spec": 1]])) == "request.object: spec is no map")
        #expect(try problem(try self.request(["object": "pod"])) == "request.object: the object is no map")
    }
}
