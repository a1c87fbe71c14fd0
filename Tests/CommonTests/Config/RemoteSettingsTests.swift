// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Logging
import Testing

private let server = "kie http://127.0.0.1:30110"
private let fields = "mesher.limits.requestHeaders"
private let line = "mesher.limits.requestLine"

private func remote(_ settings: [String: String]) -> ConfigSource { ConfigSource(remote: settings, from: server) }

@Suite struct RemoteSettingsTests {
    private let loader = ConfigLoader(
        arguments: .init(), environment: ["CHASSIS_CONF_DIR": "/nonexistent"], executableDirectory: "/nonexistent")

    private func local(_ values: [String: String] = [:]) -> ConfigStore {
        var files = ConfigSource(.files)
        let all = ["service_description.name": "web", "cse.service.registry.disabled": "true"].merging(values) { $1 }
        for (key, value) in all { files.add(key, .text(value, ConfigLocation("mesher.yaml", line: 1, column: 1))) }
        return ConfigStore([files])
    }

    private func examine(
        _ settings: [String: String], upon held: [String: String] = [:], over values: [String: String] = [:]
    ) -> ConfigLoader.Result {
        self.loader.examine(remote: remote(settings), upon: remote(held), local: self.local(values))
    }

    @Test("a setting wins over the files, and without it they count again")
    func wins() {
        let values = [fields: "20"]
        #expect(self.examine([fields: "12"], over: values).config.proxy.maxRequestHeaders == 12)
        let result = self.examine([:], upon: [fields: "12"], over: values)
        #expect(result.config.proxy.maxRequestHeaders == 20)
        #expect(result.store.plain == self.local(values).plain)
    }

    @Test("both spellings of a key are one")
    func spellings() {
        let result = self.examine(["servicecomb.loadbalance.strategy.name": "Random"])
        #expect(result.store.entry("cse.loadbalance.strategy.name")?.value.text == "Random")
    }

    @Test("a value that is a mistake is put aside: the last good one stays, or the files count")
    func mistakes() {
        let kept = self.examine([fields: "many", line: "1KiB"], upon: [fields: "12"], over: [fields: "20"])
        #expect(kept.config.proxy.maxRequestHeaders == 12 && kept.config.proxy.maxStartLine == 1024)
        #expect(!kept.hasErrors)
        #expect(
            kept.refused.map(\.description) == [
                "\(server), \(fields): \"many\" is not a number in the range; write 8 to 10000"
            ])
        let none = self.examine([fields: "many", line: "1KiB"], over: [fields: "20"])
        #expect(none.config.proxy.maxRequestHeaders == 20 && none.config.proxy.maxStartLine == 1024)
        #expect(none.store.remote.keysThatDiffer(from: remote([line: "1KiB"])).isEmpty)
    }

    @Test("rules that are no list are refused, and the old ones stay; weights below 100 are told of by the key's name")
    func rules() {
        let key = "cse.routeRule.cart"
        let old = "[{route: [{tags: {version: 1.0.0}, weight: 70}]}]"
        let result = self.examine([key: "{precedence: 1, route: [{tags: {version: 2.0.0}}]}"], upon: [key: old])
        #expect(
            result.refused.map(\.description) == [
                "\(server), \(key): a map stands where a list of rules belongs; write a list: - precedence: 1"
            ])
        #expect(result.config.rules.routes["cart"]?.routes.first?.targets.map(\.weight) == [70, 30])
        #expect(
            result.problems.map(\.description) == [
                "\(server), \(key): warning: the weights add up to 70: the other 30 % go to the newest version; "
                    + "make them add up to 100, or write {tags: {version: latest}, weight: 30}"
            ])
    }

    @Test("several mistakes at once, each with its own end")
    func severalMistakes() {
        let result = self.examine(
            [fields: "x", line: "y", "\(fields).z": "1", "mesher.limits.buffer": "8KiB"],
            upon: [fields: "9", line: "2KiB"])
        #expect(result.config.proxy.maxRequestHeaders == 9 && result.config.proxy.maxStartLine == 2048)
        #expect(result.config.proxy.buffer == 8192)
        #expect(Set(result.refused.map(\.key)) == [fields, line, "\(fields).z"])
    }

    @Test("a last value that makes no sense any more goes too")
    func heldMistake() {
        let result = self.examine([fields: "x"], upon: [fields: "y"], over: [fields: "20"])
        #expect(result.config.proxy.maxRequestHeaders == 20 && !result.hasErrors)
    }

    @Test("a mistake in the files is theirs, whatever the server says")
    func filesWithMistake() {
        let result = self.examine([fields: "12"], over: [fields: "many"])
        #expect(result.hasErrors && result.refused.isEmpty)
        #expect(result.problems.contains { $0.location.source == "mesher.yaml" })
    }

    @Test("what is read at a start has no effect, not even as a mistake")
    func restartKeys() {
        let result = self.examine(["mesher.workers": "7", "cse.service.registry.type": "nonsense"])
        #expect(result.config.workers == 0 && !result.hasErrors && result.refused.isEmpty)
        #expect(result.problems.count { $0.problem.hasPrefix("has no effect here") } == 2)
        #expect(result.store.remote.keysThatDiffer(from: remote([:])).isEmpty)
    }

    @Test("the application's own settings are none of our business, unknown ones of ours are named")
    func unknown() {
        let result = self.examine(["spring.application.name": "x", "mesher.timeouts.conect": "1s"])
        #expect(
            result.problems.map(\.description) == [
                "\(server), mesher.timeouts.conect: warning: unknown key; did you mean mesher.timeouts.connect?"
            ])
        #expect(result.store.remote.keysThatDiffer(from: remote([:])) == ["mesher.timeouts.conect"])
    }

    @Test("an unknown key among the limits is put aside")
    func unknownLimit() {
        let result = self.examine(["mesher.limits.bufer": "8KiB", "mesher.limits.connections": "7"])
        #expect(!result.hasErrors && result.config.proxy.maxConnections == 7)
        #expect(
            result.refused.map(\.description) == [
                "\(server), mesher.limits.bufer: unknown key; did you mean mesher.limits.buffer?"
            ])
    }

    @Test("a text with YAML is one value, whatever is in it")
    func texts() {
        let rules = "- precedence: 2\n  route:\n  - weight: 100\n    tags: {version: 1.0.0}\n"
        let result = self.examine(["servicecomb.routeRule.cart": rules])
        #expect(result.store.entry("cse.routeRule.cart")?.value.text == rules)
        #expect(result.refused.isEmpty)
    }
}

