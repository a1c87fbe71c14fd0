// SPDX-License-Identifier: Apache-2.0

/// What a route does to its requests besides sending them on.
///
/// A class, so that taking it along with a request is one reference, and none for routes without.
package final class RouteAction: Sendable {
    /// What answers the requests in place of an instance; `nil` when they are sent on.
    package let answer: Answer?
    /// How long they may take.
    package let limits: RouteLimits
    /// When they are repeated; `nil` where that is the virtual host's own business.
    package let retry: RouteRetry?
    /// What is done to their fields before they are sent.
    package let requestEdits: [HeaderEdit]
    /// What is done to the fields of the answers.
    package let responseEdits: [HeaderEdit]
    /// What becomes of their path.
    package let rewrite: PathRewrite?
    /// What `Host` says in place of what the client has sent.
    package let host: String?
    /// What ``BalancingPolicy/Strategy/ringHash`` and ``BalancingPolicy/Strategy/maglev`` go by; empty where that is the
    /// cluster's own business.
    package let hashKeys: [HashKey]
    /// How many requests a second it lets through; `nil` for all.
    package let limit: RouteLimit?
    /// What is done to them on purpose.
    package let fault: RouteFault?
    /// Whether `Host` says what the chosen endpoint of a control plane is called.
    package let takesHost: Bool
    /// What requests are answered with whose cluster the control plane does not have.
    package let missingStatus: Int
    /// What few routes do.
    package let extras: RouteExtras

    /// What a route does.
    package init(
        answer: Answer? = nil, limits: RouteLimits = RouteLimits(), retry: RouteRetry? = nil,
        requestEdits: [HeaderEdit] = [], responseEdits: [HeaderEdit] = [], rewrite: PathRewrite? = nil,
        host: String? = nil, hashKeys: [HashKey] = [], limit: RouteLimit? = nil, fault: RouteFault? = nil,
        takesHost: Bool = false, missingStatus: Int = 503, extras: RouteExtras = RouteExtras()
    ) {
        self.extras = extras
        self.takesHost = takesHost
        self.missingStatus = missingStatus
        self.limit = limit
        self.fault = fault
        self.answer = answer
        self.limits = limits
        self.retry = retry
        self.requestEdits = requestEdits
        self.responseEdits = responseEdits
        self.rewrite = rewrite
        self.host = host
        self.hashKeys = hashKeys
    }

    /// The same with another answer, or with further edits.
    func with(answer: Answer?, requestEdits: [HeaderEdit], responseEdits: [HeaderEdit]) -> RouteAction {
        RouteAction(
            answer: answer, limits: self.limits, retry: self.retry, requestEdits: self.requestEdits + requestEdits,
            responseEdits: self.responseEdits + responseEdits, rewrite: self.rewrite, host: self.host,
            hashKeys: self.hashKeys, limit: self.limit, fault: self.fault, takesHost: self.takesHost,
            missingStatus: self.missingStatus, extras: self.extras)
    }

    /// What answers requests at once.
    package enum Answer: Sendable, Equatable {
        case reply(FixedReply)
        case redirect(Redirect)
    }
}

/// An answer that is written in the configuration.
package struct FixedReply: Sendable, Equatable {
    /// 200…599.
    package let status: Int
    /// Text; may be empty.
    package let body: String
    /// The body where it is no text; `nil` where ``body`` is all of it.
    package let octets: [UInt8]?
    /// What the body is.
    package let contentType: String

    /// An answer with octets, which may be those of a text.
    package init(status: Int, octets: [UInt8]) {
        self.status = status
        self.body = String(decoding: octets, as: UTF8.self)
        self.octets = self.body.utf8.elementsEqual(octets) ? nil : octets
        self.contentType = "text/plain"
    }

    /// An answer.
    package init(status: Int, body: String = "", contentType: String = "text/plain") {
        self.status = status
        self.body = body
        self.octets = nil
        self.contentType = contentType
    }
}

