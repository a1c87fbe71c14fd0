// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct ServerAddressTests {
    @Test(
        "reads an address as people write it",
        arguments: [
            ("http://a:1", "http://a:1"), ("a:1", "http://a:1"), ("HTTP://a:1/", "http://a:1"), ("a", "http://a:80"),
            ("https://a.b-c", "https://a.b-c:443"), ("HTTPS://10.0.0.1:30100//", "https://10.0.0.1:30100"),
            (" http://a : 1", "http://a:1"), ("http://[::1]:30100", "http://[::1]:30100"), ("[::1]", "http://[::1]:80"),
            ("http://a:1/kie/", "http://a:1/kie"), ("http://u:p@a:1", "http://a:1"), ("http://u:p@q@a", "http://a:80"),
        ])
    func addresses(written: String, text: String) throws {
        let address = try ServerAddress(written)
        #expect(address.text == text)
        #expect(address.hadUser == written.contains("@"))
    }

    @Test(
        "what is none is a mistake, which shows no password",
        arguments: [
            "", "http://", "ftp://a:1", "http://a:1;http://b:2", "http://a?b=c", "http://a#b", "http://a:",
            "http://a:0",
            "http://a:70000", "http://a:+1", "http://[::1", "http://::1:1", "http://[a]:1", "http://u:secret@",
            "http://a b_:1",
            "ftp://u:secret@a:1", "http://-a:1", "http://u:secret@a:x",
        ])
    func mistakes(written: String) {
        #expect {
            _ = try ServerAddress(written)
        } throws: { error in
            (error as? ConfigMistake).map { !"\($0.problem) \($0.remedy)".contains("secret") } ?? false
        }
    }
}

@Suite struct RegistryNamesTests {
    @Test(
        "names that service-center takes",
        arguments: [
            ("cart", true), ("c", true), ("9-a.b_C", true), ("", false), ("bad_", false), ("x-", false),
            ("cart.", false),
            (".cart", false), ("a b", false), ("café", false), (String(repeating: "a", count: 128), true),
            (String(repeating: "a", count: 129), false),
        ])
    func names(name: String, isName: Bool) { #expect(RegistryNames.isName(name) == isName) }

    @Test(
        "versions that service-center takes",
        arguments: [
            ("1", true), ("1.0", true), ("0.0.1", true), ("1.2.3.4", true), ("32767.0", true), ("", false),
            ("1.", false),
            ("latest", false), ("1.0.0-rc1", false), ("32768", false), ("1.2.3.4.5", false), ("0+", false),
            ("+1", false),
            ("99999999999999999999", false),
        ])
    func versions(version: String, isVersion: Bool) { #expect(RegistryNames.isVersion(version) == isVersion) }
}

@Suite struct RegistrationCheckTests {
    private func problems(_ values: [String: String]) -> [String] {
        var source = ConfigSource(.files)
        let fixed = ["service_description.name": "cart", "cse.protocols.http.listenAddress": "127.0.0.1:30101"]
        for (key, value) in fixed.merging(values, uniquingKeysWith: { $1 }) {
            source.add(key, .text(value, ConfigLocation("f")))
        }
        var reader = ConfigReader(ConfigStore([source]))
        _ = MesherConfig(&reader)
        return reader.problems.map(\.description)
    }

    @Test(
        "what service-center would refuse for ever is told before",
        arguments: [
            ("service_description.name", "bad name!", "service-center takes no service"),
            ("service_description.version", "1.0.0-rc1", "service-center takes no version"),
            ("APPLICATION_ID", "shop_", "service-center takes no application"),
            ("region.name", "east", "nothing of the region is registered"),
            ("cse.service.registry.address", "http://u:secret@a:1", "are sent to nobody"),
            ("cse.service.registry.address", "http://a:1/v4", "has a path"),
        ])
    func refused(key: String, value: String, text: String) {
        let problems = self.problems([key: value])
        #expect(problems.count == 1 && problems.first?.contains(text) == true, "\(problems)")
        #expect(problems.allSatisfy { !$0.contains("secret") })
    }

    @Test("nothing is told of what is not registered there")
    func elsewhere() {
        #expect(self.problems([:]).isEmpty)
        for key in ["cse.service.registry.registrator.disabled", "cse.service.registry.disabled"] {
            #expect(self.problems([key: "true", "service_description.version": "1.0.0-rc1"]).isEmpty)
        }
        #expect(self.problems(["cse.service.registry.type": "file", "service_description.name": "a_"]).isEmpty)
    }

    @Test("a registry that nobody is registered at pushes nothing")
    func watch() {
        let problems = self.problems([
            "cse.service.registry.watch": "true", "cse.service.registry.registrator.disabled": "true",
        ])
        #expect(problems.count == 1 && problems.first?.contains("nothing is pushed") == true)
    }
}