/// A component on a directory of its own.
private struct Running {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("config-\(UUID().uuidString)").path
    let inbox = Mailbox<ConfigMessage>("config", capacity: 2, whenFull: .dropNewest)
    let receiver = Mailbox<TrafficMessage>("egress", capacity: 8, whenFull: .dropOldest)
    let state: ConfigState
    private let task: Task<Void, any Error>

    init() throws {
        try FileManager.default.createDirectory(atPath: self.directory, withIntermediateDirectories: true)
        for (name, text) in [
            ("chassis", "cse: {service: {registry: {disabled: true}}}\n"),
            ("microservice", "service_description: {name: web}\n"), ("mesher", "\(fields): 20\n"),
        ] {
            try text.write(toFile: "\(self.directory)/\(name).yaml", atomically: true, encoding: .utf8)
        }
        let loader = ConfigLoader(
            arguments: .init(), environment: ["CHASSIS_CONF_DIR": self.directory], executableDirectory: "/nonexistent")
        self.state = ConfigState(loader.examine(), now: 0)
        let receiver = self.receiver
        let component = ConfigComponent(
            loader: loader, state: self.state, inbox: self.inbox,
            receivers: [{ receiver.send(.configurationChanged($0)) }],
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        self.task = Task { try await component.run() }
    }

    func write(_ text: String) throws {
        try text.write(toFile: "\(self.directory)/mesher.yaml", atomically: true, encoding: .utf8)
    }

    /// The most fields of a request, as the components of traffic are told next.
    func next() async -> Int? {
        guard case .configurationChanged(let config) = await self.receiver.receive() else { return nil }
        return config.proxy.maxRequestHeaders
    }

    func stop() async {
        self.task.cancel()
        _ = await self.task.result
        try? FileManager.default.removeItem(atPath: self.directory)
    }
}

@Suite(.timeLimit(.minutes(1))) struct ConfigComponentTests {
    @Test("settings of the server reach the components of traffic; what is bad keeps the last good value")
    func remoteChanged() async throws {
        let running = try Running()
        running.inbox.send(.remoteChanged(remote([fields: "12"])))
        #expect(await running.next() == 12)
        // Nothing but the bad value: nobody is told. The next message is that of the other key.
        running.inbox.send(.remoteChanged(remote([fields: "many"])))
        running.inbox.send(.remoteChanged(remote([fields: "many", line: "1KiB"])))
        #expect(await running.next() == 12)
        #expect(running.state.current.refused.map(\.key) == [fields])
        running.inbox.send(.remoteChanged(remote([:])))
        #expect(await running.next() == 20)
        #expect(running.state.current.refused.isEmpty)
        await running.stop()
    }

    @Test("files that are read again stay below the server, and broken ones do not keep its settings away")
    func filesAndServer() async throws {
        let running = try Running()
        running.inbox.send(.remoteChanged(remote([line: "1KiB"])))
        #expect(await running.next() == 20)
        try running.write("\(fields): 30\n")
        running.inbox.send(.reloadRequested)
        #expect(await running.next() == 30)
        #expect(running.state.current.config.proxy.maxStartLine == 1024)
        try running.write("\(fields): many\n")
        running.inbox.send(.reloadRequested)
        running.inbox.send(.remoteChanged(remote([fields: "12"])))
        #expect(await running.next() == 12)
        #expect(!running.state.isLastSuccessful)
        await running.stop()
    }
}
