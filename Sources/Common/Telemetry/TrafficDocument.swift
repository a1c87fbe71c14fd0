// SPDX-License-Identifier: Apache-2.0

/// What a sidecar's traffic is like right now: what the page and `mesher top` show.
///
/// The names of the members are those of `/v1/mesher/traffic`. Rates are per second over the last `window` seconds, times
/// in seconds, moments since 1970.
package struct TrafficDocument: Codable, Sendable {
    /// Who it is, and whether it is well.
    package struct Own: Codable, Sendable {
        /// The service's name.
        package var name: String
        /// Its version.
        package var version: String
        /// Its application.
        package var app: String
        /// The version of mesher.
        package var build: String
        /// Since the process started.
        package var uptime: Double
        /// Whether `/readyz` says so.
        package var ready: Bool
        /// What is missing for that.
        package var missing: [String]
        /// Whether it is stopping.
        package var draining: Bool

        /// With all of it.
        package init(
            name: String, version: String, app: String, build: String, uptime: Double, ready: Bool, missing: [String],
            draining: Bool
        ) {
            self.name = name
            self.version = version
            self.app = app
            self.build = build
            self.uptime = uptime
            self.ready = ready
            self.missing = missing
            self.draining = draining
        }
    }

    /// Where requests are taken.
    package struct Listener: Codable, Sendable {
        /// `outgoing` or `incoming`.
        package var direction: String
        /// `http` or `grpc`.
        package var `protocol`: String
        /// `ip:port`.
        package var address: String

        /// With all of it.
        package init(direction: String, protocol: String, address: String) {
            self.direction = direction
            self.protocol = `protocol`
            self.address = address
        }
    }

    /// The process.
    package struct Process: Codable, Sendable {
        /// Its memory.
        package var residentBytes: Int
        /// Connections of clients.
        package var clientConnections: Int
        /// Connections to upstreams.
        package var upstreamConnections: Int
        /// Those that wait for a request.
        package var idleUpstreamConnections: Int
        /// How late each event loop came to a timer, at most, in the last second.
        package var loopLag: [Double]
        /// `normal`, `high` or `critical`.
        package var overload: String

        /// With all of it.
        package init(
            residentBytes: Int, clientConnections: Int, upstreamConnections: Int, idleUpstreamConnections: Int,
            loopLag: [Double], overload: String
        ) {
            self.residentBytes = residentBytes
            self.clientConnections = clientConnections
            self.upstreamConnections = upstreamConnections
            self.idleUpstreamConnections = idleUpstreamConnections
            self.loopLag = loopLag
            self.overload = overload
        }
    }

    /// Requests of one kind.
    package struct Flow: Codable, Sendable {
        /// Requests.
        package var requestRate: Double
        /// Failures.
        package var errorRate: Double
        /// Half were faster; `nil` without requests.
        package var p50: Double?
        /// Nine in ten were.
        package var p90: Double?
        /// Their mean.
        package var mean: Double?
        /// All but one in a hundred.
        package var p99: Double?
        /// Since the start.
        package var requests: Int
        /// Since the start.
        package var failures: Int

        /// With all of it.
        package init(
            requestRate: Double, errorRate: Double, p50: Double?, p90: Double?, mean: Double?, p99: Double?,
            requests: Int, failures: Int
        ) {
            self.requestRate = requestRate
            self.errorRate = errorRate
            self.p50 = p50
            self.p90 = p90
            self.mean = mean
            self.p99 = p99
            self.requests = requests
            self.failures = failures
        }
    }

    /// A circuit breaker.
    package struct Breaker: Codable, Sendable {
        /// Whether it may open at all.
        package var enabled: Bool
        /// `closed`, `open` or `half-open`.
        package var state: String
        /// Of the last ten seconds.
        package var errorPercentage: Int
        /// Until the next trial.
        package var retryAfter: Double?
        /// Requests under way.
        package var inFlight: Int
        /// How many may be.
        package var limit: Int

        /// With all of it.
        package init(
            enabled: Bool, state: String, errorPercentage: Int, retryAfter: Double?, inFlight: Int, limit: Int
        ) {
            self.enabled = enabled
            self.state = state
            self.errorPercentage = errorPercentage
            self.retryAfter = retryAfter
            self.inFlight = inFlight
            self.limit = limit
        }
    }

    /// One instance at one address.
    package struct Instance: Codable, Sendable {
        /// The registry's.
        package var id: String
        /// `protocol://ip:port`.
        package var endpoint: String
        /// Its version.
        package var version: String
        /// What the registry says.
        package var status: String
        /// Whether traffic may go there by that.
        package var eligible: Bool
        /// Whether it is left out for its failures.
        package var ejected: Bool
        /// How much longer.
        package var ejectedFor: Double?
        /// What an operator has decided; `nil` for nothing.
        package var `operator`: OperatorOrder?
        /// Where instances have their own.
        package var breaker: Breaker?
        /// Open ones.
        package var connections: Int
        /// Those that wait for a request.
        package var idle: Int
        /// Requests sent there since the start.
        package var attempts: Int
        /// Those that failed.
        package var failures: Int

        /// With all of it.
        package init(
            id: String, endpoint: String, version: String, status: String, eligible: Bool, ejected: Bool,
            ejectedFor: Double?, breaker: Breaker?, connections: Int, idle: Int, attempts: Int, failures: Int
        ) {
            self.id = id
            self.endpoint = endpoint
            self.version = version
            self.status = status
            self.eligible = eligible
            self.ejected = ejected
            self.ejectedFor = ejectedFor
            self.breaker = breaker
            self.connections = connections
            self.idle = idle
            self.attempts = attempts
            self.failures = failures
        }
    }

    /// A target of a route rule.
    package struct Target: Codable, Sendable {
        /// What instances must be.
        package var tags: [String: String]
        /// As configured.
        package var weight: Int
        /// What it gets.
        package var requestRate: Double
        /// Of what the rule takes; `nil` when that is nothing.
        package var share: Double?

        /// With all of it.
        package init(tags: [String: String], weight: Int, requestRate: Double, share: Double?) {
            self.tags = tags
            self.weight = weight
            self.requestRate = requestRate
            self.share = share
        }
    }

    /// A route rule.
    package struct Route: Codable, Sendable {
        /// Higher ones are tried first.
        package var precedence: Int
        /// Which requests, in words.
        package var match: String
        /// Where they go.
        package var targets: [Target]

        /// With all of it.
        package init(precedence: Int, match: String, targets: [Target]) {
            self.precedence = precedence
            self.match = match
            self.targets = targets
        }
    }

    /// A request that failed.
    package struct Failure: Codable, Sendable {
        /// When it began.
        package var time: Double
        /// `outgoing` or `incoming`.
        package var direction: String
        /// Whom it was for.
        package var service: String
        /// Its method.
        package var method: String
        /// Its path without the query, perhaps cut.
        package var path: String
        /// The answer's; 0 without one.
        package var status: Int
        /// As in `x-mesher-error`, or `answered_` and the status.
        package var reason: String
        /// The reason in words.
        package var text: String
        /// The instance that was tried last.
        package var endpoint: String?
        /// Its trace.
        package var traceId: String?
        /// Instances that were tried.
        package var attempts: Int
        /// How long it took.
        package var milliseconds: Double

        /// With all of it.
        package init(
            time: Double, direction: String, service: String, method: String, path: String, status: Int, reason: String,
            text: String, endpoint: String?, traceId: String?, attempts: Int, milliseconds: Double
        ) {
            self.time = time
            self.direction = direction
            self.service = service
            self.method = method
            self.path = path
            self.status = status
            self.reason = reason
            self.text = text
            self.endpoint = endpoint
            self.traceId = traceId
            self.attempts = attempts
            self.milliseconds = milliseconds
        }
    }
    /// The incoming requests of one caller.
    package struct Caller: Codable, Sendable {
        /// What the caller says of itself.
        package var name: String
        /// Its requests.
        package var flow: Flow

        /// With all of it.
        package init(name: String, flow: Flow) {
            self.name = name
            self.flow = flow
        }

        /// Reads the members of the flow beside the name.
        package init(from decoder: any Decoder) throws {
            self.name = try decoder.container(keyedBy: NameKey.self).decode(String.self, forKey: .name)
            self.flow = try Flow(from: decoder)
        }

        /// Writes the members of the flow beside the name.
        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: NameKey.self)
            try container.encode(self.name, forKey: .name)
            try self.flow.encode(to: encoder)
        }
    }

    fileprivate enum NameKey: String, CodingKey { case name }

    /// A called service.
    package struct Service: Codable, Sendable {
        /// What it is called.
        package var name: String
        /// The calls.
        package var flow: Flow
        /// What else there is to say of it.
        package var details: Details

        /// How calls of a service are governed, and where they go.
        package struct Details: Codable, Sendable {
            /// How often mesher answered or ended a request in the window, by reason.
            package var reasons: [String: Int]
            /// Its circuit; `nil` when it was never called.
            package var breaker: Breaker?
            /// Its instances.
            package var instances: [Instance]
            /// Its rules, in the order in which they are tried.
            package var routes: [Route]

            /// With all of it.
            package init(reasons: [String: Int], breaker: Breaker?, instances: [Instance], routes: [Route]) {
                self.reasons = reasons
                self.breaker = breaker
                self.instances = instances
                self.routes = routes
            }
        }

        /// With all of it.
        package init(name: String, flow: Flow, details: Details) {
            self.name = name
            self.flow = flow
            self.details = details
        }

        /// Reads the members of the parts beside the name.
        package init(from decoder: any Decoder) throws {
            self.name = try decoder.container(keyedBy: NameKey.self).decode(String.self, forKey: .name)
            self.flow = try Flow(from: decoder)
            self.details = try Details(from: decoder)
        }

        /// Writes the members of the parts beside the name.
        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: NameKey.self)
            try container.encode(self.name, forKey: .name)
            try self.flow.encode(to: encoder)
            try self.details.encode(to: encoder)
        }
    }

    /// When it was made.
    package var time: Double
    /// How far back rates reach.
    package var window: Double
    /// Who it is.
    package var own: Own
    /// Where requests are taken.
    package var listeners: [Listener]
    /// The process.
    package var process: Process
    /// The registry; `nil` where none can be away.
    package var registry: Registry?
    /// All registries, in their order.
    package var registries: [Source]
    /// Istio's control plane; `nil` where it is not asked.
    package var controlPlane: ControlPlane?
    /// The same of a second one, which is asked for routes where services come by Istio's first API.
    package var controlPlaneOfRoutes: ControlPlane?
    /// Those that this process shows to others.
    package var certificates: [CertificateReport]
    /// Incoming requests together.
    package var incoming: Flow
    /// The same by caller, the busiest first.
    package var callers: [Caller]
    /// Called services, the busiest first.
    package var services: [Service]
    /// Requests that failed, newest first.
    package var failures: [Failure]

    private enum CodingKeys: String, CodingKey {
        case time, window, listeners, process, registry, registries, controlPlane, controlPlaneOfRoutes, certificates,
            incoming, callers, services, failures
        case own = "self"
    }

    /// With all of it.
    package init(
        time: Double, window: Double, own: Own, listeners: [Listener], process: Process, registry: Registry?,
        registries: [Source] = [], controlPlane: ControlPlane? = nil, controlPlaneOfRoutes: ControlPlane? = nil,
        certificates: [CertificateReport] = [], incoming: Flow, callers: [Caller], services: [Service],
        failures: [Failure]
    ) {
        self.time = time
        self.window = window
        self.own = own
        self.listeners = listeners
        self.process = process
        self.registry = registry
        self.registries = registries
        self.controlPlane = controlPlane
        self.controlPlaneOfRoutes = controlPlaneOfRoutes
        self.certificates = certificates
        self.incoming = incoming
        self.callers = callers
        self.services = services
        self.failures = failures
    }
}
