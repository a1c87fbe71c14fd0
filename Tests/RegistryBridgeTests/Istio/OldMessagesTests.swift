// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import IstioMessages
import SwiftProtobuf
import Testing

@testable import RegistryBridge

/// What only xDS v2 says, and what it comes to.
@Suite("messages of xDS v2")
struct OldMessagesTests {
    private func compile(
        host: (inout XDSVirtualHost) throws -> Void = { _ in }, _ edit: (inout XDSRoute) throws -> Void
    ) throws -> (route: Route, gaps: Set<String>) {
        var route = XDSRoute()
        route.match.prefix = "/a"
        route.route.cluster = "one"
        try edit(&route)
        var virtualHost = XDSVirtualHost()
        virtualHost.name = "shop"
        virtualHost.routes = [route]
        try host(&virtualHost)
        var compiler = RouteCompiler(virtualHost, of: XDSRouteConfiguration())
        let made = try #require(try compiler.routes().first?.route)
        return (made, compiler.gaps)
    }

    private static func any(_ message: some SwiftProtobuf.Message, _ type: String) throws -> Google_Protobuf_Any {
        var any = Google_Protobuf_Any()
        any.typeURL = "type.googleapis.com/\(type)"
        any.value = try message.serializedData()
        return any
    }

    @Test("expressions are texts, as others write them")
    func conditions() throws {
        // A RouteMatch of envoy.api.v2: regex, a header by regex_match, two parameters by value, one of them an expression.
        let octets = Data([
            0x1A, 0x07, 0x2F, 0x69, 0x5B, 0x30, 0x2D, 0x39, 0x5D, 0x32, 0x08, 0x0A, 0x01, 0x68, 0x2A, 0x03, 0x6F, 0x2E,
            0x65, 0x3A, 0x06, 0x0A, 0x01, 0x6B, 0x1A, 0x01, 0x76, 0x3A, 0x0B, 0x0A, 0x01, 0x6C, 0x1A, 0x02, 0x76, 0x2E,
            0x22, 0x02, 0x08, 0x01,
        ])
        let (route, gaps) = try self.compile { $0.match = try XDSRouteMatch(serializedBytes: octets) }
        guard case .request(let match) = route.match else { throw Problem() }
        #expect(match.paths.map(\.description) == ["~ \"\\A(?:/i[0-9])\\z\""])
        #expect(match.fields.map(\.description) == ["h ~ \"\\A(?:o.e)\\z\""])
        #expect(match.parameters.map(\.name) == [Array("k".utf8), Array("l".utf8)])
        #expect(match.parameters.flatMap(\.operators).map(\.description) == ["= \"v\"", "~ \"\\A(?:v.)\\z\""])
        #expect(gaps.isEmpty)
    }

