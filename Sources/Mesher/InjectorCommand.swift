// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import FoundationEssentials
import Injector
import Logging
import NIOCore
import NIOPosix
import Proxy
import ServiceLifecycle
import TLS

/// `mesher injector`: gives pods their sidecars when they are made.
struct InjectorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "injector", abstract: "Give pods of Kubernetes their sidecars: a mutating admission webhook.",
        discussion: """
            Serves POST /webhookmutation and /inject over TLS. A pod of which
            sidecar.mesher.io/inject is yes gets a sidecar; each decision is one line
            of the log, with the number of the rule that it follows. Without files of
            a certificate it makes its own, keeps it in a Secret that all replicas
            share, and writes its authority into the webhook's configuration. Files
            are read again when they change. Options may be written with one dash;
            those of klog are ignored.

            Examples:
              mesher injector --healthPort=8080
              mesher injector --kubeconfigfile=$HOME/.kube/config --namespace=mesh
              mesher injector --tlsCertFile=tls.crt --tlsKeyFile=tls.key --port=9443
              mesher injector --image=registry.example.org/mesher:0.1.0
              mesher injector --printTemplate > sidecar_k8s_spec.yaml
              mesher injector --sidecarCfgFile=sidecar_k8s_spec.yaml
            """)

    private static let folder = "/etc/webhook/mesher"

    @Option(name: .customLong("port"), help: ArgumentHelp("Where the API server is served.", valueName: "port"))
    var port = 8443

    @Option(
        name: .customLong("healthPort"),
        help: ArgumentHelp("Where probes and metrics are served, in clear; default: nowhere.", valueName: "port"))
    var healthPort: Int?

    @Option(
        name: .customLong("address"),
        help: ArgumentHelp("The IP address of both; default: every one.", valueName: "ip"))
    var address: String?

    @Option(
        name: .customLong("sidecarCfgFile"),
        help: ArgumentHelp(
            "The template of sidecars; default: \(InjectorCommand.folder)/config/sidecar_k8s_spec.yaml, else a built-in one.",
            valueName: "file"),
        completion: Completions.files)
    var templateFile: String?

    @Option(
        name: .customLong("image"),
        help: ArgumentHelp("The sidecar's image in the built-in template.", valueName: "image"))
    var image = "mesher:\(BuildInfo.sourceVersion)"

    @Option(
        name: .customLong("namespace"),
        help: ArgumentHelp("The injector's own, whose pods get no sidecar; default: the pod's.", valueName: "name"))
    var namespace: String?

    @Option(
        name: .customLong("kubernetesVersion"),
        help: ArgumentHelp(
            "Of the API server: from 1.32 on, sidecars are native ones where nobody says otherwise; default: as it says, if it may be asked.",
            valueName: "version"))
    var kubernetesVersion: String?

    @Option(
        name: .customLong("healthCheckInterval"),
        help: ArgumentHelp("How often the health file is written, such as 1s; 0: never.", valueName: "duration"))
    var healthCheckInterval = "0"

    @Option(
        name: .customLong("healthCheckFile"),
        help: ArgumentHelp("The health file: ok is written there while the injector is ready.", valueName: "file"))
    var healthCheckFile: String?

    @Flag(name: .customLong("printTemplate"), help: "Print the built-in template, and end.")
    var printTemplate = false

    @OptionGroup(title: "Certificate and API server") var certificates: InjectorCertificates

    func run() async throws {
        if self.printTemplate { return print(BuiltInTemplate.yaml(image: self.image), terminator: "") }
        var settings = LogSettings()
        settings.level = .info
        let logs = LogOutput(settings)
        LoggingSystem.bootstrap { MesherLogHandler(label: $0, output: logs) }
        let logger = Logger(label: MesherLogHandler.plainLabel)
        defer { logs.flush() }
        let (address, healthAddress) = (
            try Self.address(self.address, self.port, "--port"),
            try self.healthPort.map { try Self.address(self.address, $0, "--healthPort") }
        )
        let healthFileInterval = try self.healthFileInterval
        let policy = try self.policy(logger)
        try await Port.check(self.port, of: address.host, option: "--port")
        if let healthAddress {
            try await Port.check(healthAddress.port, of: healthAddress.host, option: "--healthPort")
        }
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let certificates = try self.certificates.source(
            namespace: self.ownNamespace, loops: loops, logger: logger)
        let material = certificates.material
        let registry = MetricsRegistry(startTime: ProcessClock.startTime, own: MetricLabels())
        let metrics = InjectorMetrics(registry)
        metrics.showExpiry { material.expiry }
        let state = InjectorState(
            policy, metrics: metrics, logger: logger, waitsFor: certificates.files == nil ? [.certificate] : [])
        var supervisor = Supervisor(logger: logger)
        // Stopped in the reverse order: probes are answered to the last.
        if let healthAddress {
            self.serve(.health, at: healthAddress, state, registry, loops, &supervisor)
        }
        self.serve(.webhook(material), at: address, state, registry, loops, &supervisor)
        certificates.addComponents(state, &supervisor)
        if let client = certificates.client, self.kubernetesVersion == nil {
            supervisor.add("version") { VersionComponent(client: client, state: state) }
        }
        let templatePath = self.templatePath
        supervisor.add("template") { TemplateComponent(templatePath, state: state) }
        if let path = self.healthCheckFile, let healthFileInterval {
            supervisor.add("health-file") { HealthFileComponent(path, every: healthFileInterval, state: state) }
        }
        supervisor.add("leaving", drainLimit: LeavingComponent.drainLimit) { LeavingComponent(state.readiness) }
        let group = supervisor.makeGroup(stopWithin: .seconds(15))
        await SignalWatch(logger: logger) { await group.triggerGracefulShutdown() }.start()
        do {
            try await group.run()
        } catch MesherError.restartLimit {
            await certificates.client?.close()
            throw Exit.because("cannot listen on \(address); choose another port with --port or --healthPort")
        }
        await certificates.client?.close()
        try await loops.shutdownGracefully()
        logger.notice("stopped")
    }

    private func serve(
        _ kind: WebhookComponent.Kind, at address: ListenAddress, _ state: InjectorState, _ registry: MetricsRegistry,
        _ loops: any EventLoopGroup, _ supervisor: inout Supervisor
    ) {
        let name = if case .health = kind { "health" } else { "webhook" }
        let gate = AcceptGate.Rules(
            ConnectionBudget(limit: WebhookComponent.mostConnections), overload: nil, metrics: registry,
            logger: state.logger)
        supervisor.add(name, restart: RestartPolicy(limit: 0)) {
            WebhookComponent(
                kind, address: address, state: state, loops: loops,
                onListening: { channel in await AcceptGate.add(to: channel, gate) })
        }
    }

    // MARK: What the options say

    /// - Parameter host: `nil`: every address of the machine, also those of IPv6 where it has that.
    private static func address(_ host: String?, _ port: Int, _ option: String) throws -> ListenAddress {
        // The system reads no address of a family that the host has on its loopback interface alone, as most pods have IPv6.
        let hasIPv6 = (try? SocketAddress.makeAddressResolvingHost("::", port: port)) != nil
        do throws(ConfigMistake) {
            return try ListenAddress("\((host ?? (hasIPv6 ? "::" : "0.0.0.0")).asHost):\(port)")
        } catch {
            throw Exit.because("--address, \(option): \(error.problem); \(error.remedy)")
        }
    }

    private var templatePath: String { self.templateFile ?? "\(Self.folder)/config/sidecar_k8s_spec.yaml" }

    private func policy(_ logger: Logger) throws -> InjectionPolicy {
        let content = FileManager.default.contents(atPath: self.templatePath)
        if content == nil, self.templateFile != nil {
            throw Exit.because(
                "--sidecarCfgFile: \(self.templatePath) cannot be read; write it, or leave the option out")
        }
        let bytes = content.map { Array($0) } ?? Array(BuiltInTemplate.yaml(image: self.image).utf8)
        var problems: [ConfigProblem] = []
        let template: SidecarTemplate
        do throws(MesherError) {
            let source = content == nil ? "built-in template" : self.templatePath
            template = try SidecarTemplate(yaml: bytes, source: source, problems: &problems)
        } catch {
            throw Exit.because("not started: \(error)")
        }
        problems.forEach(logger.report)
        logger.notice(
            "template",
            metadata: ["file": "\(content == nil ? "built in" : self.templatePath)", "template": "\(template.digest)"])
        var cluster = InjectionPolicy.Cluster()
        cluster.ownNamespace = self.ownNamespace
        cluster.version = self.kubernetesVersion.map { Version($0.hasPrefix("v") ? String($0.dropFirst()) : $0) }
        return InjectionPolicy(
            template, cluster, build: BuildInfo(executableDirectory: Executable.directory).version)
    }

    /// That of the pod, where none is named; the original's where it cannot be known.
    private var ownNamespace: String {
        if let namespace = self.namespace { return namespace }
        let file = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
        let content = FileManager.default.contents(atPath: file).map { String(decoding: $0, as: UTF8.self).trimmed }
        return ProcessInfo.processInfo.environment["POD_NAMESPACE"] ?? content ?? "servicecomb"
    }

    private var healthFileInterval: Duration? {
        get throws {
            guard let interval = DurationText.read(self.healthCheckInterval) else {
                throw Exit.because("--healthCheckInterval: \"\(self.healthCheckInterval)\" is no duration; write 1s")
            }
            return interval > .zero ? interval : nil
        }
    }
}

