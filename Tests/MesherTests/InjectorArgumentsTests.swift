// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Testing

@testable import Mesher

/// The command line of the injector as manifests of the original have it.
@Suite struct InjectorArgumentsTests {
    @Test("one dash is as good as two, and what is klog's is left out")
    func normalized() throws {
        let arguments = [
            "injector", "-port=443", "-tlsCertFile", "/a", "--tlsKeyFile=/b", "-alsologtostderr", "-v=4", "-v", "2",
            "-stderrthreshold=INFO", "-kubeconfigfile=", "-webhookConfigName", "cfg", "-healthCheckInterval=1s",
        ]
        let normalized = CommandLineText.normalized(arguments)
        #expect(
            normalized == [
                "injector", "--port=443", "--tlsCertFile", "/a", "--tlsKeyFile=/b", "--webhookConfigName", "cfg",
                "--healthCheckInterval=1s",
            ])
        let command = try InjectorCommand.parse(Array(normalized.dropFirst()))
        #expect(command.port == 443 && command.certificates.certFile == "/a" && command.certificates.keyFile == "/b")
        #expect(command.healthCheckInterval == "1s" && command.certificates.webhookConfiguration == "cfg")
    }

    @Test("what nobody knows is refused")
    func unknown() {
        #expect(throws: (any Error).self) { try InjectorCommand.parse(["--ports=1"]) }
    }

    @Test("every option may have one dash")
    func options() {
        let help = InjectorCommand.helpMessage(includeHidden: true, columns: 200)
        let names = help.matches(of: /--([A-Za-z]+)/).map { String($0.1) }
        #expect(names.count > 12)
        for name in names { #expect(InjectorArguments.normalized(["-\(name)"]) == ["--\(name)"], "\(name)") }
    }
}
