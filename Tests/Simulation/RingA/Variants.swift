// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore

/// The configurations that schedules choose from; the first is the plainest.
enum Variants {
    static let all: [MesherConfig] = Self.values.map(Self.config)

    private static let perInstance = "router,ratelimiter-consumer,loadbalance,bizkeeper-consumer,transport"

    private static let values: [[String: String]] = [
        [:],
        [
            "cse.loadbalance.retryEnabled": "true", "cse.loadbalance.retryOnNext": "2",
            "cse.loadbalance.retryOnSame": "1", "cse.loadbalance.backoff.kind": "constant",
            "cse.loadbalance.backoff.minMs": "100", "cse.transport.failure.rest": "http_503",
        ],
        [
            "cse.circuitBreaker.scope": "instance", "cse.handler.chain.Consumer.outgoing": Self.perInstance,
            "cse.circuitBreaker.Consumer.enabled": "true", "cse.circuitBreaker.Consumer.requestVolumeThreshold": "2",
            "cse.circuitBreaker.Consumer.sleepWindowInMilliseconds": "2000", "cse.loadbalance.retryEnabled": "true",
            "cse.loadbalance.retryOnNext": "2", "cse.transport.failure.rest": "http_502,http_503",
        ],
        [
            "cse.circuitBreaker.scope": "service", "cse.circuitBreaker.Consumer.enabled": "true",
            "cse.circuitBreaker.Consumer.requestVolumeThreshold": "3", "cse.transport.failure.rest": "http_503",
            "cse.circuitBreaker.Provider.enabled": "true", "cse.circuitBreaker.Provider.requestVolumeThreshold": "2",
            "cse.handler.chain.Provider.incoming": "ratelimiter-provider,bizkeeper-provider,transport",
        ],
        [
            "cse.loadbalance.retryEnabled": "true", "cse.loadbalance.retryOnNext": "1",
            "cse.loadbalance.retryOnSame": "2", "cse.loadbalance.backoff.kind": "exponential",
            "cse.loadbalance.backoff.minMs": "500", "cse.loadbalance.backoff.maxMs": "2000",
            "cse.transport.failure.rest": "http_503", "cse.isolation.Consumer.timeoutInMilliseconds": "2000",
            "cse.isolation.Consumer.maxConcurrentRequests": "2", "cse.loadbalance.strategy.name": "LeastRequest",
        ],
        [
            "cse.handler.chain.Consumer.outgoing": "router,bizkeeper-consumer,loadbalance,fault-inject,transport",
            "cse.governance.Consumer._global.policy.fault.protocols.rest.delay.fixedDelay": "300",
            "cse.governance.Consumer._global.policy.fault.protocols.rest.delay.percent": "50",
            "cse.governance.Consumer._global.policy.fault.protocols.rest.abort.httpStatus": "421",
            "cse.governance.Consumer._global.policy.fault.protocols.rest.abort.percent": "20",
            "cse.loadbalance.strategy.name": "PeakEWMA", "mesher.outlier.consecutiveErrors": "1",
        ],
        [
            "cse.flowcontrol.Consumer.qps.limit.cart": "2", "mesher.retry.budgetPercent": "0",
            "cse.transport.failure.rest": "http_503", "cse.loadbalance.strategy.name": "LeastRequest",
            "mesher.outlier.consecutiveErrors": "2",
        ],
        [
            "mesher.retry.nonIdempotent": "true", "mesher.retry.maxBody": "100", "cse.loadbalance.retryEnabled": "true",
            "cse.loadbalance.retryOnNext": "3", "cse.transport.failure.rest": "http_404,http_503",
            "cse.loadbalance.strategy.name": "WeightedResponse",
        ],
        ["mesher.retry.failover": "0", "cse.loadbalance.strategy.name": "Random"],
        [
            "cse.circuitBreaker.Consumer.enabled": "true", "cse.circuitBreaker.Consumer.requestVolumeThreshold": "1",
            "cse.fallbackpolicy.Consumer.policy": "returnnull", "cse.loadbalance.strategy.name": "SessionStickiness",
            "cse.isolation.Consumer.maxConcurrentRequests": "1", "cse.transport.failure.rest": "http_503",
        ],
        [
            "servicecomb.routeRule.cart": Self.lanes, "cse.loadbalance.retryEnabled": "true",
            "cse.loadbalance.retryOnNext": "2", "cse.transport.failure.rest": "http_503",
            "cse.isolation.Consumer.maxConcurrentRequests": "3",
        ],
        ["servicecomb.routeRule.cart": "- {precedence: 1, route: [{tags: {lane: b}, weight: 100}]}"],
        [
            "mesh.clusters": """
            - {name: all, service: cart, limits: {requests: 2, retries: 1}, balancing: LeastRequest}
            - {name: lane, service: cart, tags: {lane: a}}
            """,
            "mesh.hosts": """
            - name: shop
              domains: [cart]
              routes:
                - targets: [{cluster: all, weight: 2}, {cluster: lane, weight: 1}]
                  retry: {attempts: 2, statuses: [503]}
            """,
        ],
        [
            "mesh.clusters": "[{name: few, service: cart, limits: {connections: 1, pending: 2}}]",
            "mesh.hosts": "[{name: cart, routes: [{targets: [{cluster: few}]}]}]",
        ],
        [
            "mesh.clusters": "[{name: few, service: cart, limits: {connections: 2, retries: 1}}]",
            "mesh.hosts": "[{name: cart, routes: [{targets: [{cluster: few}]}]}]",
            "cse.loadbalance.retryEnabled": "true", "cse.loadbalance.retryOnNext": "2",
            "cse.transport.failure.rest": "http_503", "cse.isolation.Consumer.timeoutInMilliseconds": "2000",
        ],
        [
            "mesh.clusters": """
            - {name: few, service: cart, limits: {connections: 2, pending: 3}, connections: {requests: 2, age: 3s}}
            - {name: any, service: cart, connections: {requests: 1, idle: 1s}}
            """,
            "mesh.hosts": "[{name: cart, routes: [{targets: [{cluster: few, weight: 2}, {cluster: any, weight: 1}]}]}]",
            "cse.loadbalance.retryEnabled": "true", "cse.loadbalance.retryOnNext": "2",
            "cse.transport.failure.rest": "http_503",
        ],
        [
            "mesh.clusters": "[{name: few, service: cart, limits: {connections: 1}, protocol: client}]",
            "mesh.hosts": "[{name: cart, routes: [{targets: [{cluster: few}]}]}]",
        ],
        [
            "mesh.clusters": "[{name: all, service: cart}, {name: copy, service: cart, tags: {lane: a}}]",
            "mesh.hosts": """
            - name: cart
              routes:
                - targets: [{cluster: all}]
                  mirrors: [{cluster: copy}, {cluster: all, percent: 50}]
            """,
            "cse.loadbalance.retryEnabled": "true", "cse.loadbalance.retryOnNext": "2",
            "cse.transport.failure.rest": "http_503", "cse.loadbalance.strategy.name": "LeastRequest",
        ],
        [
            "mesh.clusters": "[{name: few, service: cart, limits: {connections: 2, pending: 2, requests: 3}}]",
            "mesh.hosts": "[{name: cart, routes: [{targets: [{cluster: few}], mirrors: [{cluster: few}]}]}]",
            "cse.loadbalance.retryEnabled": "true", "cse.loadbalance.retryOnNext": "1",
            "cse.transport.failure.rest": "http_503",
        ],
    ]

    private static let lanes = """
        - precedence: 2
          route: [{tags: {lane: a}, weight: 40}, {tags: {lane: b}, weight: 30}, {tags: {app: shop}, weight: 30}]
        """

    private static func config(_ values: [String: String]) -> MesherConfig {
        var source = ConfigSource(.memory)
        for (key, value) in values.sorted(by: { $0.key < $1.key }) {
            source.add(key, .text(value, ConfigLocation("simulation")))
        }
        source.add("service_description.name", .text("web", ConfigLocation("simulation")))
        var reader = ConfigReader(ConfigStore([source]))
        var config = MesherConfig(&reader)
        precondition(reader.problems.isEmpty, "\(reader.problems)")
        guard let ports = try? ServicePorts("rest:7001,grpc:7002") else { preconditionFailure("two ports") }
        config.servicePorts = ports
        config.proxy.maxInterimResponses = 3
        config.proxy.http2Streams = 4
        config.proxy.tunnel = .seconds(400)
        return config
    }
}