/// The command line of the injector as manifests of the original write it.
enum InjectorArguments {
    private static let options = [
        "port", "healthPort", "address", "tlsCertFile", "tlsKeyFile", "clientCAFile", "caFile", "sidecarCfgFile",
        "image",
        "namespace", "kubernetesVersion", "healthCheckInterval", "healthCheckFile", "printTemplate", "kubeconfigfile",
        "webhookConfigName", "webhookName", "manageCABundle", "certificateSecret", "serviceName",
        "certificateValidity", "authorityValidity", "lookInterval", "help",
    ]
    /// Of klog: those with a value.
    private static let ignored = [
        "v", "vmodule", "stderrthreshold", "log_dir", "log_file", "log_file_max_size", "log_backtrace_at",
    ]
    /// Of klog: those without.
    private static let ignoredFlags = [
        "alsologtostderr", "logtostderr", "add_dir_header", "one_output", "skip_headers", "skip_log_headers",
    ]

    /// With two dashes where one was written, and without what is klog's, or has an empty value.
    static func normalized(_ arguments: [String]) -> [String] {
        var result: [String] = []
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            let name = String(argument.drop { $0 == "-" }.prefix { $0 != "=" })
            guard argument.hasPrefix("-") else {
                result.append(argument)
                continue
            }
            if Self.ignoredFlags.contains(name) || argument.hasSuffix("=") { continue }
            if Self.ignored.contains(name) {
                if !argument.contains("=") { _ = rest.popFirst() }
                continue
            }
            result.append(argument.hasPrefix("--") || !Self.options.contains(name) ? argument : "-\(argument)")
        }
        return result
    }
}
