// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Testing

@testable import RegistryBridge

@Suite struct KieTests {
    private func settings(_ text: String) throws(ConfigServerFailure) -> [String: String] {
        try KieAnswer.settings(Data(text.utf8))
    }

    @Test("reads an answer of kie")
    func answer() throws {
        let text = #"""
            {"total":3,"data":[
            {"id":"1","key":"servicecomb.routeRule.provider","value":"- precedence: 2\n  route:\n  - weight: 100\n","value_type":"yaml","labels":{"appId":"default"},"status":"enabled","create_revision":41,"update_revision":42,"create_time":1,"update_time":2},
            {"id":"2","key":"cse.loadbalance.strategy.name","value":"Random","status":"disabled"},
            {"id":"3","key":"cse.isolation.Consumer.timeoutInMilliseconds","value":100,"status":"enabled"}]}
            """#
        #expect(
            try self.settings(text) == [
                "servicecomb.routeRule.provider": "- precedence: 2\n  route:\n  - weight: 100\n",
                "cse.isolation.Consumer.timeoutInMilliseconds": "100",
            ])
    }

    @Test("of several documents of one key the smallest priority counts, wherever it stands")
    func priority() throws {
        let strong = #"{"key":"k","value":"strong","status":"enabled","priority":1}"#
        let weak = #"{"key":"k","value":"weak","status":"enabled","priority":2}"#
        let off = #"{"key":"k","value":"off","status":"disabled","priority":0}"#
        for order in [[strong, weak, off], [off, weak, strong]] {
            #expect(try self.settings(#"{"data":[\#(order.joined(separator: ","))]}"#) == ["k": "strong"])
        }
    }

    @Test(
        "nothing is an answer too",
        arguments: [#"{"total":0,"data":[]}"#, #"{"total":0,"data":null}"#, #"{"total":0}"#])
    func empty(text: String) throws { #expect(try self.settings(text).isEmpty) }

    @Test(
        "what makes no sense is no answer, and what it said is not repeated",
        arguments: [
            "", "null", "[]", "{}", "7", #"{"data":{}}"#, #"{"total":1}"#, #"{"data":[{"value":"secret"}]}"#,
            #"{"data":[{"key":7,"value":"secret"}]}"#, #"{"data":["secret"]}"#, #"{"data":[{"key":"secret"#,
            #"{"data":[{"key":"k","status":{"a":"secret"}}]}"#,
        ])
    func nonsense(text: String) {
        #expect {
            try self.settings(text)
        } throws: { error in
            (error as? ConfigServerFailure).map { !$0.text.contains("secret") } ?? false
        }
    }

    @Test(
        "kie says in its own words that there is nothing; what others say is nothing",
        arguments: [
            (#"{"error_msg":"can not find any key value"}"#, true),
            (#"{"error_code":"404","error_msg":"key not exists"}"#, true),
            (#"{"error_msg":"404 Route Not Found"}"#, false), (#"{"error_code":"404"}"#, false),
            (#"{"errorMessage":"no such record"}"#, false), (#"{"errorCode":"404002"}"#, false),
            (#"{"errorCode":"404002","errorMessage":"no such record"}"#, true), ("", false), ("{}", false),
            ("<html>Not Found</html>", false), ("404: Page Not Found", false),
            (#"{"message":"no route matched"}"#, false),
            (#"{"timestamp":1,"status":404,"error":"Not Found"}"#, false), (#"["error_msg"]"#, false),
            (#"{"error_msg":null}"#, false),
        ])
    func refusals(body: String, isKie: Bool) { #expect(KieAnswer.isRefusal(Data(body.utf8)) == isKie) }

    @Test("more documents than a sidecar can have use for are refused")
    func tooMany() {
        let documents = (0...SettingValue.limit).map { #"{"key":"\#($0)","status":"enabled"}"# }
        #expect(throws: ConfigServerFailure.self) {
            try self.settings(#"{"data":[\#(documents.joined(separator: ","))]}"#)
        }
    }

    @Test("asks as the original does")
    func target() {
        let path = "/v1/default/kie/kv"
        let application = [("appId", "default"), ("environment", "")]
        #expect(
            KieSource.target(path, application, revision: nil, wait: nil)
                == "/v1/default/kie/kv?revision=-1&match=exact&label=appId:default&label=environment:")
        let service = application + [("serviceName", "a b&c"), ("version", "0.0.1")]
        #expect(
            KieSource.target(path, service, revision: 7, wait: .seconds(10))
                == "/v1/default/kie/kv?revision=7&wait=10s&match=exact&label=appId:default&label=environment:"
                + "&label=serviceName:a%20b%26c&label=version:0.0.1")
    }
}

@Suite struct ConfigCenterTests {
    private func settings(_ text: String) throws(ConfigServerFailure) -> [String: String] {
        try ConfigCenterAnswer.settings(Data(text.utf8))
    }

    @Test("lays the dimensions over each other, the most special one last")
    func dimensions() throws {
        let text = #"""
            {"hello@default#0.0.1":{"a":"version"},"default":{"a":"app","b":"app","c":"app"},"revision":"7",
            "hello@default":{"a":"service","b":"service","d":null}}
            """#
        #expect(try self.settings(text) == ["a": "version", "b": "service", "c": "app"])
        #expect(try self.settings("{}").isEmpty)
    }

    @Test(
        "values are texts",
        arguments: [
            (#""x""#, "x"), ("true", "true"), ("7", "7"), ("0.5", "0.5"), (#"[1,"a/b"]"#, #"[1,"a/b"]"#),
            (#"{"b":1,"a":null}"#, #"{"a":null,"b":1}"#), ("null", nil),
        ] as [(String, String?)])
    func values(json: String, text: String?) throws {
        #expect(try self.settings(#"{"d":{"k":\#(json)}}"#)["k"] == text)
    }

    @Test("what makes no sense is no answer", arguments: ["", "[]", "7", #"{"d":7}"#, #"{"d":[]}"#, #"{"d":{"a""#])
    func nonsense(text: String) {
        #expect(throws: ConfigServerFailure.self) { try self.settings(text) }
    }
}

@Suite struct ConfigServerConfigTests {
    private func read(_ values: [String: String]) -> (config: ConfigServerConfig?, problems: [String]) {
        var source = ConfigSource(.files)
        for (key, value) in values { source.add("cse.config.client.\(key)", .text(value, ConfigLocation("f"))) }
        var reader = ConfigReader(ConfigStore([source]))
        return (ConfigServerConfig(&reader), reader.problems.map(\.description))
    }

    @Test("reads the client's keys")
    func reads() {
        let (config, problems) = self.read([
            "serverUri": "http://a:1/, b:2", "type": "servicecomb-kie", "refreshMode": "0", "refreshInterval": "10",
        ])
        #expect(problems.isEmpty)
        #expect(config?.addresses == ["http://a:1", "http://b:2"] && config?.kind == .kie)
        #expect(config?.isPushing == true && config?.interval == .seconds(10))
        #expect(self.read(["serverUri": "http://a:1"]).config?.kind == .configCenter)
    }

    @Test("no server is asked without an address, when it is off, or when it is Apollo")
    func none() {
        #expect(self.read([:]).config == nil && self.read([:]).problems.isEmpty)
        #expect(self.read(["serverUri": "http://a", "enabled": "false"]).config == nil)
        #expect(self.read(["serverUri": "http://a", "type": "apollo"]).problems.count == 1)
        #expect(self.read(["type": "kie"]).problems.count == 1)
    }

    @Test(
        "an address that is none is a mistake",
        arguments: ["ftp://a:1", "http://", "http://a?b=c", "http://u:p@a", "http://a,https://b"])
    func addresses(text: String) {
        #expect(self.read(["serverUri": text]).problems.count == 1, "\(self.read(["serverUri": text]))")
    }
}
