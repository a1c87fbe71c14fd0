// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import AdminAPI

/// What `/v1/mesher/config` shows, and what it does not.
@Suite struct ConfigBodyTests {
    private func body(_ values: [(String, String)], environment: [String: String] = [:]) throws -> ConfigBody {
        var arguments = ConfigLoader.Arguments()
        arguments.values = values.map { (key: $0.0, option: "--\($0.0)", value: $0.1) }
        let loader = ConfigLoader(
            arguments: arguments, environment: environment.merging(["CHASSIS_CONF_DIR": "/nonexistent"]) { $1 },
            executableDirectory: "/nonexistent")
        return ConfigBody(try AdminSupport(configState: ConfigState(loader.examine(), now: 0)).state)
    }

    private func value(_ key: String, _ value: String) throws -> String? {
        try self.body([(key, value)]).settings.first { $0.key == key }?.value
    }

    @Test("every key has its value, where it comes from, and when a change takes effect")
    func settings() throws {
        let body = try self.body([("mesher.workers", "3"), ("servicecomb.service.name", "web")])
        func setting(_ key: String) -> ConfigBody.Setting? { body.settings.first { $0.key == key } }
        let workers = try #require(setting("mesher.workers"))
        #expect(workers.value == "3" && workers.source == "command line --mesher.workers")
        #expect(workers.active && workers.reload == "restart")
        #expect(setting("service_description.name")?.value == "web")
        let level = try #require(setting("logLevel"))
        #expect(level.value == "INFO" && level.source == "default" && level.reload == "live")
        let keys = body.settings.map(\.key)
        #expect(keys == keys.sorted() && Set(keys).count == keys.count)
    }

    @Test("what stands higher hides what stands lower, and the environment's own variables are nobody's business")
    func sources() throws {
        let body = try self.body(
            [("mesher.workers", "3")], environment: ["mesher_workers": "5", "HOME": "/root", "logLevel": "ERROR"])
        let workers = try #require(body.settings.first { $0.key == "mesher.workers" })
        #expect(workers.value == "3" && workers.source.hasPrefix("command line"))
        let level = try #require(body.settings.first { $0.key == "logLevel" })
        #expect(level.value == "ERROR" && level.source == "environment variable logLevel")
        #expect(!body.settings.contains { $0.key == "HOME" })
    }

    @Test("a key that nobody reads is shown, and does not count")
    func unknown() throws {
        let body = try self.body([("mesher.wrokers", "3")])
        let setting = try #require(body.settings.first { $0.key == "mesher.wrokers" })
        #expect(setting.value == "3" && !setting.active)
        #expect(body.problems.contains { $0.key == "mesher.wrokers" && $0.remedy.contains("mesher.workers") })
    }

    @Test(
        "nobody is shown a secret",
        arguments: [
            "mesher.admin.token", "cse.credentials.account.password", "cse.credentials.accessKey",
            "cse.credentials.secretKey", "cse.config.client.token", "my.dbPassword", "my.clientSecret", "a.Credentials",
        ])
    func secrets(key: String) throws {
        #expect(try self.value(key, "hunter2") == "******")
        // That there is none is no secret.
        #expect(try self.value(key, "") == "")
    }

    @Test("the files that secrets are in are no secret")
    func files() throws {
        #expect(try self.value("ssl.registry.Consumer.certPwdFile", "/etc/pwd") == "/etc/pwd")
        #expect(try self.value("my.passwordFile", "/etc/pwd") == "/etc/pwd")
    }

    @Test(
        "nobody is shown the password in a URL",
        arguments: [
            ("http://h:30100", "http://h:30100"), ("http://u:p@h:30100/a@b", "http://******@h:30100/a@b"),
            ("http://u:p@h:1,http://v:q@i:2", "http://******@h:1,http://******@i:2"),
            ("http://h:1,http://v:q@i:2", "http://h:1,http://******@i:2"), ("http://u:p@ss@h", "http://******@h"),
            ("http://h/a@b", "http://h/a@b"), ("http://h?a@b", "http://h?******"), ("token@h", "token@h"), ("", ""),
        ])
    func urls(value: String, shown: String) throws {
        #expect(try self.value("cse.service.registry.address", value) == shown)
        #expect(try self.value("tracing.settings.URI", value) == shown)
    }

    @Test("mistakes are shown as they are told at the start")
    func problems() throws {
        let body = try self.body([("mesher.workers", "many")])
        let problem = try #require(body.problems.first { $0.key == "mesher.workers" })
        #expect(problem.severity == "error" && problem.location == "command line --mesher.workers")
        #expect(problem.problem == "\"many\" is not a number in the range" && problem.remedy == "write 0 to 1024")
        #expect(body.lastReloadSuccessful)
    }

    @Test("where there are no files there are the defaults")
    func noFiles() throws {
        let body = ConfigBody(try AdminSupport().state)
        #expect(body.settings.allSatisfy { $0.source == "default" && $0.active } && body.settings.count > 50)
        #expect(body.problems.isEmpty)
    }

    private func state(_ values: [(String, String)]) -> ConfigLoader.Result {
        var arguments = ConfigLoader.Arguments()
        arguments.values = values.map { (key: $0.0, option: "--\($0.0)", value: $0.1) }
        let loader = ConfigLoader(
            arguments: arguments, environment: ["CHASSIS_CONF_DIR": "/nonexistent"], executableDirectory: "/nonexistent"
        )
        return loader.examine()
    }

    @Test("the document is made again whenever the configuration is other")
    func document() throws {
        let config = ConfigState(self.state([("mesher.workers", "3")]), now: 0)
        let state = try AdminSupport(configState: config).state
        func text() throws -> String { String(buffer: try state.configDocument.buffer(state)) }
        let first = try text()
        #expect(try text() == first && first.contains("\"lastReloadSuccessful\":true"))
        config.fail()
        #expect(try text().contains("\"lastReloadSuccessful\":false"))
        config.adopt(self.state([("mesher.workers", "4")]))
        #expect(try text().contains("command line --mesher.workers\",\"value\":\"4\""))
        config.succeed(with: self.state([("mesher.workers", "5")]), now: 1)
        #expect(try text().contains("command line --mesher.workers\",\"value\":\"5\""))
    }

    @Test("many who ask for thousands of keys have them made once")
    func manyQuestions() throws {
        let keys = (0..<2000).map { ("own.key\($0)", "1") }
        let state = try AdminSupport(configState: ConfigState(self.state(keys), now: 0)).state
        let start = ContinuousClock.now
        for _ in 0..<2000 { _ = try state.configDocument.buffer(state) }
        // Made for each of them it would be minutes.
        #expect(ContinuousClock.now - start < .seconds(10))
    }
}
