// SPDX-License-Identifier: Apache-2.0

/// What operators are shown, beside what the admin API always has.
package struct AdminConfig: Sendable, Equatable {
    /// What a change through the admin API has to bring along; empty where none is allowed.
    package var token: String
    /// Names, beside its own, under which the admin API may be asked for.
    package var hosts: [String]
    /// Whether the metrics tell of the process too.
    package var hasRuntimeMetrics: Bool
    /// Whether they tell of circuit breakers.
    package var hasCircuitMetrics: Bool
    /// Where the metrics are served as well; `nil` for nowhere else.
    package var metricsPath: String?
    /// Where rules and known instances are served; `nil` for nowhere.
    package var profilePath: String?
    /// Where profiles of the process are served; `nil` for nowhere.
    package var profiling: ListenAddress?

    /// Reads the keys.
    package init(_ reader: inout ConfigReader) {
        self.token = reader.read(Keys.token)
        self.hosts = reader.read(Keys.hosts)
        self.hasRuntimeMetrics =
            reader.readIfPresent(Keys.runtimeMetrics) ?? reader.readIfPresent(Keys.frameworkRuntimeMetrics) ?? false
        self.hasCircuitMetrics = reader.read(Keys.circuitMetrics)
        let (metrics, profile) = (reader.read(Keys.metricsPath), reader.read(Keys.profilePath))
        self.metricsPath = reader.read(Keys.metricsEnable) ? metrics : nil
        self.profilePath = reader.read(Keys.profileEnable) ? profile : nil
        self.profiling = Self.profiling(&reader)
    }

    /// A mistake in an address that is not used is worth a word only: the original's sample had one.
    private static func profiling(_ reader: inout ConfigReader) -> ListenAddress? {
        if reader.read(Keys.pprofEnable) { return reader.read(Keys.pprofListen) }
        guard let entry = reader.store.entry(Keys.pprofListen.name), let text = entry.value.text else { return nil }
        do throws(ConfigMistake) {
            try Keys.pprofListen.check(text)
        } catch {
            reader.note(
                ConfigProblem(
                    .warning, at: entry.value.location, key: entry.key, error.problem, remedy: error.remedy))
        }
        return nil
    }

    /// The keys of ``AdminConfig``.
    package enum Keys {
        static let token = ConfigKey(
            "mesher.admin.token", .text, default: "",
            "What changes through the admin API, and `mesher tap`, must bring along, as `Authorization: Bearer <token>`. Without it nothing can be changed there."
        )
        static let hosts = ConfigKey(
            "mesher.admin.hosts", .texts, default: [],
            "Host names under which the admin API may be asked for, beside IP addresses, `localhost`, the machine's and the service's name: others are refused, so that no web page can reach it by a name of its own."
        )
        static let runtimeMetrics = ConfigKey(
            "admin.goRuntimeMetrics", .bool, default: false,
            "Whether the metrics tell of the process too: CPU, memory, open files.")
        static let pprofEnable = ConfigKey(
            "pprof.enable", .bool, default: false, "Whether profiles of the process may be taken.")
        static let pprofListen = ConfigKey(
            "pprof.listen", .profilingAddress, default: .profiling, "Where profiles are served: a loopback address.")
        static let metricsEnable = ConfigKey(
            "cse.metrics.enable", .bool, default: false, "Whether the admin API has the metrics at another path too.")
        static let metricsPath = ConfigKey("cse.metrics.apiPath", .path, default: "/metrics", "That path.")
        static let frameworkRuntimeMetrics = ConfigKey(
            "cse.metrics.enableGoRuntimeMetrics", .bool, default: false,
            "The same as admin.goRuntimeMetrics, which wins.")
        static let circuitMetrics = ConfigKey(
            "cse.metrics.enableCircuitMetrics", .bool, default: true, "Whether the metrics tell of circuit breakers.")
        static let profileEnable = ConfigKey(
            "cse.profile.enable", .bool, default: false,
            "Whether the admin API shows route rules and known instances below another path.")
        static let profilePath = ConfigKey("cse.profile.apiPath", .path, default: "/profile", "That path.")

        /// Those of mesher.yaml, in the order of the reference.
        package static let own: [any AnyConfigKey] = [
            Self.token, Self.hosts, Self.runtimeMetrics, Self.pprofEnable, Self.pprofListen,
        ]
        /// Those of chassis.yaml.
        package static let framework: [any AnyConfigKey] = [
            Self.metricsEnable, Self.metricsPath, Self.frameworkRuntimeMetrics, Self.circuitMetrics,
            Self.profileEnable, Self.profilePath,
        ]
    }
}

extension ListenAddress {
    /// Where the original serves profiles.
    package static var profiling: ListenAddress { ListenAddress(loopback: 6060) }
}

extension ConfigKind<ListenAddress> {
    /// An address of this machine alone: profiles show what a program does, and taking one costs.
    fileprivate static var profilingAddress: Self {
        Self("`ip:port` of loopback", shape: Self.addressShape, describe: { "\($0)" }) { text throws(ConfigMistake) in
            let address: ListenAddress?
            do throws(ConfigMistake) {
                address = try ConfigKind<ListenAddress?>.listenAddress.parse(text)
            } catch {
                throw ConfigMistake(error.problem, remedy: "write 127.0.0.1:6060")
            }
            guard let address, address.isLoopback else {
                throw ConfigMistake("\"\(text)\" is no loopback address", remedy: "write 127.0.0.1:6060")
            }
            return address
        }
    }
}

extension ConfigKind<String> {
    /// A path of a URL.
    fileprivate static var path: Self {
        Self("path", shape: .matching("/\\S+"), describe: { $0 }) { text throws(ConfigMistake) in
            guard text.hasPrefix("/"), text.count > 1, !text.contains(where: \.isWhitespace) else {
                throw ConfigMistake("\"\(text)\" is no path", remedy: "write one such as /metrics")
            }
            return text.hasSuffix("/") ? String(text.dropLast()) : text
        }
    }
}
