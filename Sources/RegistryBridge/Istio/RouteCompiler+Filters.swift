// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf

/// What routes say to the filters of Envoy.
extension RouteCompiler {
    /// What one level says to a filter.
    enum FilterSettings {
        case off
        case on(Google_Protobuf_Any)
    }

    /// The settings of a filter at one level; `nil` where nothing is said.
    ///
    /// - Parameter old: Another name of it, which counts where that is not there.
    static func filter(
        _ name: String, or old: String? = nil, in level: [String: Google_Protobuf_Any]
    ) throws(ResourceMistake) -> FilterSettings? {
        guard let any = level[name] ?? old.flatMap({ level[$0] }) else { return nil }
        guard any.typeURL.hasSuffix("/envoy.config.route.v3.FilterConfig") else { return .on(any) }
        guard let wrapper = try? XDSFilterConfig(serializedBytes: any.value) else {
            throw ResourceMistake("the settings of \(name) cannot be read")
        }
        return wrapper.disabled ? .off : .on(wrapper.config)
    }

    // MARK: Pages of other origins

    static let corsFilter = "envoy.filters.http.cors"

    /// Which pages may read the answers: each part is what a weighted cluster, the route, its host or its table says of it
    /// first.
    ///
    /// - Parameter target: The weighted cluster.
    /// - Source: Envoy's `CorsFilter`, which asks the old fields only where no level has settings of the filter.
    mutating func cors(
        _ route: XDSRoute, _ action: XDSRouteAction, _ target: XDSWeightedCluster.ClusterWeight? = nil
    ) throws(ResourceMistake) -> CORSPolicy? {
        var levels: [CORSLevel] = []
        var isFirst = true
        for level in [
            target?.typedPerFilterConfig ?? [:], route.typedPerFilterConfig, self.host.typedPerFilterConfig,
            self.table.typedPerFilterConfig,
        ] {
            guard let said = try Self.filter(Self.corsFilter, in: level) else { continue }
            guard case .on(let any) = said else {
                if isFirst { return nil }
                continue
            }
            isFirst = false
            guard any.typeURL.hasSuffix("/envoy.extensions.filters.http.cors.v3.CorsPolicy") else {
                self.note("a CORS policy of the type \(any.typeURL) is not followed")
                continue
            }
            guard let message = try? XDSCorsPolicy(serializedBytes: any.value) else {
                throw ResourceMistake("the CORS policy cannot be read")
            }
            levels.append(try CORSLevel(message))
        }
        if levels.isEmpty {
            if action.hasCors { levels.append(try CORSLevel(action.cors)) }
            if self.host.hasCors { levels.append(try CORSLevel(self.host.cors)) }
        }
        guard let nearest = levels.first else { return nil }
        func text(_ part: (CORSLevel) -> String) -> String { levels.map(part).first { !$0.isEmpty } ?? "" }
        var policy = CORSPolicy()
        policy.origins = levels.map(\.origins).first { !$0.isEmpty } ?? []
        (policy.methods, policy.headers) = (text { $0.methods }, text { $0.headers })
        (policy.exposed, policy.maxAge) = (text { $0.exposed }, text { $0.maxAge })
        policy.allowsCredentials = levels.lazy.compactMap(\.credentials).first ?? false
        policy.allowsPrivateNetwork = levels.lazy.compactMap(\.privateNetwork).first ?? false
        policy.passesOnOthers = levels.lazy.compactMap(\.passesOnOthers).first ?? true
        policy.share = nearest.share
        for value in [policy.methods, policy.headers, policy.exposed, policy.maxAge] where !Self.isValue(value) {
            throw ResourceMistake("\"\(value)\" of the CORS policy is no value of a header")
        }
        return policy
    }

    /// Whether a field can carry a value.
    static func isValue(_ value: String) -> Bool {
        value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }
    }
}

/// What one level says of pages of other origins; `nil` for what it leaves to the next one.
private struct CORSLevel {
    var origins: [TextMatch] = []
    let methods: String
    let headers: String
    let exposed: String
    let maxAge: String
    let credentials: Bool?
    let privateNetwork: Bool?
    let passesOnOthers: Bool?
    /// How many requests it is for, in millionths.
    let share: Int

    init(_ message: XDSCorsPolicy) throws(ResourceMistake) {
        for origin in message.allowOriginStringMatch { self.origins.append(try RouteCompiler.text(origin)) }
        self.methods = message.allowMethods
        self.headers = message.allowHeaders
        self.exposed = message.exposeHeaders
        self.maxAge = message.maxAge
        self.credentials = message.hasAllowCredentials ? message.allowCredentials.value : nil
        self.privateNetwork = message.hasAllowPrivateNetworkAccess ? message.allowPrivateNetworkAccess.value : nil
        self.passesOnOthers =
            message.hasForwardNotMatchingPreflights ? message.forwardNotMatchingPreflights.value : nil
        self.share = message.hasFilterEnabled ? message.filterEnabled.defaultValue.millionths : RequestMatch.all
    }

    init(_ message: XDSRouteCorsPolicy) throws(ResourceMistake) {
        for origin in message.allowOriginStringMatch { self.origins.append(try RouteCompiler.text(origin)) }
        for origin in message.allowOrigin { self.origins.append(.exact(.init(origin))) }
        for regex in message.allowOriginRegex { self.origins.append(try RouteCompiler.whole(regex)) }
        self.methods = message.allowMethods
        self.headers = message.allowHeaders
        self.exposed = message.exposeHeaders
        self.maxAge = message.maxAge
        self.credentials = message.hasAllowCredentials ? message.allowCredentials.value : nil
        self.privateNetwork = message.hasAllowPrivateNetworkAccess ? message.allowPrivateNetworkAccess.value : nil
        self.passesOnOthers =
            message.hasForwardNotMatchingPreflights ? message.forwardNotMatchingPreflights.value : nil
        if message.hasEnabled, !message.enabled.value {
            self.share = 0
        } else {
            self.share = message.hasFilterEnabled ? message.filterEnabled.defaultValue.millionths : RequestMatch.all
        }
    }
}
