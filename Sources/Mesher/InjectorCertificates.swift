// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import FoundationEssentials
import Injector
import Logging
import NIOCore
import TLS

/// What the command line of the injector says of its certificate, and of the API server.
struct InjectorCertificates: ParsableArguments {
    static let folder = "/etc/webhook/mesher/certs"

    @Option(
        name: .customLong("tlsCertFile"),
        help: ArgumentHelp(
            "Certificate chain, PEM; default: \(InjectorCertificates.folder)/ca-cert.pem, else tls.crt there, else one of its own making.",
            valueName: "file"), completion: Completions.files)
    var certFile: String?

    @Option(
        name: .customLong("tlsKeyFile"),
        help: ArgumentHelp(
            "Its key, PEM; default: \(InjectorCertificates.folder)/ca-key.pem, else tls.key there.", valueName: "file"),
        completion: Completions.files)
    var keyFile: String?

    @Option(
        name: .customLong("caFile"),
        help: ArgumentHelp(
            "Who vouches for that file's certificate, PEM, for caBundle; default: \(InjectorCertificates.folder)/root-cert.pem, else ca.crt there.",
            valueName: "file"), completion: Completions.files)
    var caFile: String?

    @Option(
        name: .customLong("clientCAFile"),
        help: ArgumentHelp(
            "Authorities, PEM: only clients with a certificate of one are served; default: all clients are.",
            valueName: "file"), completion: Completions.files)
    var clientCAFile: String?

    @Option(
        name: .customLong("certificateSecret"),
        help: ArgumentHelp("The Secret in which replicas keep a certificate of their own making.", valueName: "name"))
    var secret = "sidecar-injector-webhook-mesher-certs"

    @Option(
        name: .customLong("serviceName"),
        help: ArgumentHelp("The Service by which the API server calls, for that certificate.", valueName: "name"))
    var service = "sidecar-injector-webhook-mesher-svc"

    @Option(
        name: .customLong("certificateValidity"),
        help: ArgumentHelp(
            "How long a certificate of its own making holds; after two thirds there is another.", valueName: "duration")
    )
    var certificateValidity = "8760h"

    @Option(
        name: .customLong("authorityValidity"),
        help: ArgumentHelp("The same for the authority that signs it.", valueName: "duration"))
    var authorityValidity = "87600h"

    @Option(
        name: .customLong("manageCABundle"),
        help: ArgumentHelp(
            "Whether it keeps caBundle of the webhook's configuration; default: wherever it knows the authority and may ask the API server.",
            valueName: "true|false"))
    var managesCABundle: String?

    @Option(
        name: .customLong("webhookConfigName"),
        help: ArgumentHelp("The MutatingWebhookConfiguration.", valueName: "name"))
    var webhookConfiguration = "sidecar-injector-webhook-mesher-cfg"

    @Option(name: .customLong("webhookName"), help: ArgumentHelp("The webhook in it.", valueName: "name"))
    var webhook = "sidecar-injector.mesher.io"

    @Option(
        name: .customLong("kubeconfigfile"),
        help: ArgumentHelp(
            "How to reach the API server, as kubectl has it; default: as the pod's service account.", valueName: "file"),
        completion: Completions.files)
    var kubeconfig: String?

    @Option(
        name: .customLong("lookInterval"),
        help: ArgumentHelp("How often Secret and caBundle are looked at, at least.", valueName: "duration"))
    var lookInterval = "30s"

    /// What comes of all that.
    struct Source {
        /// What connections are made with.
        let material: TLSMaterial
        /// The files that it is read from again; `nil` for one of its own making.
        let files: TLSContexts?
        /// `nil` when the API server is asked for nothing.
        let client: ClusterClient?
        /// Adds whatever keeps the certificate and its authority up to date.
        let addComponents: @Sendable (InjectorState, inout Supervisor) -> Void
    }

    /// Finds out where the certificate comes from.
    ///
    /// - Parameter namespace: Where the injector is.
    func source(namespace: String, loops: any EventLoopGroup, logger: Logger) throws -> Source {
        for (option, name) in [
            ("--certificateSecret", self.secret), ("--serviceName", self.service),
            ("--webhookConfigName", self.webhookConfiguration), ("--namespace", namespace),
        ] where !ClusterObject.isName(name) {
            throw Exit.because("\(option): \"\(name)\" is no name of an object; write lower case, digits, - and .")
        }
        guard let interval = DurationText.read(self.lookInterval), interval >= .milliseconds(100) else {
            throw Exit.because("--lookInterval: \"\(self.lookInterval)\" is no duration of 100ms at least; write 30s")
        }
        return self.hasFiles
            ? try self.fromFiles(interval, loops, logger)
            : try self.ownSource(namespace, interval, loops, logger)
    }

    // MARK: Files

    private func path(_ chosen: String?, _ names: [String]) -> String {
        let paths = names.map { "\(Self.folder)/\($0)" }
        return chosen ?? paths.first(where: FileManager.default.fileExists) ?? paths[0]
    }

    private var certificatePath: String { self.path(self.certFile, ["ca-cert.pem", "tls.crt"]) }
    private var keyPath: String { self.path(self.keyFile, ["ca-key.pem", "tls.key"]) }
    private var authoritiesPath: String { self.path(self.caFile, ["root-cert.pem", "ca.crt"]) }

    private var hasFiles: Bool {
        self.certFile != nil || self.keyFile != nil
            || [self.certificatePath, self.keyPath].contains(where: FileManager.default.fileExists)
    }

