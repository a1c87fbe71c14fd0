// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
package import NIOSSL
import Synchronization

/// How to speak TLS to a server of the control plane, kept up to date with its files.
///
/// The files are looked at twice a second at most, when a connection may be made. New ones hold for the next connection; what
/// is of no use leaves the old in its place.
package final class ControlTLS: Sendable {
    private struct State {
        var configuration: TLSConfiguration
        var files: [FileWatcher]
        var nextLook: ContinuousClock.Instant
        /// Why the newest files are of no use.
        var failure: String?
    }

    private let config: ClientTLSConfig
    private let interval: Duration
    private let logger: Logger
    private let state: Mutex<State>

    /// What the files say.
    ///
    /// - Throws: A mistake that names the file.
    package init(
        _ config: ClientTLSConfig, interval: Duration = .milliseconds(500), logger: Logger
    ) throws(ConfigProblem) {
        self.config = config
        self.interval = interval
        self.logger = logger
        // Looked at before they are read: a change between the two is found again.
        var files = [config.caFile, config.certFile, config.keyFile, config.passwordFile].filter { !$0.isEmpty }.map {
            FileWatcher($0)
        }
        for index in files.indices { _ = files[index].look() }
        self.state = Mutex(State(configuration: try Self.load(config), files: files, nextLook: .now + interval))
    }

    /// The same for what may have none.
    package static func of(_ config: ClientTLSConfig?, logger: Logger) throws(MesherError) -> ControlTLS? {
        do throws(ConfigProblem) {
            guard let config else { return nil }
            return try ControlTLS(config, logger: logger)
        } catch {
            throw .configuration([error])
        }
    }

    /// What the next connection uses.
    package var current: TLSConfiguration {
        self.state.withLock { state in
            guard state.nextLook <= .now else { return state.configuration }
            state.nextLook = .now + self.interval
            var hasChanged = false
            for index in state.files.indices where state.files[index].look() != .unchanged { hasChanged = true }
            if hasChanged { self.renew(&state) }
            return state.configuration
        }
    }

    /// The own certificate, its file, and why a newer one is not in use.
    var own: (leaf: NIOSSLCertificate?, source: String, failure: String?) {
        _ = self.current
        return self.state.withLock { state in
            guard case .certificate(let leaf) = state.configuration.certificateChain.first else {
                return (nil, self.config.certFile, state.failure)
            }
            return (leaf, self.config.certFile, state.failure)
        }
    }

    private func renew(_ state: inout State) {
        do throws(ConfigProblem) {
            state.configuration = try Self.load(self.config)
            state.failure = nil
            self.logger.notice("TLS of the control plane renewed", metadata: ["files": "\(self.files)"])
        } catch {
            state.failure = error.problem
            self.logger.warning(
                "TLS of the control plane not renewed: the old one stays in use", metadata: ["problem": "\(error)"])
        }
    }

    private static func load(_ config: ClientTLSConfig) throws(ConfigProblem) -> TLSConfiguration {
        let configuration = try Self.configuration(of: config)
        do {
            _ = try NIOSSLContext(configuration: configuration)
        } catch {
            guard !config.certFile.isEmpty else {
                throw ConfigProblem(
                    at: ConfigLocation(config.caFile), key: "ssl", "no TLS can be made of these files and settings",
                    remedy: "correct caFile, cipherSuits and protocol")
            }
            throw ConfigProblem(
                at: ConfigLocation(config.keyFile), key: "ssl",
                "the key is not that of the certificate in \(config.certFile)",
                remedy: "write the two files that belong together")
        }
        return configuration
    }

    private var files: String {
        [self.config.caFile, self.config.certFile, self.config.keyFile].filter { !$0.isEmpty }.joined(separator: ", ")
    }
}
