// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf

/// Compiles the routes of a virtual host of the control plane to ours.
///
/// What cannot be meant refuses the whole table, as Envoy does; what is meant and not done yet is told, and a condition
/// that is not understood never matches.
///
/// - Source: Envoy's `config.route.v3`.
struct RouteCompiler {
    let host: XDSVirtualHost
    let table: XDSRouteConfiguration
    /// What is not done that the routes ask for.
    private(set) var gaps: Set<String> = []

    init(_ host: XDSVirtualHost, of table: XDSRouteConfiguration) {
        self.host = host
        self.table = table
    }

    /// Notes what is not done.
    mutating func note(_ gap: String) { self.gaps.insert(gap) }

    mutating func routes() throws(ResourceMistake) -> [(route: Route, clusters: [String])] {
        var routes: [(route: Route, clusters: [String])] = []
        for (index, route) in self.host.routes.enumerated() {
            do throws(ResourceMistake) {
                routes.append(try self.route(route))
            } catch {
                let name = route.name.isEmpty ? "\(index + 1)" : route.name
                throw ResourceMistake("virtual host \(self.host.name), route \(name): \(error.reason)")
            }
        }
        return routes
    }

    private mutating func route(_ route: XDSRoute) throws(ResourceMistake) -> (route: Route, clusters: [String]) {
        let match = try self.match(route.match)
        let location = ConfigLocation(Self.origin(of: route) ?? "virtual host \(self.host.name)")
        let name = route.name.isEmpty ? nil : route.name
        switch route.action {
        case .route(let action):
            return try self.forward(route, action, match, name, location)
        case .redirect(let redirect):
            let answer = RouteAction.Answer.redirect(try self.redirect(redirect, route.match))
            let action = RouteAction(
                answer: answer, responseEdits: try self.responseEdits(route), fault: try self.fault(route, to: nil),
                extras: Self.decoration(route))
            return (Route(match: match, name: name, weights: [], action: action, at: location), [])
        case .directResponse(let response):
            guard (200..<600).contains(response.status) else {
                throw ResourceMistake("direct_response with the status \(response.status)")
            }
            let reply = try Self.reply(Int(response.status), response.body)
            let action = RouteAction(
                answer: .reply(reply), responseEdits: try self.responseEdits(route),
                fault: try self.fault(route, to: nil), extras: Self.decoration(route))
            return (Route(match: match, name: name, weights: [], action: action, at: location), [])
        case nil: throw ResourceMistake("it has no action that is known")
        }
    }

    /// The VirtualService that a route comes from.
    private static func origin(of route: XDSRoute) -> String? {
        let text = route.metadata.filterMetadata["istio"]?.fields["config"]?.stringValue ?? ""
        return text.isEmpty ? nil : text
    }

    /// What the spans of a route are called.
    private static func decoration(_ route: XDSRoute) -> RouteExtras {
        var extras = RouteExtras()
        if !route.decorator.operation.isEmpty { extras.operation = route.decorator.operation }
        return extras
    }

    private static func reply(_ status: Int, _ source: XDSDataSource) throws(ResourceMistake) -> FixedReply {
        switch source.specifier {
        case .inlineString(let text): return FixedReply(status: status, body: text)
        case .inlineBytes(let bytes): return FixedReply(status: status, octets: Array(bytes))
        case .filename: throw ResourceMistake("the body of direct_response is in a file, which is not read")
        case nil: return FixedReply(status: status)
        }
    }

    // MARK: Forwarding

    private mutating func forward(
        _ route: XDSRoute, _ action: XDSRouteAction, _ match: Route.Match, _ name: String?,
        _ location: ConfigLocation
    ) throws(ResourceMistake) -> (route: Route, clusters: [String]) {
        var clusters: [String] = []
        var weights: [Int] = []
        var targets: [RouteAction?] = []
        var shared = try self.action(route, action)
        shared.requestEdits = try self.requestEdits(route)
        shared.responseEdits = try self.responseEdits(route)
        switch action.clusterSpecifier {
        case .cluster(let cluster):
            if cluster.isEmpty { throw ResourceMistake("the name of its cluster is empty") }
            (clusters, weights) = ([cluster], [1])
            shared.fault = try self.fault(route, to: cluster)
        case .weightedClusters(let weighted):
            var faults: [RouteFault?] = []
            for target in weighted.clusters where target.weight.value > 0 {
                faults.append(try self.fault(route, to: target.name, target))
            }
            // Where they differ, each target has its own.
            let isOneFault = faults.allSatisfy { $0 == faults[0] }
            if isOneFault { shared.fault = faults.first ?? nil }
            var sum: UInt64 = 0
            for target in weighted.clusters {
                if target.name.isEmpty { throw ResourceMistake("the name of a weighted cluster is empty") }
                guard target.hasWeight else { throw ResourceMistake("the cluster \(target.name) has no weight") }
                sum += UInt64(target.weight.value)
                guard target.weight.value > 0 else { continue }
                clusters.append(target.name)
                weights.append(Int(target.weight.value))
                let hasCORS = target.typedPerFilterConfig[Self.corsFilter] != nil
                let own =
                    try self.edits(target.requestHeadersToAdd, target.requestHeadersToRemove, of: route)
                let ownOfResponse = try self.edits(
                    target.responseHeadersToAdd, target.responseHeadersToRemove, of: route)
                // What the route says of Host counts more.
                let literal = try Self.line(target.hostRewriteLiteral, of: "host_rewrite_literal")
                let host = shared.host ?? (literal.isEmpty ? nil : literal)
                let fault = isOneFault ? nil : faults[weights.count - 1]
                if own.isEmpty, ownOfResponse.isEmpty, host == shared.host, fault == nil, !hasCORS {
                    targets.append(nil)
                } else {
                    var other = shared
                    other.requestEdits = own + shared.requestEdits
                    other.responseEdits = ownOfResponse + shared.responseEdits
                    other.host = host
                    if !isOneFault { other.fault = fault }
                    if hasCORS {
                        other.extras.cors = try self.cors(route, action, target)
                        other.extras.hasOwnCORS = true
                    }
                    targets.append(other.made)
                }
            }
            guard sum > 0, sum <= UInt64(UInt32.max) else {
                throw ResourceMistake("the weights of its clusters are \(sum) in sum")
            }
        case .clusterHeader(let header):
            self.gaps.insert("cluster_header \(header) is not followed: the route never matches")
            return (Route(match: .never, name: name, weights: [], at: location), [])
        case nil: throw ResourceMistake("it leads to no cluster")
        }
        let mirrors = self.mirrors(action)
        let made = Route(
            match: match, name: name, weights: weights, action: shared.made,
            targetActions: targets.contains { $0 != nil } ? targets : [], mirrors: mirrors.map(\.mirror), at: location)
        return (made, clusters + mirrors.map(\.cluster))
    }

