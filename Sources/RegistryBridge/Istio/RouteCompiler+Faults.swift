// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf

/// What is done to requests on purpose.
extension RouteCompiler {
    /// Of a weighted cluster, the route, its host or its table: whichever says something first.
    ///
    /// - Parameter cluster: The name of the cluster that the requests go to; `nil` for those that are answered.
    /// - Parameter target: The weighted cluster.
    mutating func fault(
        _ route: XDSRoute, to cluster: String?, _ target: XDSWeightedCluster.ClusterWeight? = nil
    ) throws(ResourceMistake) -> RouteFault? {
        let levels: [(typed: [String: Google_Protobuf_Any], plain: [String: Google_Protobuf_Struct])] = [
            (target?.typedPerFilterConfig ?? [:], target?.perFilterConfig ?? [:]),
            (route.typedPerFilterConfig, route.perFilterConfig),
            (self.host.typedPerFilterConfig, self.host.perFilterConfig),
            (self.table.typedPerFilterConfig, [:]),
        ]
        for (typed, plain) in levels {
            let message: XDSHTTPFault
            if let said = try Self.filter("envoy.filters.http.fault", or: Self.oldFault, in: typed) {
                guard case .on(let any) = said else { return nil }
                guard Self.faultTypes.contains(where: { any.typeURL.hasSuffix($0) }) else {
                    self.note("a fault of the type \(any.typeURL) is not injected")
                    return nil
                }
                guard let read = try? XDSHTTPFault(serializedBytes: any.value) else {
                    throw ResourceMistake("the fault cannot be read")
                }
                message = read
            } else if let said = plain[Self.oldFault] {
                message = try said.read(XDSHTTPFault.self, of: "the fault")
            } else {
                continue
            }
            // Of a fault for another cluster nothing is left, and of one for this cluster all.
            let fault = try self.fault(message)
            return message.upstreamCluster.isEmpty || message.upstreamCluster == cluster ? fault : nil
        }
        return nil
    }

    /// What xDS v2 calls the filter.
    private static let oldFault = "envoy.fault"
    private static let faultTypes = [
        "/envoy.extensions.filters.http.fault.v3.HTTPFault", "/envoy.config.filter.http.fault.v2.HTTPFault",
    ]

    private mutating func fault(_ message: XDSHTTPFault) throws(ResourceMistake) -> RouteFault? {
        var fault = RouteFault()
        for header in message.headers {
            guard header.unknownFields.data.isEmpty else {
                self.note("a fault with a condition of the header \(header.name) that is not known is not injected")
                return nil
            }
            fault.fields.append(try Self.header(header))
        }
        if message.hasMaxActiveFaults { fault.most = Int(message.maxActiveFaults.value) }
        if message.hasDelay {
            guard let specifier = message.delay.faultDelaySpecifier else { throw ResourceMistake("a delay of no time") }
            guard case .fixedDelay(let delay) = specifier else {
                self.note("a delay that requests choose is not injected")
                return nil
            }
            let time = try Duration(delay, of: "fixed_delay")
            guard time > .zero else { throw ResourceMistake("fixed_delay must be positive") }
            fault.delay = time
            fault.delayShare = message.delay.percentage.millionths
        }
        if message.hasAbort {
            fault.abortShare = message.abort.percentage.millionths
            switch message.abort.errorType {
            case .httpStatus(let status):
                guard (200..<600).contains(status) else { throw ResourceMistake("a fault with the status \(status)") }
                fault.abortStatus = Int(status)
            case .grpcStatus(let status): fault.abortGRPCStatus = Int(status)
            case .headerAbort: self.note("an abort that requests choose is not injected")
            case nil: throw ResourceMistake("an abort without a status")
            }
        }
        return fault
    }
}
