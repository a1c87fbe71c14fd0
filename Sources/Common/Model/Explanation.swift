// SPDX-License-Identifier: Apache-2.0

/// An outgoing request that somebody wants explained.
package struct ExplainQuestion: Codable, Sendable {
    /// The method, as `GET`.
    package var method: String
    /// The URL as a client of the proxy would write it.
    package var url: String
    /// Header lines: `name: value`.
    package var headers: [String]
    /// The calling service; `nil` for the local one.
    package var from: String?

    /// A question without headers has none.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.method = try container.decode(String.self, forKey: .method)
        self.url = try container.decode(String.self, forKey: .url)
        self.headers = try container.decodeIfPresent([String].self, forKey: .headers) ?? []
        self.from = try container.decodeIfPresent(String.self, forKey: .from)
    }

    /// A question.
    package init(method: String, url: String, headers: [String], from: String?) {
        self.method = method
        self.url = url
        self.headers = headers
        self.from = from
    }
}

/// What a sidecar would do with an outgoing request, handler by handler.
///
/// The names of the members are those of `mesher explain --json`.
package struct Explanation: Codable, Sendable, Equatable {
    /// One handler of the chain.
    package struct Step: Codable, Sendable, Equatable {
        /// Its name; `destination` and `transport` stand around those of the chain.
        package let handler: String
        /// One sentence.
        package let summary: String
        /// Further lines.
        package var details: [String] = []
        /// Whether it would answer the request itself.
        package var isAnswer = false

        /// With all of it.
        package init(
            handler: String, summary: String, details: [String] = [], isAnswer: Bool = false
        ) {
            self.handler = handler
            self.summary = summary
            self.details = details
            self.isAnswer = isAnswer
        }
    }

    /// A route rule.
    package struct Rule: Codable, Sendable, Equatable {
        /// Higher ones are tried first.
        package let precedence: Int
        /// Where it is written.
        package let location: String
        /// Whether it is the one that decides; `nil` when it was not tried.
        package let isMatch: Bool?
        /// Why, or why not.
        package let reason: String

        /// With all of it.
        package init(
            precedence: Int, location: String, isMatch: Bool?, reason: String
        ) {
            self.precedence = precedence
            self.location = location
            self.isMatch = isMatch
            self.reason = reason
        }
    }

    /// A share of the requests.
    package struct Share: Codable, Sendable, Equatable {
        /// In percent of the requests that the rule is for.
        package let percent: Double
        /// What instances must be: `version:1.0.0|app:default`.
        package let tags: String
        /// Where they are.
        package let endpoints: [String]

        /// With all of it.
        package init(
            percent: Double, tags: String, endpoints: [String]
        ) {
            self.percent = percent
            self.tags = tags
            self.endpoints = endpoints
        }
    }

    /// An instance of the service.
    package struct Candidate: Codable, Sendable, Equatable {
        /// Where it is; empty when it has no endpoint for HTTP.
        package let endpoint: String
        /// Its version.
        package let version: String
        /// Its application.
        package let app: String
        /// Its status at the registry.
        package let status: String
        /// Whether it may get the request.
        package let remains: Bool
        /// Why not; empty when it may.
        package let reason: String
        /// Seconds for which it is left out because it has failed.
        package let leftOutSeconds: Double?

        /// With all of it.
        package init(
            endpoint: String, version: String, app: String, status: String, remains: Bool, reason: String,
            leftOutSeconds: Double?
        ) {
            self.endpoint = endpoint
            self.version = version
            self.app = app
            self.status = status
            self.remains = remains
            self.reason = reason
            self.leftOutSeconds = leftOutSeconds
        }
    }

    /// A rate limit that applies.
    package struct Limit: Codable, Sendable, Equatable {
        /// The handler that keeps it.
        package let handler: String
        /// Requests a second.
        package let rate: Int
        /// How many would pass now.
        package let available: Int

        /// With all of it.
        package init(
            handler: String, rate: Int, available: Int
        ) {
            self.handler = handler
            self.rate = rate
            self.available = available
        }
    }

    /// The circuit of the service.
    package struct Breaker: Codable, Sendable, Equatable {
        /// Whether it works at all.
        package let isEnabled: Bool
        /// `closed`, `open` or `half-open`.
        package let state: String
        /// Requests of the last ten seconds.
        package let requests: Int
        /// Failures among them.
        package let errors: Int
        /// Seconds to the next trial of an open circuit.
        package let untilTrialSeconds: Double?
        /// Requests on their way, and how many there may be.
        package let inFlight: Int
        /// See ``inFlight``.
        package let limit: Int

        /// With all of it.
        package init(
            isEnabled: Bool, state: String, requests: Int, errors: Int, untilTrialSeconds: Double?, inFlight: Int,
            limit: Int
        ) {
            self.isEnabled = isEnabled
            self.state = state
            self.requests = requests
            self.errors = errors
            self.untilTrialSeconds = untilTrialSeconds
            self.inFlight = inFlight
            self.limit = limit
        }
    }

    /// What the client would get.
    package struct Answer: Codable, Sendable, Equatable {
        /// Whether the request would be sent on.
        package let isForwarded: Bool
        /// To one of these.
        package let endpoints: [String]
        /// The status of mesher's own answer: to all requests, or to ``failingPercent`` of them.
        package let status: Int?
        /// Its `x-mesher-error`.
        package let reason: String?
        /// Its body.
        package let body: String?
        /// How many percent of the requests fail although the others are sent on; `nil` for none.
        package let failingPercent: Double?

        /// With all of it.
        package init(
            isForwarded: Bool, endpoints: [String], status: Int?, reason: String?, body: String?,
            failingPercent: Double? = nil
        ) {
            self.failingPercent = failingPercent
            self.isForwarded = isForwarded
            self.endpoints = endpoints
            self.status = status
            self.reason = reason
            self.body = body
        }
    }

    /// What was asked.
    package var question: ExplainQuestion
    /// The service or external host; `nil` when none was found.
    package var destination: String?
    /// In the order of the chain.
    package var steps: [Step] = []
    /// The route rules of the service, in the order in which they are tried.
    package var rules: [Rule] = []
    /// How the requests are split.
    package var shares: [Share] = []
    /// All instances of the service.
    package var candidates: [Candidate] = []
    /// Rate limits.
    package var limits: [Limit] = []
    /// The circuit.
    package var breaker: Breaker?
    /// The longest wait for an answer, in seconds.
    package var timeoutSeconds: Double?
    /// What the client would get.
    package var answer = Answer(isForwarded: false, endpoints: [], status: nil, reason: nil, body: nil)

    /// Nothing found out yet.
    package init(_ question: ExplainQuestion) { self.question = question }
}

extension ExplainQuestion: Equatable {}
