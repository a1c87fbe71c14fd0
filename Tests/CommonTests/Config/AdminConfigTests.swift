// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct AdminConfigTests {
    private func read(_ yaml: String) throws -> (config: AdminConfig, problems: [String]) {
        var source = ConfigSource(.files)
        source.add(try ConfigTree(yaml: yaml, source: "mesher.yaml"))
        var reader = ConfigReader(ConfigStore([source]))
        let config = AdminConfig(&reader)
        return (config, reader.problems.map(\.description))
    }

    @Test("without a word nothing can be changed, and nothing beside the admin API is served")
    func defaults() throws {
        let (config, problems) = try self.read("")
        #expect(problems.isEmpty && config.token.isEmpty && config.hosts.isEmpty)
        #expect(!config.hasRuntimeMetrics && config.hasCircuitMetrics)
        #expect(config.metricsPath == nil && config.profilePath == nil && config.profiling == nil)
    }

    @Test("token and hosts")
    func own() throws {
        let (config, problems) = try self.read("mesher: {admin: {token: t0p, hosts: [a.example, b.example]}}")
        #expect(problems.isEmpty && config.token == "t0p" && config.hosts == ["a.example", "b.example"])
        #expect(try self.read("mesher.admin.hosts: 'a.example,b.example'").config.hosts == ["a.example", "b.example"])
    }

    // MARK: Profiles

    @Test(
        "profiles are served on loopback alone",
        arguments: [
            ("{enable: true}", "127.0.0.1:6060"), ("{enable: true, listen: '127.0.0.1:7070'}", "127.0.0.1:7070"),
            ("{enable: true, listen: '127.1.2.3:7070'}", "127.1.2.3:7070"),
            ("{enable: true, listen: '[::1]:6060'}", "[::1]:6060"), ("{enable: false}", nil),
            ("{listen: '127.0.0.1:6060'}", nil), ("{enable: false, listen: '[::1]:6060'}", nil),
        ] as [(String, String?)])
    func profiling(yaml: String, address: String?) throws {
        let (config, problems) = try self.read("pprof: \(yaml)")
        #expect(problems.isEmpty && config.profiling?.description == address)
    }

    private static let mistakes = [
        ("127.0.0.0.1:6060", "IP format error, input is [127.0.0.0.1:6060]"),
        ("localhost:6060", "IP format error, input is [localhost:6060]"),
        ("127.0.0.1", "\"127.0.0.1\" is no listen address"),
        ("127.0.0.1:99999", "\"127.0.0.1:99999\" is no listen address"),
        ("0.0.0.0:6060", "\"0.0.0.0:6060\" is no loopback address"),
        ("10.1.2.3:6060", "\"10.1.2.3:6060\" is no loopback address"),
        ("[::]:6060", "\"[::]:6060\" is no loopback address"),
    ]

    @Test("another address is an error that names file, key and remedy", arguments: mistakes)
    func refused(listen: String, problem: String) throws {
        let (_, problems) = try self.read("pprof:\n  enable: true\n  listen: '\(listen)'\n")
        #expect(problems == ["mesher.yaml:3:11: pprof.listen: \(problem); write 127.0.0.1:6060"])
    }

    @Test("as long as nobody is served there it is a warning", arguments: mistakes, ["", "  enable: false\n"])
    func warned(mistake: (String, String), enable: String) throws {
        let (config, problems) = try self.read("pprof:\n\(enable)  listen: '\(mistake.0)'\n")
        let line = enable.isEmpty ? 2 : 3
        #expect(
            problems == ["mesher.yaml:\(line):11: warning: pprof.listen: \(mistake.1); write 127.0.0.1:6060"])
        #expect(config.profiling == nil)
    }

    // MARK: Paths

    @Test(
        "the framework's paths, where they are switched on",
        arguments: [
            ("cse.metrics.enable: true", "/metrics", nil), ("cse.profile.enable: true", nil, "/profile"),
            ("{cse.metrics.enable: true, cse.metrics.apiPath: /m/n/}", "/m/n", nil),
            ("{cse.profile.enable: true, cse.profile.apiPath: /p}", nil, "/p"),
            ("{cse.metrics.apiPath: /m, cse.profile.apiPath: /p}", nil, nil),
            ("{servicecomb.metrics.enable: true, servicecomb.metrics.apiPath: /m}", "/m", nil),
        ] as [(String, String?, String?)])
    func paths(yaml: String, metrics: String?, profile: String?) throws {
        let (config, problems) = try self.read(yaml)
        #expect(problems.isEmpty && config.metricsPath == metrics && config.profilePath == profile)
    }

    @Test("what is no path is a mistake", arguments: ["metrics", "/", "", "/a b"])
    func noPath(path: String) throws {
        let (_, problems) = try self.read("{cse.metrics.enable: true, cse.metrics.apiPath: '\(path)'}")
        #expect(
            problems == [
                "mesher.yaml:1:49: cse.metrics.apiPath: \"\(path)\" is no path; write one such as /metrics"
            ])
    }

    // MARK: Metrics

    @Test(
        "admin.goRuntimeMetrics counts, and the framework's key where it is absent",
        arguments: [
            (nil, nil, false), (true, nil, true), (false, nil, false), (nil, true, true), (nil, false, false),
            (false, true, false), (true, false, true), (true, true, true),
        ] as [(Bool?, Bool?, Bool)])
    func runtimeMetrics(own: Bool?, framework: Bool?, expected: Bool) throws {
        var yaml = "x: y\n"
        if let own { yaml += "admin: {goRuntimeMetrics: \(own)}\n" }
        if let framework { yaml += "cse: {metrics: {enableGoRuntimeMetrics: \(framework)}}\n" }
        let (config, problems) = try self.read(yaml)
        #expect(problems.isEmpty && config.hasRuntimeMetrics == expected)
    }

    @Test("metrics of circuits can be switched off")
    func circuitMetrics() throws {
        #expect(try !self.read("cse.metrics.enableCircuitMetrics: false").config.hasCircuitMetrics)
    }
}
