// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common

/// The program.
@main
enum Program {
    static func main() async {
        NameResolver.adaptToPod()
        let arguments = CommandLineText.normalized(Array(CommandLine.arguments.dropFirst()))
        if let script = Completions.script(arguments) { return print(script, terminator: "") }
        await MesherCommand.main(arguments)
    }
}

/// `mesher`: the commands.
struct MesherCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mesher",
        abstract: "A service-mesh sidecar: discovery, load balancing and resilience for services in any language.",
        discussion: """
            The service sets http_proxy=http://127.0.0.1:30101 and calls others by
            name.

            Examples:
              mesher quickstart   a sidecar and a demo service, to try it out
              mesher dev dev.yaml sidecars for the services you work on, from one file
              mesher registry     a registry for this machine
              mesher injector     sidecars for the pods of a Kubernetes cluster
              mesher inject -f shop.yaml   a manifest of Kubernetes with sidecars
              mesher check        what is wrong with the configuration
              mesher config       what holds, and where it is written
              mesher explain GET http://cart/   what becomes of a request, and why
              mesher top          what traffic is like, live
              mesher tap cart     calls of a service as they end
              mesher operate disable cart 10.0.0.5:8080   no requests to this instance
              mesher drain        take the sidecar out of service, before it is stopped
              mesher              the sidecar that conf/ beside the binary describes
              mesher --config /etc/mesher/mesher.yaml --service-ports rest:8080
              mesher --cse.protocols.http.listenAddress=10.1.2.3:30101

            Completions for the shell:
              mesher --generate-completion-script bash > ~/.mesher-completion
            """,
        version: "mesher \(BuildInfo.sourceVersion)",
        subcommands: [
            RunCommand.self, CheckCommand.self, ConfigCommand.self, ExplainCommand.self, TopCommand.self,
            TapCommand.self, OperateCommand.self, DrainCommand.self, QuickstartCommand.self, DevCommand.self,
            RegistryCommand.self, InjectorCommand.self, InjectCommand.self, VersionCommand.self, ReferenceCommand.self,
        ],
        defaultSubcommand: RunCommand.self)
}
