// SPDX-License-Identifier: Apache-2.0

import Common
import Injector
import Support

/// Any bytes as what the API server asks, and as the pod that it asks about.
///
/// What must hold: nothing traps; what is refused is told why; an answer is of the version that was asked in, for the same
/// uid, and has a patch or none as the decision says; the patch finds every place, and the pod that comes of it gets no other
/// one.
@main enum FuzzReview {
    static func main() {
        unsafe fuzz { start, count in unsafe check(Array(UnsafeBufferPointer(start: start, count: count))) }
    }
}

/// With all on that makes patches longer.
private let policy: InjectionPolicy = {
    let yaml = """
        \(BuiltInTemplate.yaml(image: "mesher:1"))
        imagePullSecrets: [registry]
        annotations: {a/b: c}
        settings: {proxyEnv: yes, prometheusAnnotations: yes}
        """
    var problems: [ConfigProblem] = []
    var cluster = InjectionPolicy.Cluster()
    cluster.ownNamespace = "servicecomb"
    do throws(MesherError) {
        return InjectionPolicy(
            try SidecarTemplate(yaml: Array(yaml.utf8), source: "t", digest: "d", problems: &problems), cluster)
    } catch {
        preconditionFailure("\(error)")
    }
}()

private func check(_ input: [UInt8]) -> CInt {
    review(input)
    if let document = try? JSONDocument(input) {
        review(question(about: unique(OrderedJSON(document.root)), in: "shop"))
    }
    return 0
}

private func question(about object: OrderedJSON, in namespace: String) -> [UInt8] {
    OrderedJSON.object([
        ("kind", .string("AdmissionReview")), ("apiVersion", .string("admission.k8s.io/v1")),
        (
            "request",
            .object([
                ("uid", .string("u")), ("operation", .string("CREATE")), ("namespace", .string(namespace)),
                ("kind", .object([("version", .string("v1")), ("kind", .string("Pod"))])), ("object", object),
            ])
        ),
    ]).bytes
}

private func review(_ input: [UInt8]) {
    let review: AdmissionReview
    do throws(AdmissionReview.Malformed) {
        review = try AdmissionReview(input)
    } catch {
        precondition(!error.problem.isEmpty)
        return
    }
    let decision = review.decision(policy)
    guard let answer = try? JSONDocument(review.answer(decision, template: "d").bytes).root,
        let response = answer["response"], let asked = try? JSONDocument(input).root
    else { preconditionFailure("the answer is no JSON") }
    precondition(answer["apiVersion"]?.text == review.apiVersion && response["uid"]?.text == review.uid)
    precondition(response["allowed"]?.flag == (decision.result != .denied))
    let hasPatch = !decision.patch.operations.isEmpty
    precondition((response["patch"] != nil) == hasPatch && (response["patchType"] != nil) == hasPatch)
    precondition(hasPatch == (decision.result == .injected || decision.reason == .lateContainers), "\(decision)")
    for warning in response["warnings"]?.elements ?? [] {
        precondition(warning.text.map { $0.count <= 120 && !$0.contains("\n") } ?? false)
    }
    guard hasPatch, let object = asked["request"]?["object"] else { return }
    var pod = unique(OrderedJSON(object))
    for operation in decision.patch.operations {
        let path = operation.path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map {
            String($0).replacing("~1", with: "/").replacing("~0", with: "~")
        }
        precondition(pod.add(operation.value, at: path[...]), "there is no \(operation.path)")
    }
    guard let again = try? AdmissionReview(question(about: pod, in: review.namespace)).decision(policy) else {
        preconditionFailure("what comes of it is no pod")
    }
    precondition(again.patch.operations.isEmpty && again.reason == .alreadyInjected, "\(again)")
}

/// Of members of one name the last one: two are no JSON that an API server would send.
private func unique(_ value: OrderedJSON) -> OrderedJSON {
    switch value {
    case .object(let members):
        var kept: [(String, OrderedJSON)] = []
        for (name, value) in members {
            kept.removeAll { $0.0 == name }
            kept.append((name, unique(value)))
        }
        return .object(kept)
    case .array(let elements): return .array(elements.map(unique))
    default: return value
    }
}
