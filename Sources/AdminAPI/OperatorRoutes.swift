// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import HTTPTypes
import Hummingbird
import NIOCore
import Serving

/// What operators change by the admin API; all of it needs the token.
extension AdminRoutes {
    var changes: [ServedEndpoint] {
        [
            ServedEndpoint(
                .post, "/v1/mesher/drain", "Takes the sidecar out of service until the process ends; needs the token.",
                isGuarded: true
            ) { try self.drain($0) },
            ServedEndpoint(.get, "/v1/mesher/operations", "What operators have decided about instances.") { _ in
                try ServedAnswer.json(self.state.views.operations())
            },
            ServedEndpoint(
                .post, "/v1/mesher/operations",
                "Disables, drains or enables an instance, or resets circuits or ejections; needs the token.",
                isGuarded: true
            ) { try await self.operate($0) },
        ]
    }

    /// A request as it comes: all of it may be missing, or something else.
    private struct OperationBody: Decodable {
        let action: String
        let service: String
        let instance: String?
        let app: String?
    }

    private func operate(_ call: ServedEndpoint.Call) async throws -> Response {
        try self.demandToken(call.request)
        let actions = OperatorRequest.Action.allCases.map(\.rawValue).joined(separator: ", ")
        let form =
            "send {\"action\":\"disable\",\"service\":\"cart\",\"instance\":\"10.0.0.5:8080\"}; actions are \(actions)"
        let data = (try? await call.request.body.collect(upTo: 16 * 1024)).map { Data($0.readableBytesView) }
        guard let body = data.flatMap({ try? JSONDecoder().decode(OperationBody.self, from: $0) }) else {
            throw Refusal(.badRequest, "no operation: \(form)")
        }
        guard let action = OperatorRequest.Action(rawValue: body.action) else {
            throw Refusal(.badRequest, "no action is called \(body.action): \(form)")
        }
        let answer: OperatorAnswer
        do throws(OperatorRefusal) {
            answer = try self.state.views.operate(
                OperatorRequest(action, body.service, instance: body.instance, app: body.app))
        } catch {
            throw Refusal(error.status, error.text)
        }
        return try ServedAnswer.json(answer)
    }

    private struct DrainBody: Encodable {
        let draining = true
        /// For how many seconds.
        let `for`: Double
    }

    private func drain(_ call: ServedEndpoint.Call) throws -> Response {
        try self.demandToken(call.request)
        self.state.views.leave()
        let time = self.state.readiness.drainingSince.map { (ContinuousClock.now - $0) / .seconds(1) } ?? 0
        return try ServedAnswer.json(DrainBody(for: (time * 10).rounded() / 10))
    }
}

extension OperatorRefusal {
    fileprivate var status: HTTPResponse.Status {
        switch self.reason {
        case .invalid: .badRequest
        case .unknown: .notFound
        case .full: .conflict
        }
    }
}
