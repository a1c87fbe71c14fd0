// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials

/// What the API server asks.
///
/// - Source: admission.k8s.io/v1 and v1beta1.
package struct AdmissionReview: Sendable {
    /// Why a body is no review.
    package struct Malformed: Error, Equatable {
        /// What is wrong.
        package let problem: String
    }

    /// Which of the two versions; the answer is of the same one.
    package let apiVersion: String
    /// Whose answer it is.
    package let uid: String
    /// Where the object is to be.
    package let namespace: String
    /// Whether nothing comes of it.
    package let isDryRun: Bool
    /// The pod that is being made; `nil` when it is about something else.
    package let pod: Pod?

    private static let versions = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"]

    /// Reads the body of a request.
    package init(_ bytes: [UInt8]) throws(Malformed) {
        if bytes.isEmpty { throw Malformed(problem: "there is no body") }
        let root: JSONValue
        do throws(JSONMistake) {
            root = try JSONDocument(bytes).root
        } catch {
            throw Malformed(problem: "the body is no JSON: byte \(error.offset): \(error.problem)")
        }
        guard root.isObject, root["kind"]?.text == "AdmissionReview" else {
            throw Malformed(problem: "the body is no AdmissionReview")
        }
        guard let version = root["apiVersion"]?.text, Self.versions.contains(version) else {
            throw Malformed(problem: "apiVersion is neither of \(Self.versions.joined(separator: ", "))")
        }
        guard let request = root["request"], request.isObject else { throw Malformed(problem: "request is missing") }
        guard let uid = request["uid"]?.text, !uid.isEmpty else { throw Malformed(problem: "request.uid is missing") }
        self.apiVersion = version
        self.uid = uid
        self.namespace = request["namespace"]?.text ?? ""
        self.isDryRun = request["dryRun"]?.flag ?? false
        self.pod = try Self.pod(request)
    }

    /// Rule 1.
    private static func pod(_ request: JSONValue) throws(Malformed) -> Pod? {
        let kind = request["kind"]
        guard kind?["group"]?.text ?? "" == "", kind?["version"]?.text == "v1", kind?["kind"]?.text == "Pod",
            request["operation"]?.text == "CREATE", request["subResource"]?.text ?? "" == "",
            let object = request["object"]
        else { return nil }
        do throws(Pod.Malformed) {
            return try Pod(object)
        } catch {
            throw Malformed(problem: "request.object: \(error.problem)")
        }
    }

    /// The decision of a policy.
    package func decision(_ policy: InjectionPolicy) -> Decision {
        guard let pod = self.pod else { return .notAPod }
        return policy.decide(pod, namespace: self.namespace)
    }

    /// The answer.
    ///
    /// - Parameter template: The digest of the template, for the audit log.
    package func answer(_ decision: Decision, template: String) -> OrderedJSON {
        var response: [(String, OrderedJSON)] = [
            ("uid", .string(self.uid)), ("allowed", .bool(decision.result != .denied)),
        ]
        if decision.result == .denied {
            response.append(
                (
                    "status",
                    .object([
                        ("status", .string("Failure")), ("code", .number(422)), ("reason", .string("Invalid")),
                        ("message", .string(Self.line(decision.message, upTo: 1_024))),
                    ])
                ))
        }
        if !decision.patch.operations.isEmpty {
            response += [
                ("patchType", .string("JSONPatch")),
                ("patch", .string(Data(decision.patch.json.bytes).base64EncodedString())),
            ]
        }
        if !decision.warnings.isEmpty {
            response.append(("warnings", .array(decision.warnings.map { .string(Self.line($0, upTo: 120)) })))
        }
        response.append(
            (
                "auditAnnotations",
                .object([
                    ("decision", .string(decision.result.rawValue)), ("reason", .string(decision.reason.rawValue)),
                    ("template", .string(template)),
                ])
            ))
        return .object([
            ("apiVersion", .string(self.apiVersion)), ("kind", .string("AdmissionReview")),
            ("response", .object(response)),
        ])
    }

    /// One line that a terminal can show, not longer than people are shown.
    private static func line(_ text: String, upTo limit: Int) -> String {
        let clean = String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
        return clean.count <= limit ? clean : "\(clean.prefix(limit - 1))…"
    }
}
