// SPDX-License-Identifier: Apache-2.0

package import Common

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
    package internal(set) var settings: InjectorSettings
    /// The first twelve digits of the SHA-256 of all that it says.
    package internal(set) var digest: String

    /// What a text says.
    ///
    /// - Parameter yaml: The file's content, YAML or JSON.
    /// - Parameter source: Its path, for messages.
    /// - Parameter digest: That of the text.
    /// - Parameter problems: What there is to warn of is added.
    /// - Throws: `MesherError.configuration` with every mistake.
    package init(
        yaml: [UInt8], source: String, digest: String, problems: inout [ConfigProblem]
    ) throws(MesherError) {
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
        self.digest = digest
    }
}