/// An answer that sends the client elsewhere: what is not said here is as the client has asked for it.
///
/// - Source: RFC 9110 §15.4.
package struct Redirect: Sendable, Equatable {
    /// 301, 302, 303, 307 or 308.
    package let status: Int
    /// `http` or `https`.
    package let scheme: String?
    /// Without a port.
    package let host: String?
    /// Left out of the answer where it is the usual one of the scheme.
    package let port: UInt16?
    /// What becomes of the path.
    package let rewrite: PathRewrite?
    /// What stands in place of the path, perhaps with a query of its own; `nil` for nothing.
    package let target: String?
    /// Whether the query goes.
    package let stripsQuery: Bool
    /// Whether the port is that of the request, or what ``port`` says, even where it is the usual one: what Envoy does.
    package let keepsPort: Bool

    /// A redirect.
    package init(
        status: Int = 301, scheme: String? = nil, host: String? = nil, port: UInt16? = nil,
        rewrite: PathRewrite? = nil, target: String? = nil, stripsQuery: Bool = false, keepsPort: Bool = false
    ) {
        self.target = target
        self.stripsQuery = stripsQuery
        self.keepsPort = keepsPort
        self.status = status
        self.scheme = scheme
        self.host = host
        self.port = port
        self.rewrite = rewrite
    }
}

/// What becomes of a path; a query always stays.
package enum PathRewrite: Sendable, Equatable {
    /// The first bytes of the path, which the route has matched, are replaced.
    case prefix(length: Int, replacement: [UInt8])
    /// The same byte by byte, whatever slashes that makes.
    case bytes(length: Int, replacement: [UInt8])
    /// The whole path is replaced.
    case whole([UInt8])
    /// Everything that an expression finds in the path is.
    case pattern(PatternRewrite)
}

/// How long a call may take; `nil` is the virtual host's own limit, zero none.
package struct RouteLimits: Sendable, Equatable {
    /// From the last byte of the request to the head of the response: for each try.
    package var head: Duration?
    /// From the last byte of the request to the last one of the response, over all tries.
    package var call: Duration?
    /// The silence of either side while an answer is passed on.
    package var idle: Duration?
    /// What ``call`` is for calls of gRPC; `nil` for the same.
    package var grpcCall: Duration?
    /// What few routes limit besides.
    package var stream: StreamLimits?

    /// The virtual host's own.
    package init() {}
}

/// When the requests of a route are repeated.
package struct RouteRetry: Sendable, Equatable {
    /// How often, and which requests.
    package let policy: RetryPolicy
    /// Statuses that count as failures for this, besides those that always do.
    package let statuses: Set<Int>
    /// The only failures after which they are; empty where these are the usual ones.
    ///
    /// Whoever names them has asked for repetitions of whatever request: neither what they may do nor their share of the
    /// requests is a reason against them, only the limit of the cluster.
    package let conditions: RetryConditions
    /// What ``RetryConditions/fields`` stands for: one of these.
    package let fields: [FieldMatch]
    /// One of these has to hold for a request that is repeated; none for all requests.
    ///
    /// Counts with ``conditions`` only.
    package let requestFields: [FieldMatch]
    /// Whether endpoints that have failed the request are avoided; counts with ``conditions`` only.
    package let avoidsTried: Bool

    /// A policy.
    package init(_ policy: RetryPolicy, statuses: Set<Int> = []) {
        self.policy = policy
        self.statuses = statuses
        self.conditions = []
        (self.fields, self.requestFields) = ([], [])
        self.avoidsTried = true
    }

    /// So many further tries after certain failures.
    ///
    /// The time of a try is its route's ``RouteLimits/head``, that of all together its ``RouteLimits/call``.
    ///
    /// - Parameter retries: Besides the first try.
    /// - Parameter statuses: What ``RetryConditions/statuses`` stands for.
    /// - Parameter fields: What ``RetryConditions/fields`` stands for.
    /// - Parameter requestFields: One has to hold for the request; none for all requests.
    /// - Parameter backoff: The wait before the first further try is up to this, before each one after it up to twice as
    ///   much, and never more than the second number.
    /// - Parameter maxBody: Largest request body that is kept for a repetition, in bytes.
    package init(
        after conditions: RetryConditions, retries: Int, statuses: Set<Int> = [], fields: [FieldMatch] = [],
        requestFields: [FieldMatch] = [],
        backoff: (base: Duration, most: Duration) = (.milliseconds(25), .milliseconds(250)), avoidsTried: Bool,
        maxBody: Int = RetryPolicy().maxBody
    ) {
        var policy = RetryPolicy()
        policy.onNext = retries
        policy.includesNonIdempotent = true
        policy.maxBody = maxBody
        policy.backoff = Backoff(kind: .exponential, minimum: backoff.base, maximum: backoff.most)
        policy.backoff.beginsAtZero = true
        self.policy = policy
        self.statuses = statuses
        self.conditions = conditions
        self.fields = fields
        self.requestFields = requestFields
        self.avoidsTried = avoidsTried
    }
}