    /// The copies that other clusters get: those of the route, its host or its table, whichever has some first.
    ///
    /// - Source: Envoy's `request_mirror_policies`, and `request_mirror_policy` as it was in the second version.
    private mutating func mirrors(_ action: XDSRouteAction) -> [(mirror: RouteMirror, cluster: String)] {
        let old = action.hasRequestMirrorPolicy ? [action.requestMirrorPolicy] : []
        let levels = [
            action.requestMirrorPolicies + old, self.host.requestMirrorPolicies, self.table.requestMirrorPolicies,
        ]
        return (levels.first { !$0.isEmpty } ?? []).compactMap { policy in
            guard !policy.cluster.isEmpty else {
                self.note("a mirror that requests choose is passed by")
                return nil
            }
            let share = policy.hasRuntimeFraction ? policy.runtimeFraction.defaultValue.millionths : RouteFault.all
            return (RouteMirror(share: share, keepsHost: policy.disableShadowHostSuffixAppend), policy.cluster)
        }
    }

    /// What a route does, before it is made one value.
    private struct Draft {
        var limits = RouteLimits()
        var retry: RouteRetry?
        var requestEdits: [HeaderEdit] = []
        var responseEdits: [HeaderEdit] = []
        var rewrite: PathRewrite?
        var host: String?
        var hashKeys: [HashKey] = []
        var fault: RouteFault?
        var takesHost = false
        var missingStatus = 503
        var extras = RouteExtras()

        var made: RouteAction {
            RouteAction(
                limits: self.limits, retry: self.retry, requestEdits: self.requestEdits,
                responseEdits: self.responseEdits, rewrite: self.rewrite, host: self.host, hashKeys: self.hashKeys,
                fault: self.fault, takesHost: self.takesHost, missingStatus: self.missingStatus, extras: self.extras)
        }
    }

    private mutating func action(_ route: XDSRoute, _ action: XDSRouteAction) throws(ResourceMistake) -> Draft {
        var draft = Draft()
        draft.extras = Self.decoration(route)
        // What is not written is 15 s; zero is none. A try has no limit of its own but that of the retries.
        draft.limits.head = .zero
        draft.limits.call = .seconds(15)
        if action.hasTimeout { draft.limits.call = try Duration(action.timeout, of: "timeout") }
        try self.limit(&draft.limits, action)
        if action.hasRetryPolicy || self.host.hasRetryPolicy {
            let policy = action.hasRetryPolicy ? action.retryPolicy : self.host.retryPolicy
            draft.retry = try RetryCompiler.retry(policy, &draft.limits, &self.gaps)
        }
        draft.rewrite = try self.rewrite(action, route.match)
        switch action.hostRewriteSpecifier {
        case .hostRewriteLiteral(let host): draft.host = try Self.line(host, of: "host_rewrite_literal")
        case .hostRewriteHeader(let name): draft.extras.hostField = name.isEmpty ? nil : name.lowercased()
        case .autoHostRewrite(let isOn): draft.takesHost = isOn.value
        case nil: break
        }
        draft.hashKeys = try self.hashKeys(action.hashPolicy)
        draft.extras.cors = try self.cors(route, action)
        draft.extras.keepsHost = action.appendXForwardedHost
        for upgrade in action.upgradeConfigs
        where upgrade.upgradeType.lowercased() == "websocket" && upgrade.hasEnabled {
            draft.extras.refusesUpgrades = !upgrade.enabled.value
        }
        if action.priority == .high { self.gaps.insert("a route of high priority has the limits of all others") }
        if action.hasHedgePolicy {
            self.gaps.insert("requests are not hedged: the second is sent when the first has failed")
        }
        if action.useWebsocket.value { draft.extras.refusesUpgrades = false }
        switch action.clusterNotFoundResponseCode {
        case .notFound: draft.missingStatus = 404
        case .internalServerError: draft.missingStatus = 500
        case .serviceUnavailable, .UNRECOGNIZED: break
        }
        return draft
    }
}
