// SPDX-License-Identifier: Apache-2.0

package import Common
import Crypto

/// What every sidecar is made of: plain data, which no request changes.
package struct SidecarTemplate: Sendable {
    /// What the container of the sidecar is called.
    package static let containerName = "sidecar-mesher"
    /// The volume of its configuration.
    static let configurationVolume = "mesher-conf"
    /// The ConfigMap of that volume, where nobody says otherwise.
    static let configurationMap = "mesher-configmap"
    /// The same for sidecars that ask Istio.
    static let pilotConfigurationMap = "mesher-configmap-pilot"

    /// The sidecar's container.
    package let sidecar: OrderedJSON
    /// Containers besides.
    let others: [OrderedJSON]
    let volumes: [OrderedJSON]
    /// Names of secrets that images are pulled with.
    let pullSecrets: [String]
    let annotations: [(String, String)]
    let labels: [(String, String)]
    /// What holds for all sidecars.
    package private(set) var settings: InjectorSettings
    /// The first twelve digits of the SHA-256 of all that it says.
    package private(set) var digest: String

    /// What a text says.
    ///
    /// - Parameter yaml: The file's content, YAML or JSON.
    /// - Parameter source: Its path, for messages.
    /// - Parameter problems: What there is to warn of is added.
    /// - Throws: `MesherError.configuration` with every mistake.
    package init(yaml: [UInt8], source: String, problems: inout [ConfigProblem]) throws(MesherError) {
        var reader = TemplateReader(source: source)
        do throws(ConfigProblem) {
            try reader.read(yaml)
        } catch {
            throw .configuration([error])
        }
        problems += reader.problems.filter { $0.severity != .error }
        let mistakes = reader.problems.filter { $0.severity == .error }
        guard mistakes.isEmpty, let sidecar = reader.sidecar else { throw .configuration(mistakes) }
        self.sidecar = sidecar
        self.others = reader.containers.filter { $0["name"]?.text != Self.containerName }
        self.volumes = reader.volumes
        self.pullSecrets = reader.pullSecrets
        self.annotations = reader.annotations
        self.labels = reader.labels
        self.settings = reader.settings
        self.digest = Self.digest(of: yaml)
    }

    /// The same with settings of a command line.
    ///
    /// - Parameter discoveryType: Of pods that do not say; `nil`: as the template has it.
    /// - Parameter placement: Of their sidecars, likewise.
    package func with(
        discoveryType: Wishes.DiscoveryType?, placement: InjectorSettings.Placement?
    ) -> SidecarTemplate {
        var changed = self
        changed.settings.discoveryType = discoveryType ?? self.settings.discoveryType
        changed.settings.placement = placement ?? self.settings.placement
        let words = [changed.settings.discoveryType.rawValue, changed.settings.placement.rawValue]
        if words != [self.settings.discoveryType.rawValue, self.settings.placement.rawValue] {
            let text = ([self.digest] + words).joined(separator: " ")
            changed.digest = Self.digest(of: Array(text.utf8))
        }
        return changed
    }

    private static func digest(of bytes: [UInt8]) -> String {
        SHA256.hash(data: bytes).prefix(6).map { byte in
            (byte < 0x10 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }
}