    private func fromFiles(_ interval: Duration, _ loops: any EventLoopGroup, _ logger: Logger) throws -> Source {
        let contexts = try self.contexts()
        guard let material = contexts.incoming else { throw Exit.because("there is no certificate") }
        let client = try self.clientBesideFiles(loops, logger)
        let (authorities, object, webhook) = (
            self.authoritiesPath, ClusterObject.webhook(self.webhookConfiguration), self.webhook
        )
        return Source(material: material, files: contexts, client: client) { state, supervisor in
            supervisor.add("tls") { TLSComponent(contexts, logger: logger) }
            supervisor.add("expiry") { ExpiryComponent(contexts, state: state) }
            guard let client else { return logger.info("caBundle is left to others") }
            let board = AuthorityBoard()
            supervisor.add("ca-bundle") {
                BundleComponent(
                    file: authorities, configuration: object, webhook: webhook, client: client, board: board,
                    state: state, interval: interval)
            }
        }
    }

    private func contexts() throws -> TLSContexts {
        var tag = TLSTag("injector", .provider, verifiesPeer: self.clientCAFile != nil)
        tag.certFile = self.certificatePath
        tag.keyFile = self.keyPath
        tag.caFile = self.clientCAFile ?? ""
        var config = TrafficTLSConfig()
        config.incoming = tag
        do throws(MesherError) {
            return try TLSContexts(config)
        } catch {
            guard case .configuration(let problems) = error, let problem = problems.first else {
                throw Exit.because("not started: \(error)")
            }
            throw Exit.because(
                "not started: \(problem.problem); \(problem.remedy) (--tlsCertFile, --tlsKeyFile, --clientCAFile)")
        }
    }

    /// Whoever has files may have somebody else who keeps `caBundle`.
    private func clientBesideFiles(_ loops: any EventLoopGroup, _ logger: Logger) throws -> ClusterClient? {
        let wanted = try self.wantsBundle
        if wanted == false { return nil }
        let hasAuthorities = self.caFile != nil || FileManager.default.fileExists(atPath: self.authoritiesPath)
        do throws(ConfigProblem) {
            if hasAuthorities, let access = try self.access(logger) { return ClusterClient(access, loops: loops) }
        } catch {
            if wanted == true || self.kubeconfig != nil {
                throw Exit.because("not started: \(error.problem); \(error.remedy)")
            }
        }
        guard wanted == true else { return nil }
        throw Exit.because(
            hasAuthorities
                ? "--manageCABundle: there is no API server to ask; name it with --kubeconfigfile"
                : "--manageCABundle: \(self.authoritiesPath) is not there; name the authorities with --caFile")
    }

    private var wantsBundle: Bool? {
        get throws {
            guard let text = self.managesCABundle?.lowercased() else { return nil }
            if ["true", "yes", "1"].contains(text) { return true }
            if ["false", "no", "0"].contains(text) { return false }
            throw Exit.because("--manageCABundle: \"\(text)\" is neither true nor false")
        }
    }

    private func access(_ logger: Logger) throws(ConfigProblem) -> ClusterAccess? {
        if let kubeconfig = self.kubeconfig { return try ClusterAccess.kubeconfig(kubeconfig, logger: logger) }
        return try ClusterAccess.inCluster(logger: logger)
    }

    // MARK: Certificates of its own making

    private func ownSource(
        _ namespace: String, _ interval: Duration, _ loops: any EventLoopGroup, _ logger: Logger
    ) throws -> Source {
        let found: ClusterAccess?
        do throws(ConfigProblem) {
            found = try self.access(logger)
        } catch {
            throw Exit.because("not started: \(error.problem); \(error.remedy)")
        }
        guard let access = found else {
            throw Exit.because(
                "not started: there is no certificate at \(self.certificatePath), and no API server to keep one in; write --tlsCertFile and --tlsKeyFile, or --kubeconfigfile"
            )
        }
        if try self.wantsBundle == false {
            throw Exit.because(
                "--manageCABundle=false is for certificates of files: nobody else knows the authority of its own ones; write --tlsCertFile and --tlsKeyFile"
            )
        }
        if let file = self.clientCAFile, !FileManager.default.isReadableFile(atPath: file) {
            throw Exit.because("--clientCAFile: \(file) cannot be read; write it, or leave the option out")
        }
        let plan = try self.plan(namespace)
        let (client, board, slot) = (
            ClusterClient(access, loops: loops), AuthorityBoard(),
            CertificateSlot(clientAuthorities: self.clientCAFile ?? "")
        )
        let (secret, object, webhook) = (
            ClusterObject.secret(self.secret, in: namespace), ClusterObject.webhook(self.webhookConfiguration),
            self.webhook
        )
        return Source(material: slot.material, files: nil, client: client) { state, supervisor in
            supervisor.add("certificates") {
                OwnCertificateComponent(
                    plan, secret: secret, client: client, slot: slot, board: board, state: state, interval: interval)
            }
            supervisor.add("ca-bundle") {
                BundleComponent(
                    file: nil, configuration: object, webhook: webhook, client: client, board: board, state: state,
                    interval: interval)
            }
        }
    }

    private func plan(_ namespace: String) throws -> CertificatePlan {
        guard let certificate = DurationText.read(self.certificateValidity), certificate >= .seconds(1) else {
            throw Exit.because("--certificateValidity: \"\(self.certificateValidity)\" is no duration; write 8760h")
        }
        guard let authority = DurationText.read(self.authorityValidity), authority >= certificate * 3 else {
            throw Exit.because(
                "--authorityValidity: \"\(self.authorityValidity)\" is not three times as long as --certificateValidity; write 87600h"
            )
        }
        return CertificatePlan(
            service: self.service, namespace: namespace, authorityLife: authority,
            certificateLife: certificate)
    }
}
