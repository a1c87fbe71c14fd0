// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import TLS

/// Everything that is wrong with a configuration, as `mesher check` tells it and a start has it.
///
/// The loader judges what is written; this adds what only the world outside can tell: files of TLS, and the addresses of
/// this machine.
struct Examination {
    let loader: ConfigLoader
    private let result: ConfigLoader.Result
    private let tls: (all: [ConfigProblem], refusing: [ConfigProblem])

    init(_ loader: ConfigLoader) {
        self.loader = loader
        self.result = loader.examine()
        self.tls = Self.trafficTLS(self.result.config)
    }

    /// For `mesher check`.
    var checked: ConfigLoader.Result { self.adding(self.tls.all) }

    /// For a start: connections to a service whose files are of no use wait for better ones, and refuse nothing.
    var started: ConfigLoader.Result {
        let waiting = self.tls.all.filter { !self.tls.refusing.contains($0) }.map {
            ConfigProblem(.warning, at: $0.location, key: $0.key, $0.problem, remedy: $0.remedy)
        }
        return self.adding(self.tls.refusing + waiting)
    }

    private func adding(_ tls: [ConfigProblem]) -> ConfigLoader.Result {
        var result = self.result
        result.problems = self.loader.judged(
            result.problems + tls + self.controlTLS + self.foreignAddresses)
        return result
    }

    // MARK: TLS

    private static func trafficTLS(_ config: MesherConfig) -> (all: [ConfigProblem], refusing: [ConfigProblem]) {
        do throws(MesherError) {
            let contexts = try TLSContexts(config.tls)
            return (contexts.problems + contexts.expiring(within: .seconds(30 * 24 * 3600)), [])
        } catch {
            guard case .configuration(let problems) = error else { return ([], []) }
            return (problems, problems)
        }
    }

    /// What the files of TLS to the registry and the configuration server have.
    private var controlTLS: [ConfigProblem] {
        let configs = [self.result.config.registry.tls, self.result.config.configServer?.tls].compactMap { $0 }
        return configs.compactMap { config in
            do throws(ConfigProblem) {
                _ = try ControlTLS(config, logger: Logger(label: "check"))
                return nil
            } catch {
                // The file is named; the key that names it is where it is to be mended.
                let key = self.result.store.entries(below: "ssl").first { $0.entry.value.text == error.location.source }
                guard let key else { return error }
                // A file that cannot be read has been told already.
                let isTold = self.result.problems.contains {
                    $0.severity == .error && $0.location == key.entry.value.location
                }
                if isTold { return nil }
                return ConfigProblem(
                    at: key.entry.value.location, key: key.entry.key,
                    "\(error.location.source): \(error.problem)", remedy: error.remedy)
            }
        }
    }

    // MARK: Addresses

    /// Listeners on addresses that no interface of this machine has.
    private var foreignAddresses: [ConfigProblem] {
        let own = Set(MachineAddress.all())
        let keys: [(key: String, address: ListenAddress?)] = [
            ("cse.protocols.http.listenAddress", self.result.config.listeners.incoming),
            ("cse.protocols.grpc.listenAddress", self.result.config.listeners.grpcIncoming),
            ("cse.protocols.rest-admin.listenAddress", self.result.config.listeners.admin),
        ]
        var told: Set<String> = []
        return keys.compactMap { key, address in
            guard let address, !address.isLoopback, !address.isWildcard,
                let ip = IPAddress(address.socketAddress), !own.contains(ip)
            else { return nil }
            // A replaced address is told where the other one is written.
            let replaced = self.result.store.entry("mesher.listenIP").map { ("mesher.listenIP", $0) }
            guard let (_, entry) = replaced ?? self.result.store.entry(key).map({ (key, $0) }) else { return nil }
            guard told.insert("\(entry.value.location)").inserted else { return nil }
            return ConfigProblem(
                .warning, at: entry.value.location, key: entry.key,
                "no interface of this machine has the address \(address.host): a start here fails",
                remedy: "write one that it has, or mesher.listenIP: auto")
        }
    }
}