/// One change of the fields of a message, by a name of any kind.
package enum HeaderEdit: Sendable, Equatable, CustomStringConvertible {
    /// All fields of this name go.
    case remove(String)
    /// The field becomes the only one of its name.
    case set(String, String)
    /// Another field of this name.
    case add(String, String)
    /// The field comes where there is none of its name.
    case addIfAbsent(String, String)
    /// The field becomes the only one of its name, where there is one.
    case setIfPresent(String, String)
    /// One of the others, none of these itself, with a value that is made for each message in place of the one written
    /// there; an empty one leaves everything as it is, unless it is to be kept.
    indirect case filled(HeaderEdit, FieldFormat, keepsEmpty: Bool)

    /// The name.
    package var name: String {
        switch self {
        case .remove(let name), .set(let name, _), .add(let name, _), .addIfAbsent(let name, _),
            .setIfPresent(let name, _):
            name
        case .filled(let edit, _, _): edit.name
        }
    }

    /// The same with another value.
    package func with(value: String) -> HeaderEdit {
        switch self {
        case .remove: self
        case .set(let name, _): .set(name, value)
        case .add(let name, _): .add(name, value)
        case .addIfAbsent(let name, _): .addIfAbsent(name, value)
        case .setIfPresent(let name, _): .setIfPresent(name, value)
        case .filled(let edit, _, _): edit.with(value: value)
        }
    }

    /// Fields that delimit or direct a message.
    private static let fixed: Set = [
        "host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive",
        "proxy-connection", "expect", "http2-settings", "x-cse-context", "x-mark",
    ]

    /// Whether it is of a field that no edit may touch.
    package var isForbidden: Bool {
        let name = self.name.lowercased()
        // What sidecars tell each other: without it a loop would not be known.
        return Self.fixed.contains(name) || name.hasPrefix("x-mesher-")
    }

    /// As explanations say it.
    package var description: String {
        switch self {
        case .remove(let name): "no \(name)"
        case .set(let name, let value): "\(name): \(value)"
        case .add(let name, let value): "also \(name): \(value)"
        case .addIfAbsent(let name, let value): "\(name): \(value) where there is none"
        case .setIfPresent(let name, let value): "\(name): \(value) where there is one"
        case .filled(let edit, _, _): edit.description
        }
    }

    /// Whether fields of the name that are there go.
    package var removes: Bool {
        switch self {
        case .remove, .set, .setIfPresent: true
        case .add, .addIfAbsent: false
        case .filled(let edit, _, _): edit.removes
        }
    }
}

/// What a hash of a request is taken of.
package struct HashKey: Sendable, Equatable {
    /// Where its value stands.
    package enum Part: Sendable, Equatable {
        /// A field, in lower case.
        case header([UInt8])
        case cookie([UInt8])
        /// A parameter of the query, as it came.
        case query([UInt8])
        /// The client's address.
        case source
    }

    /// See ``Part``.
    package let part: Part
    /// Whether those behind it do not count for a request that has this one, or one before it.
    package let isLast: Bool
    /// What a request without the cookie is given; `nil` for nothing.
    package let newCookie: NewCookie?

    /// A key.
    package init(_ part: Part, isLast: Bool = true, newCookie: NewCookie? = nil) {
        self.part = part
        self.isLast = isLast
        self.newCookie = newCookie
    }
}

/// A cookie whose value mesher makes up.
package struct NewCookie: Sendable, Equatable {
    /// Its name.
    package let name: String
    /// How long clients keep it; zero for as long as they run.
    package let lifetime: Duration
    /// For which paths; empty for that of the request.
    package let path: String
    /// Further attributes, such as `Secure`.
    package let attributes: [String]

    /// A cookie.
    package init(_ name: String, lifetime: Duration, path: String = "", attributes: [String] = []) {
        self.name = name
        self.lifetime = lifetime
        self.path = path
        self.attributes = attributes
    }

    /// As `Set-Cookie` has it.
    ///
    /// - Source: RFC 6265 §4.1; the order is that of Envoy.
    package func field(_ value: String) -> String {
        let seconds = self.lifetime.components.seconds
        let age = seconds > 0 ? ["Max-Age=\(seconds)"] : []
        let path = self.path.isEmpty ? [] : ["Path=\(self.path)"]
        return (["\(self.name)=\"\(value)\""] + age + path + self.attributes + ["HttpOnly"]).joined(separator: "; ")
    }
}