    @Test("a parameter without a value has any, and a wrong expression refuses the table")
    func limits() throws {
        let (route, _) = try self.compile { $0.match.queryParameters = [.with { $0.name = "k" }] }
        guard case .request(let match) = route.match else { throw Problem() }
        #expect(match.parameters.map(\.operators.count) == [0])
        #expect(throws: ResourceMistake.self) { try self.compile { $0.match.regex = "(" } }
        #expect(throws: ResourceMistake.self) {
            try self.compile { $0.match.headers = [.with { ($0.name, $0.regexMatch) = ("h", "(") }] }
        }
        #expect(throws: ResourceMistake.self) {
            try self.compile { $0.match.headers = [.with { ($0.name, $0.prefixMatch) = ("h", "") }] }
        }
    }

    private static let fault = Google_Protobuf_Struct(fields: [
        "abort": Google_Protobuf_Value(
            structValue: Google_Protobuf_Struct(fields: [
                "http_status": Google_Protobuf_Value(numberValue: 555),
                "percentage": Google_Protobuf_Value(
                    structValue: Google_Protobuf_Struct(fields: ["numerator": Google_Protobuf_Value(numberValue: 40)])),
            ])),
        "delay": Google_Protobuf_Value(
            structValue: Google_Protobuf_Struct(fields: [
                "type": Google_Protobuf_Value(stringValue: "FIXED"),
                "fixed_delay": Google_Protobuf_Value(stringValue: "5s"),
                "percentage": Google_Protobuf_Value(
                    structValue: Google_Protobuf_Struct(fields: [
                        "numerator": Google_Protobuf_Value(numberValue: 5),
                        "denominator": Google_Protobuf_Value(stringValue: "TEN_THOUSAND"),
                    ])),
            ])),
    ])

    @Test("a fault stands in JSON, at the route, its target or its host")
    func plainFaults() throws {
        for level in 0..<3 {
            let (route, gaps) = try self.compile(host: {
                if level == 2 { $0.perFilterConfig["envoy.fault"] = Self.fault }
            }) {
                if level == 0 { $0.perFilterConfig["envoy.fault"] = Self.fault }
                guard level == 1 else { return }
                $0.route.weightedClusters.clusters = [
                    .with {
                        $0.name = "one"
                        $0.weight.value = 1
                        $0.perFilterConfig["envoy.fault"] = Self.fault
                    }
                ]
            }
            let fault = try #require(route.action?.fault)
            #expect(fault.abortStatus == 555 && fault.abortShare == 400_000)
            #expect(fault.delay == .seconds(5) && fault.delayShare == 500)
            #expect(gaps.isEmpty)
        }
        #expect(throws: ResourceMistake.self) {
            try self.compile {
                $0.perFilterConfig["envoy.fault"] = Google_Protobuf_Struct(fields: [
                    "abort": Google_Protobuf_Value(stringValue: "all")
                ])
            }
        }
    }

    @Test("a typed fault has the filter's old name")
    func typedFaults() throws {
        let (route, gaps) = try self.compile {
            let fault = XDSHTTPFault.with {
                $0.abort.httpStatus = 555
                $0.abort.percentage.numerator = 100
            }
            $0.typedPerFilterConfig["envoy.fault"] = try Self.any(fault, "envoy.config.filter.http.fault.v2.HTTPFault")
        }
        #expect(route.action?.fault?.abortStatus == 555)
        #expect(gaps.isEmpty)
    }

    @Test("a mirror gets copies, and a route that wants WebSockets takes them")
    func actions() throws {
        let (route, gaps) = try self.compile {
            $0.route.requestMirrorPolicy.cluster = "two"
            $0.route.useWebsocket.value = true
            $0.route.upgradeConfigs = [
                .with {
                    $0.upgradeType = "websocket"
                    $0.enabled.value = false
                }
            ]
        }
        #expect(route.mirrors.map(\.share) == [RouteFault.all])
        #expect(gaps.isEmpty)
        #expect(route.action?.extras.refusesUpgrades == false)
    }

    // MARK: Clusters

    @Test("a cluster has bare addresses")
    func hosts() throws {
        let cluster = try HeldCluster(
            .with {
                $0.name = "a"
                $0.type = .strictDns
                $0.lbPolicy = .originalDstLb
                $0.hosts = ["10.0.0.1", "b.test"].map { host in
                    .with {
                        $0.socketAddress.address = host
                        $0.socketAddress.portValue = 80
                    }
                }
            })
        guard case .written(let assignment) = cluster.source else { throw Problem() }
        #expect(assignment.members.map(\.place) == ["10.0.0.1:80", "b.test:80"])
        #expect(assignment.members.map(\.name) == [nil, "b.test"])
        #expect(cluster.gaps.isEmpty)
    }

    private static let context = XDSUpstreamTlsContext.with {
        $0.sni = "outbound_.80_._.a"
        $0.commonTlsContext.tlsCertificates = [
            .with {
                $0.certificateChain.filename = "/etc/certs/cert-chain.pem"
                $0.privateKey.filename = "/etc/certs/key.pem"
            }
        ]
        $0.commonTlsContext.validationContext.trustedCa.filename = "/etc/certs/root-cert.pem"
        $0.commonTlsContext.validationContext.verifySubjectAltName = ["spiffe://cluster.local/ns/default/sa/a"]
    }

    private static let tls = MeshTLS(
        .files(
            certificate: "/etc/certs/cert-chain.pem", key: "/etc/certs/key.pem",
            authorities: "/etc/certs/root-cert.pem"),
        serverName: "outbound_.80_._.a", names: ["spiffe://cluster.local/ns/default/sa/a"])

    @Test("TLS is a field of the cluster, or a socket with a message of the old name, or in JSON")
    func tls() throws {
        let json = try Google_Protobuf_Struct(jsonString: Self.context.jsonString())
        let old = try Self.any(Self.context, "envoy.api.v2.auth.UpstreamTlsContext")
        let edits: [(inout XDSCluster) -> Void] = [
            { $0.tlsContext = Self.context },
            { $0.transportSocket.typedConfig = old },
            {
                $0.transportSocket.name = "envoy.transport_sockets.tls"
                $0.transportSocket.config = json
            },
        ]
        for edit in edits {
            let cluster = try HeldCluster(
                .with {
                    $0.name = "a"
                    $0.type = .static
                    edit(&$0)
                })
            #expect(cluster.transport.tls(for: [:]) == Self.tls)
            #expect(cluster.gaps.isEmpty)
        }
    }

    private struct Problem: Error {}
}
