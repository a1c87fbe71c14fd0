// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import NIOHTTP1
import Serving

/// Why the API server has not done what it was asked for.
package struct ClusterFailure: Error, Sendable, Equatable {
    /// The status of its answer; `nil` when there was none that is of use.
    let status: Int?
    /// What is wrong, in words.
    let problem: String
    /// What to do.
    let remedy: String
    /// How long it wants to be left alone.
    let retryAfter: Duration?

    init(_ problem: String, remedy: String, status: Int? = nil, retryAfter: Duration? = nil) {
        self.status = status
        self.problem = problem
        self.remedy = remedy
        self.retryAfter = retryAfter
    }

    /// There is no such object.
    var isMissing: Bool { self.status == 404 }
    /// Somebody else has made or changed it meanwhile.
    var isConflict: Bool { self.status == 409 }

    /// No answer.
    init(_ error: any Error, from access: ClusterAccess, within limit: Duration) {
        let text = ConnectionFailure.text(error, within: limit).replacing("caFile", with: access.authorities)
        self.init(
            "the API server at \(access.url) cannot be asked: \(text)",
            remedy: "look at \(access.source), and whether a NetworkPolicy lets the injector reach it")
    }

    /// An answer that says no.
    init(
        _ verb: ClusterObject.Verb, _ object: ClusterObject, status: Int, _ headers: HTTPHeaders, _ body: Data,
        _ access: ClusterAccess
    ) {
        let said = (try? JSONDecoder().decode(Status.self, from: body))?.message ?? "status \(status)"
        let (problem, remedy): (String, String) =
            switch status {
            case 401:
                (
                    "the API server does not know who asks: \(said)",
                    "restart the pod, so that it gets a new token, if \(access.tokenSource) is none of this cluster"
                )
            case 403: ("not allowed to \(verb.rawValue) \(object.text): \(said)", object.remedy(for: verb))
            case 404:
                ("there is no \(object.text): \(said)", "make it, or correct the option that names it")
            case 409: ("\(object.text) was changed by somebody else meanwhile", "")
            case 422: ("the API server refuses to \(verb.rawValue) \(object.text): \(said)", "correct it, or delete it")
            case 429, 500...: ("the API server cannot answer now: \(said)", "look at the API server")
            default: ("the API server does not \(verb.rawValue) \(object.text): \(said)", "look at \(access.source)")
            }
        self.init(
            problem, remedy: remedy, status: status,
            retryAfter: Duration(retryAfter: headers.first(name: "Retry-After"), at: Date()))
    }

    /// As the API server says what is wrong.
    private struct Status: Decodable {
        let message: String?
    }
}
