// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import TLS

/// Everything that is wrong with a configuration, as `mesher check` tells it and a start has it.
///
/// The loader judges what is written; this adds what only the world outside can tell: files of TLS and of logs, and the
/// addresses of this machine.
struct Examination {
    let loader: ConfigLoader
    private let found: ConfigLoader.Result

    init(_ loader: ConfigLoader) {
        self.loader = loader
        self.found = loader.examine()
    }

    /// For `mesher check` and for a start alike.
    var result: ConfigLoader.Result {
        var result = self.found
        result.problems = self.loader.judged(
            result.problems + self.trafficTLS + self.controlTLS + self.foreignAddresses + self.logFiles)
        return result
    }

    // MARK: TLS

    /// Connections to a service whose files are of no use wait for better ones, and refuse nothing.
    private var trafficTLS: [ConfigProblem] {
        do throws(MesherError) {
            let contexts = try TLSContexts(self.found.config.tls)
            return contexts.problems + contexts.expiring(within: .seconds(30 * 24 * 3600))
        } catch {
            guard case .configuration(let problems) = error else { return [] }
            return problems
        }
    }

    /// What the files of TLS to the registry and the configuration server have.
    private var controlTLS: [ConfigProblem] {
        let configs = [self.found.config.registry.tls, self.found.config.configServer?.tls].compactMap { $0 }
        return configs.compactMap { config in
            do throws(ConfigProblem) {
                _ = try ControlTLS(config, logger: Logger(label: "check"))
                return nil
            } catch {
                // The file is named; the key that names it is where it is to be mended.
                let key = self.found.store.entries(below: "ssl").first { $0.entry.value.text == error.location.source }
                guard let key else { return error }
                // A file that cannot be read has been told already.
                let isTold = self.found.problems.contains {
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

    private static let adminKey = "cse.protocols.rest-admin.listenAddress"

    /// Listeners on addresses that no interface of this machine has.
    private var foreignAddresses: [ConfigProblem] {
        let own = Set(MachineAddress.all())
        let keys: [(key: String, address: ListenAddress?)] = [
            ("cse.protocols.http.listenAddress", self.found.config.listeners.incoming),
            ("cse.protocols.grpc.listenAddress", self.found.config.listeners.grpcIncoming),
            (Self.adminKey, self.found.config.listeners.admin),
        ]
        var told: Set<String> = []
        return keys.compactMap { key, address in
            guard let address, !address.isLoopback, !address.isWildcard,
                let ip = IPAddress(address.socketAddress), !own.contains(ip)
            else { return nil }
            // A replaced address is told where the other one is written.
            let replaced = self.found.store.entry("mesher.listenIP").map { ("mesher.listenIP", $0) }
            guard let (_, entry) = replaced ?? self.found.store.entry(key).map({ (key, $0) }) else { return nil }
            guard told.insert("\(entry.value.location)").inserted else { return nil }
            let isTraffic = key != Self.adminKey
            return ConfigProblem(
                .warning, at: entry.value.location, key: entry.key,
                "no interface of this machine has the address \(address.host): "
                    + (isTraffic ? "a start on this machine fails" : "the admin API cannot open here"),
                remedy: "write one that it has, or mesher.listenIP: auto")
        }
    }

    // MARK: Logs

    /// A file of logs that cannot be one.
    private var logFiles: [ConfigProblem] {
        let logs = self.found.config.logs.placed(in: LogConfig.home)
        return [(LogConfig.fileKeys, logs.unusableFile), (LogConfig.accessKeys, logs.unusableAccessFile)].compactMap {
            keys, reason in
            guard let reason, let entry = keys.lazy.compactMap({ self.found.store.entry($0) }).first else { return nil }
            return ConfigProblem(
                .warning, at: entry.value.location, key: entry.key, reason.problem, remedy: reason.remedy)
        }
    }
}
