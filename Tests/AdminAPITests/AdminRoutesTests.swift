// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import HTTPTypes
import Hummingbird
import Serving
import Synchronization
import TestSupport
import Testing

@testable import AdminAPI

/// What the endpoints of the admin API answer.
@Suite struct AdminRoutesTests {
    @Test("probes tell what is missing")
    func probes() async throws {
        let support = try AdminSupport()
        #expect(try await support.table.ask(.get, "/healthz").text == "ok\n")
        let before = try await support.table.ask(.get, "/readyz")
        #expect(before.status == 503 && before.text == "not ready: registry\n")
        support.readiness.set(.registry)
        #expect(try await support.table.ask(.get, "/readyz").text == "ready\n")
        support.readiness.beginDraining()
        #expect(try await support.table.ask(.get, "/readyz").text == "not ready: draining\n")
    }

    @Test("health is red, with 500, while the registry has not taken the instance")
    func health() async throws {
        let green = try await AdminSupport().table.ask(.get, "/v1/mesher/health")
        #expect(green.status == 200 && green.type == "application/json")
        #expect(
            try sorted(green.body)
                == sorted(
                    """
                    {"serviceName": "web", "version": "0.0.1", "status": "green", "connectedConfigCenterClient": false,
                     "connectedMonitoring": false, "localHealthCheck": []}
                    """.utf8))
        let red = try await AdminSupport(registrationFailure: "no instance found").table.ask(.get, "/v1/mesher/health")
        let members = try object(red.body)
        #expect(red.status == 500 && members["status"] as? String == "red")
        #expect(members["error"] as? String == "no instance found")
    }

    @Test("metrics come in the format that is asked for")
    func metrics() async throws {
        let support = try AdminSupport()
        let text = try await support.table.ask(.get, "/v1/mesher/metrics")
        #expect(text.type == "text/plain; version=0.0.4; charset=utf-8" && !text.text.contains("# EOF"))
        #expect(text.text.contains("start_time_seconds{app=\"shop\",service_name=\"web\",version=\"1.0\"} 0\n"))
        let open = try await support.table.ask(
            .get, "/v1/mesher/metrics", [.accept: "application/openmetrics-text; version=1.0.0"])
        #expect(open.type == "application/openmetrics-text; version=1.0.0; charset=utf-8")
        #expect(open.text.hasSuffix("# EOF\n"))
    }

    @Test("the framework's paths are there where they are configured")
    func framework() async throws {
        let plain = try AdminSupport().table
        for path in ["/metrics", "/profile", "/profile/route-rule", "/profile/discovery"] {
            #expect(try await plain.ask(.get, path).status == 404)
        }
        let yaml = "{cse.metrics.enable: true, cse.metrics.apiPath: /m, cse.profile.enable: true}"
        let table = try AdminSupport(yaml).table
        for path in ["/m", "/profile", "/profile/route-rule", "/profile/discovery"] {
            #expect(try await table.ask(.get, path).status == 200)
        }
    }

    @Test("known instances are shown as the framework has them")
    func discovery() async throws {
        let instance = Instance(
            id: "i1", version: "1.2", app: "shop", status: .testing, properties: ["zone": "a"],
            endpoints: [try Endpoint("rest://10.0.0.5:8080"), try Endpoint("grpc://[fd00::1]:9000")], region: "r",
            zone: "z")
        let directory = ServiceDirectory(
            [Service(name: "cart", instances: [instance], ownApp: "shop")], isSynced: true)
        let table = try AdminSupport("cse.profile.enable: true", directory: directory).table
        let expected = """
            {"cart": [{"InstanceID": "i1", "ServiceID": "cart", "HostName": "10.0.0.5", "Status": "TESTING",
                       "App": "shop", "Version": "1.2",
                       "EndpointsMap": {"rest": "10.0.0.5:8080", "grpc": "[fd00::1]:9000"},
                       "Metadata": {"zone": "a", "version": "1.2", "app": "shop"},
                       "DataCenterInfo": {"Region": "r", "AvailableZone": "z"}}]}
            """
        #expect(try sorted(try await table.ask(.get, "/profile/discovery").body) == sorted(expected.utf8))
        #expect(
            try sorted(try await table.ask(.get, "/profile").body)
                == sorted("{\"routeRule\": {}, \"discovery\": \(expected)}".utf8))
    }

    @Test("certificates are shown, by themselves and beside what traffic is like")
    func certificates() async throws {
        let none = try AdminSupport().table
        #expect(try await none.ask(.get, "/v1/mesher/certificates").text == #"{"certificates":[]}"#)
        let report = CertificateReport(
            tag: "web.rest.Provider", role: "listener of incoming HTTP", source: "/c.crt", subject: "web",
            names: ["web", "spiffe://mesh/web"], notBefore: 5, notAfter: 9, error: "the certificate has expired")
        let expected = """
            [{"tag": "web.rest.Provider", "role": "listener of incoming HTTP", "source": "/c.crt", "subject": "web",
              "names": ["web", "spiffe://mesh/web"], "notBefore": 5, "notAfter": 9, "renews": false,
              "error": "the certificate has expired"}]
            """
        let table = try AdminSupport(certificates: [report]).table
        #expect(
            try sorted(try await table.ask(.get, "/v1/mesher/certificates").body)
                == sorted("{\"certificates\": \(expected)}".utf8))
        let traffic = try object(try await table.ask(.get, "/v1/mesher/traffic").body)
        #expect((traffic["certificates"] as? [[String: Any]])?.first?["notAfter"] as? Int == 9)
    }

    @Test("the traffic document names the registries, also those that cannot be away")
    func registries() async throws {
        for isSynced in [false, true] {
            let table = try AdminSupport(directory: ServiceDirectory([], isSynced: isSynced)).table
            let document = try object(try await table.ask(.get, "/v1/mesher/traffic").body)
            let registries = try #require(document["registries"] as? [[String: Any]])
            #expect(registries.map { $0["name"] as? String } == ["file"])
            #expect(registries.map { $0["synced"] as? Bool } == [isSynced])
        }
    }

    // MARK: Changes

    @Test("the level of the log is changed by whoever has the token")
    func logLevel() async throws {
        let path = "/v1/mesher/log-level"
        let table = try AdminSupport("mesher.admin.token: t0p").table
        func put(_ body: String, _ token: String?) async throws -> Answer {
            try await table.ask(.put, path, token.map { [.authorization: $0] } ?? [:], body: body)
        }
        #expect(try await table.ask(.get, path).text == #"{"level":"INFO"}"#)
        for token in [nil, "", "t0p", "Bearer", "Bearer t0", "Bearer t0px", "Bearer T0P", "bearer t0p"] {
            #expect(try await put("DEBUG", token).status == 401)
        }
        #expect(try await table.ask(.get, path).text == #"{"level":"INFO"}"#)
        #expect(try await put("DEBUG\n", "Bearer t0p").text == #"{"level":"DEBUG"}"#)
        #expect(try await table.ask(.get, path).text == #"{"level":"DEBUG"}"#)
        #expect(try await put(#"{"level":"warn"}"#, "Bearer t0p").text == #"{"level":"WARN"}"#)
        for body in ["", "loud", #"{"level":"loud"}"#, #"{"level":1}"#, String(repeating: "a", count: 5000)] {
            #expect(try await put(body, "Bearer t0p").status == 400)
        }
        #expect(try await table.ask(.get, path).text == #"{"level":"WARN"}"#)
    }

    @Test("the sidecar is taken out of service by whoever has the token, and stays so")
    func drain() async throws {
        let path = "/v1/mesher/drain"
        let support = try AdminSupport("mesher.admin.token: t0p")
        for token in ["", "Bearer t0", "t0p"] {
            #expect(try await support.table.ask(.post, path, [.authorization: token]).status == 401)
        }
        #expect(try await support.table.ask(.get, path, [.authorization: "Bearer t0p"]).status == 405)
        #expect(!support.readiness.isDraining)
        for _ in 0..<2 {
            let answer = try await support.table.ask(.post, path, [.authorization: "Bearer t0p"])
            let members = try object(answer.body)
            #expect(answer.status == 200 && members["draining"] as? Bool == true && members["for"] is Double)
            #expect(support.readiness.isDraining && !support.readiness.isStopping)
        }
    }

    @Test("operations are carried out for whoever has the token, and shown to everybody")
    func operations() async throws {
        let path = "/v1/mesher/operations"
        let asked = Mutex<[OperatorRequest]>([])
        let operate = { @Sendable (request: OperatorRequest) throws(OperatorRefusal) in
            asked.withLock { $0.append(request) }
            switch request.service {
            case "nobody": throw OperatorRefusal(.unknown, "no service nobody is known")
            case "much": throw OperatorRefusal(.full, "1000 decisions are in force")
            case "": throw OperatorRefusal(.invalid, "service is missing: name one")
            default: break
            }
            var answer = OperatorAnswer(request)
            answer.changed = true
            return answer
        }
        let support = try AdminSupport("mesher.admin.token: t0p", operate: operate)
        func post(_ body: String, _ token: String = "Bearer t0p") async throws -> Answer {
            try await support.table.ask(.post, path, [.authorization: token], body: body)
        }
        #expect(try await support.table.ask(.get, path).text == #"{"operations":[]}"#)
        let disable = #"{"action":"disable","service":"cart","instance":"10.0.0.1:80"}"#
        #expect(try await post(disable, "Bearer guessed").status == 401 && asked.withLock { $0 }.isEmpty)
        let members = try object(try await post(disable).body)
        #expect(members["action"] as? String == "disable" && members["changed"] as? Bool == true)
        let reset = #"{"action":"reset-circuit","service":"cart","app":"shop"}"#
        #expect(try await post(reset).status == 200)
        #expect(
            asked.withLock { $0 } == [
                OperatorRequest(.disable, "cart", instance: "10.0.0.1:80"),
                OperatorRequest(.resetCircuit, "cart", app: "shop"),
            ])
        for (service, status) in [("nobody", 404), ("much", 409), ("", 400)] {
            #expect(try await post(#"{"action":"enable","service":"\#(service)"}"#).status == status)
        }
        for body in ["", "[]", "{}", #"{"action":"disable"}"#, #"{"action":1,"service":"cart"}"#, "disable"] {
            let answer = try await post(body)
            #expect(answer.status == 400 && answer.text.contains("reset-ejection"), "\(answer.text)")
        }
        let unknown = try await post(#"{"action":"kill","service":"cart"}"#)
        #expect(unknown.status == 400 && unknown.text.contains("no action is called kill"))
    }

    @Test("without a token nothing can be changed by anybody")
    func noToken() async throws {
        let table = try AdminSupport().table
        for token in ["Bearer ", "Bearer", ""] {
            let answer = try await table.ask(.put, "/v1/mesher/log-level", [.authorization: token], body: "DEBUG")
            #expect(answer.status == 403 && answer.text.contains("mesher.admin.token is not set"))
            let disable = #"{"action":"disable","service":"cart","instance":"10.0.0.1:80"}"#
            let order = try await table.ask(
                .post, "/v1/mesher/operations", [.authorization: token], body: disable)
            #expect(order.status == 403)
            let drain = try await table.ask(.post, "/v1/mesher/drain", [.authorization: token])
            #expect(drain.status == 403 && drain.text.contains("mesher.admin.token is not set"))
        }
    }

    @Test("a question that is none is the asker's mistake")
    func explain() async throws {
        for body in ["", "{}", "GET /"] {
            #expect(try await AdminSupport().table.ask(.post, "/v1/mesher/explain", body: body).status == 400)
        }
    }

    @Test("the machine's and the service's name, and those that are configured, may be asked by")
    func hosts() async throws {
        let table = try AdminSupport("mesher.admin.hosts: [mesh.example]").table
        let machine = ProcessInfo.processInfo.hostName
        for host in ["web", "machine:30102", "mesh.example", "10.0.0.1:30102", machine] {
            #expect(try await table.ask(.get, "/healthz", host: host).status == 200)
        }
        #expect(try await table.ask(.get, "/healthz", host: "evil.example").status == 403)
    }

    // MARK: OpenAPI

    @Test("the OpenAPI document has every endpoint, with its parameters and types")
    func openAPI() async throws {
        let table = try AdminSupport("{cse.metrics.enable: true, cse.profile.enable: true}").table
        let answer = try await table.ask(.get, "/openapi.json")
        let document = try object(answer.body)
        #expect(answer.type == "application/json" && document["openapi"] as? String == "3.1.0")
        let paths = try #require(document["paths"] as? [String: [String: [String: Any]]])
        let endpoints = table.endpoints
        #expect(endpoints.count > 15 && paths.values.reduce(0) { $0 + $1.count } == endpoints.count)
        for endpoint in endpoints {
            let operation = try #require(paths[endpoint.path]?[endpoint.method.rawValue.lowercased()])
            #expect(operation["summary"] as? String == endpoint.summary && !endpoint.summary.isEmpty)
            let responses = try #require(operation["responses"] as? [String: [String: Any]])
            #expect((responses["200"]?["content"] as? [String: Any])?.keys.sorted() == [endpoint.content])
            #expect(responses["default"] != nil)
            // What changes something needs the token.
            let asks = endpoint.method == .get || endpoint.path == "/v1/mesher/explain"
            #expect((operation["security"] != nil) == !asks)
            let parameters = operation["parameters"] as? [[String: Any]] ?? []
            let names = endpoint.path.contains("{service}") ? ["service"] : []
            #expect(parameters.filter { $0["in"] as? String == "path" }.map { $0["name"] as? String } == names)
            let queries = parameters.filter { $0["in"] as? String == "query" }
            #expect(queries.map { $0["name"] as? String } == endpoint.queries.map(\.name))
            #expect(parameters.allSatisfy { ($0["required"] as? Bool) == ($0["in"] as? String == "path") })
        }
    }

    @Test("the OpenAPI document says that a tap needs the token where there is one")
    func openAPIOfATap() async throws {
        for (yaml, isGuarded) in [("", false), ("mesher.admin.token: t0p", true)] {
            let document = try object(try await AdminSupport(yaml).table.ask(.get, "/openapi.json").body)
            let paths = document["paths"] as? [String: [String: [String: Any]]]
            let tap = try #require(paths?["/v1/mesher/tap"]?["get"])
            #expect((tap["security"] != nil) == isGuarded)
        }
    }
}
